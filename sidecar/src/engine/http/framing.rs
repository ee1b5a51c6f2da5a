//! Where a response's head and its body end (RFC 9112), however the network cut them. No I/O.

use http::StatusCode;
use httparse::{EMPTY_HEADER, Header, Status};

/// The largest head of a response, and the most that may follow a body, in bytes.
const MAX_HEAD: usize = 64 * 1024;

/// Headers of a response.
const MAX_HEADERS: usize = 100;

/// What may stand behind the size of a chunk, in bytes. Engines write nothing there.
const MAX_EXTENSION: usize = 1024;

/// The response is none that can be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("its head is not HTTP/1: {0}")]
    Head(#[from] httparse::Error),
    #[error("its head is larger than {MAX_HEAD} bytes")]
    LargeHead,
    #[error("it switches to another protocol")]
    Upgrade,
    #[error("its length cannot be told")]
    Length,
    #[error("its body is not in chunks as it says")]
    Chunks,
}

/// A response's head.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) body: Body,
    /// The connection may be used again once the body was read.
    pub(super) keeps_alive: bool,
    /// How many bytes it takes.
    pub(super) bytes: usize,
}

/// What is still to come of a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// So many bytes.
    Sized(u64),
    Chunked(Chunks),
    /// All that comes until the connection is closed.
    UntilClosed,
}

/// Where in a chunked body the next byte belongs.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Chunks {
    Size {
        size: u64,
        digits: u8,
    },
    Extension {
        size: u64,
        bytes: usize,
    },
    SizeEnd(u64),
    Data(u64),
    DataCr,
    DataLf,
    /// Lines behind the last chunk. They say nothing that is used here.
    Trailers {
        bytes: usize,
        is_empty: bool,
    },
    TrailersLf {
        bytes: usize,
        is_empty: bool,
    },
    Over,
}

impl Head {
    /// Reads the head that `bytes` begin with; none as long as it is not whole. Heads that announce another one (1xx) are heads.
    pub(super) fn read(bytes: &[u8]) -> Result<Option<Self>, Malformed> {
        let mut headers = [EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let Status::Complete(length) = response.parse(bytes)? else {
            return if bytes.len() < MAX_HEAD { Ok(None) } else { Err(Malformed::LargeHead) };
        };
        let code = response.code.unwrap_or_default();
        let status = StatusCode::from_u16(code).map_err(|_| httparse::Error::Status)?;
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Malformed::Upgrade);
        }
        let is_newest = response.version == Some(1);
        let (body, is_sure) = body(status, response.headers)?;
        let closes = says(response.headers, "connection", "close");
        let keeps = is_newest || says(response.headers, "connection", "keep-alive");
        let keeps_alive = keeps && !closes && is_sure && body != Body::UntilClosed;
        Ok(Some(Self { status, body, keeps_alive, bytes: length }))
    }
}

/// The body that follows such a head, and whether it is sure that both ends see it end at the same byte.
fn body(status: StatusCode, headers: &[Header<'_>]) -> Result<(Body, bool), Malformed> {
    if status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        return Ok((Body::Sized(0), true));
    }
    let mut lengths = values(headers, "content-length");
    let length = lengths.next();
    if let Some(coding) = values(headers, "transfer-encoding").last() {
        let last = coding.rsplit(|&byte| byte == b',').next().unwrap_or_default();
        return match last.trim_ascii().eq_ignore_ascii_case(b"chunked") {
            true => Ok((Body::Chunked(Chunks::START), length.is_none())),
            false => Err(Malformed::Length),
        };
    }
    let Some(length) = length else { return Ok((Body::UntilClosed, false)) };
    let is_number = !length.is_empty() && length.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(length).ok().filter(|_| is_number).and_then(|text| text.parse().ok());
    match number.filter(|_| lengths.all(|other| other == length)) {
        Some(number) => Ok((Body::Sized(number), true)),
        None => Err(Malformed::Length),
    }
}

fn values<'a>(headers: &'a [Header<'a>], name: &'static str) -> impl Iterator<Item = &'a [u8]> {
    headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value.trim_ascii())
}

fn says(headers: &[Header<'_>], name: &'static str, word: &str) -> bool {
    let mut words = values(headers, name).flat_map(|value| value.split(|&byte| byte == b','));
    words.any(|said| said.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
}

impl Body {
    /// Whether all of it was read.
    pub(super) fn is_over(&self) -> bool {
        matches!(self, Self::Sized(0) | Self::Chunked(Chunks::Over))
    }

    /// Moves what belongs to it from `bytes`, as it came from the network, to `data`, up to its end.
    pub(super) fn read(&mut self, bytes: &mut &[u8], data: &mut Vec<u8>) -> Result<(), Malformed> {
        match self {
            Self::Sized(left) => take(bytes, left, data),
            Self::Chunked(chunks) => return chunks.read(bytes, data),
            Self::UntilClosed => data.extend_from_slice(std::mem::take(bytes)),
        }
        Ok(())
    }
}

impl Chunks {
    const START: Self = Self::Size { size: 0, digits: 0 };

    fn read(&mut self, bytes: &mut &[u8], data: &mut Vec<u8>) -> Result<(), Malformed> {
        loop {
            if let Self::Data(left) = self {
                take(bytes, left, data);
                if *left > 0 {
                    return Ok(());
                }
                *self = Self::DataCr;
            }
            if *self == Self::Over {
                return Ok(());
            }
            let Some((&byte, rest)) = bytes.split_first() else { return Ok(()) };
            *bytes = rest;
            *self = self.after(byte).ok_or(Malformed::Chunks)?;
        }
    }

    /// Where the next byte belongs after one that is no data.
    fn after(&self, byte: u8) -> Option<Self> {
        let next = match (self, byte) {
            (&Self::Size { size, digits }, _) if byte.is_ascii_hexdigit() => {
                let digit = char::from(byte).to_digit(16)?;
                Self::Size { size: size.checked_mul(16)? + u64::from(digit), digits: digits.checked_add(1)? }
            }
            (Self::Size { digits: 0, .. }, _) => return None,
            (&Self::Size { size, .. } | &Self::Extension { size, .. }, b'\r') => Self::SizeEnd(size),
            (&Self::Size { size, .. }, b';' | b' ' | b'\t') => Self::Extension { size, bytes: 0 },
            (&Self::Extension { size, bytes }, _) if byte != b'\n' && bytes < MAX_EXTENSION => {
                Self::Extension { size, bytes: bytes + 1 }
            }
            (Self::SizeEnd(0), b'\n') => Self::Trailers { bytes: 0, is_empty: true },
            (&Self::SizeEnd(size), b'\n') => Self::Data(size),
            (Self::DataCr, b'\r') => Self::DataLf,
            (Self::DataLf, b'\n') => Self::START,
            (&Self::Trailers { bytes, is_empty }, b'\r') => Self::TrailersLf { bytes, is_empty },
            (&Self::Trailers { bytes, .. }, _) if byte != b'\n' && bytes < MAX_HEAD => {
                Self::Trailers { bytes: bytes + 1, is_empty: false }
            }
            (Self::TrailersLf { is_empty: true, .. }, b'\n') => Self::Over,
            (&Self::TrailersLf { bytes, .. }, b'\n') => Self::Trailers { bytes, is_empty: true },
            _ => return None,
        };
        Some(next)
    }
}

/// Moves up to `left` bytes.
fn take(bytes: &mut &[u8], left: &mut u64, data: &mut Vec<u8>) {
    let count = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
    let (taken, rest) = bytes.split_at(count);
    data.extend_from_slice(taken);
    *left -= count as u64;
    *bytes = rest;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn head(lines: &str) -> Result<Option<Head>, Malformed> {
        Head::read(format!("HTTP/1.1 {lines}\r\n\r\n").as_bytes())
    }

    #[test]
    fn bodies_end_where_their_heads_say() {
        let chunked = || Body::Chunked(Chunks::START);
        let cases = [
            ("200 OK\r\ncontent-length: 12", Body::Sized(12), true),
            ("200 OK\r\nContent-Length: 12\r\nContent-Length: 12", Body::Sized(12), true),
            ("200 OK\r\ntransfer-encoding: chunked", chunked(), true),
            ("200 OK\r\nTransfer-Encoding: gzip, Chunked", chunked(), true),
            // As request smuggling does it: it is read, and the connection is not used again.
            ("200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 3", chunked(), false),
            ("200 OK\r\ncontent-length: 12\r\nconnection: x, Close", Body::Sized(12), false),
            ("200 OK", Body::UntilClosed, false),
            ("204 No Content", Body::Sized(0), true),
            ("304 Not Modified\r\ncontent-length: 7", Body::Sized(0), true),
            ("100 Continue", Body::Sized(0), true),
        ];
        for (lines, body, keeps_alive) in cases {
            let head = head(lines).unwrap().unwrap();
            assert_eq!((head.body, head.keeps_alive), (body, keeps_alive), "{lines}");
        }
        let older =
            |lines: &str| Head::read(format!("HTTP/1.0 {lines}\r\n\r\n").as_bytes()).unwrap().unwrap().keeps_alive;
        assert!(!older("200 OK\r\ncontent-length: 1"));
        assert!(older("200 OK\r\ncontent-length: 1\r\nconnection: Keep-Alive"));
    }

    #[test]
    fn heads_that_tell_no_end_are_refused() {
        for lines in [
            "200 OK\r\ncontent-length: -1",
            "200 OK\r\ncontent-length: +1",
            "200 OK\r\ncontent-length: ",
            "200 OK\r\ncontent-length: 99999999999999999999",
            "200 OK\r\ncontent-length: 1\r\ncontent-length: 2",
            "200 OK\r\ntransfer-encoding: gzip",
            "101 Switching Protocols",
            "099 Low",
            "2000 Long",
        ] {
            assert!(head(lines).is_err(), "{lines}");
        }
        assert!(Head::read(b"SSH-2.0-OpenSSH_9.2\r\n").is_err());
    }

    #[test]
    fn heads_are_bounded() {
        let endless = format!("HTTP/1.1 200 OK\r\nx: {}", "x".repeat(MAX_HEAD));
        assert_eq!(Head::read(endless.as_bytes()), Err(Malformed::LargeHead));
        let many: String = (0..=MAX_HEADERS).map(|number| format!("x{number}: y\r\n")).collect();
        assert_eq!(head(&format!("200 OK\r\n{many}")), Err(Malformed::Head(httparse::Error::TooManyHeaders)));
    }

    /// Reads a chunked body in such pieces: its data, and what is left behind its end.
    fn read(pieces: &[&[u8]]) -> Result<(Vec<u8>, bool, Vec<u8>), Malformed> {
        let (mut body, mut data, mut behind) = (Body::Chunked(Chunks::START), Vec::new(), Vec::new());
        for mut piece in pieces.iter().copied() {
            body.read(&mut piece, &mut data)?;
            behind.extend_from_slice(piece);
        }
        Ok((data, body.is_over(), behind))
    }

    const CHUNKED: &[u8] =
        b"5\r\nhello\r\n00A;name=value\r\n, you\r\n\0\r!\r\n1 \r\n.\r\n0\r\nx-trailer: y\r\nanother: z\r\n\r\nHTTP/1.1 200";
    const DATA: &[u8] = b"hello, you\r\n\0\r!.";

    #[test]
    fn any_two_pieces_of_a_chunked_body_are_the_same() {
        for cut in 0..=CHUNKED.len() {
            let (first, second) = CHUNKED.split_at(cut);
            assert_eq!(read(&[first, second]), Ok((DATA.to_vec(), true, b"HTTP/1.1 200".to_vec())), "cut at {cut}");
        }
    }

    #[test]
    fn what_is_not_in_chunks_is_refused() {
        let many = |what: &str, bytes: usize| what.replace('*', &"x".repeat(bytes)).into_bytes();
        let wrong = [
            b"\r\n".to_vec(),
            b"5\nhello".to_vec(),
            b"5\r\nhello!".to_vec(),
            b"-1\r\n".to_vec(),
            b"0x5\r\n".to_vec(),
            b"11111111111111111\r\n".to_vec(),
            vec![b'0'; 300],
            many("1;*\r\n", MAX_EXTENSION + 1),
            many("0\r\n*\r\n\r\n", MAX_HEAD + 1),
            b"data: {}\n\n".to_vec(),
        ];
        for bytes in wrong {
            let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]).into_owned();
            assert_eq!(read(&[&bytes]), Err(Malformed::Chunks), "{shown}");
        }
    }

    proptest! {
        #[test]
        fn what_was_put_into_chunks_comes_out_in_any_pieces(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..8),
            sizes in prop::collection::vec(1..9_usize, 300),
        ) {
            let mut framed = Vec::new();
            for chunk in &chunks {
                framed.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                framed.extend_from_slice(chunk);
                framed.extend_from_slice(b"\r\n");
            }
            framed.extend_from_slice(b"0\r\n\r\n");
            let (mut pieces, mut rest) = (Vec::new(), &framed[..]);
            for size in sizes {
                let (piece, after) = rest.split_at(size.min(rest.len()));
                pieces.push(piece);
                rest = after;
            }
            pieces.push(rest);
            prop_assert_eq!(read(&pieces), Ok((chunks.concat(), true, Vec::new())));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), length in 0..300_u64) {
            let _ = Head::read(&bytes);
            let _ = read(&[&bytes]);
            let (mut body, mut data, mut left) = (Body::Sized(length), Vec::new(), &bytes[..]);
            body.read(&mut left, &mut data).unwrap();
            prop_assert_eq!(data.len() as u64, length.min(bytes.len() as u64));
            prop_assert_eq!(body.is_over(), bytes.len() as u64 >= length);
        }
    }
}
