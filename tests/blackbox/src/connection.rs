//! HTTP/1.1 by hand: one connection, bytes out and one answer at a time in, its framing checked.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// Nothing in these tests is silent for so long.
const PATIENCE: Duration = Duration::from_secs(20);

/// A head that is longer than this many bytes is an error.
const MOST_HEAD: usize = 64 * 1024;

/// A connection to a server. Dropping it closes it.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// Bytes that have come and were not looked at.
    buffer: Vec<u8>,
}

/// The status and the headers of an answer.
#[derive(Debug, Clone)]
pub struct Head {
    pub status: u16,
    /// Names are lower case.
    pub headers: Vec<(String, String)>,
}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub head: Head,
    pub body: Vec<u8>,
}

/// An answer whose body is being read.
#[derive(Debug)]
pub struct Reading {
    pub head: Head,
    connection: Connection,
    rest: Rest,
}

/// What of a body is still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    Bytes(usize),
    Chunks,
    /// Everything until the connection ends.
    All,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the server has closed the connection.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends nothing any more; the answer can still be read.
    ///
    /// # Errors
    /// When the server has closed the connection.
    pub fn send_end(&self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// Reads the head of an answer.
    ///
    /// # Errors
    /// When the connection ends before it, or what comes is no HTTP/1.1.
    pub fn reading(mut self) -> io::Result<Reading> {
        let head = self.head()?;
        let rest = head.framing();
        Ok(Reading { head, connection: self, rest })
    }

    /// Reads a whole answer and leaves the connection open for the next one.
    ///
    /// # Errors
    /// As [`Connection::reading`], or when the body is cut short.
    pub fn answer(&mut self) -> io::Result<Answer> {
        let head = self.head()?;
        let (mut rest, mut body) = (head.framing(), Vec::new());
        while let Some(bytes) = self.body(&mut rest)? {
            body.extend(bytes);
        }
        Ok(Answer { head, body })
    }

    /// Waits until the server closes the connection. False: it sent something first.
    ///
    /// # Errors
    /// When it does neither in time.
    pub fn is_closed_by_server(&mut self) -> io::Result<bool> {
        if !self.buffer.is_empty() {
            return Ok(false);
        }
        match self.more() {
            Ok(more) => Ok(!more),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Makes the kernel's buffer for unread bytes this small, so that a client that reads nothing is noticed soon.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn shrink_window(&self, bytes: usize) -> io::Result<()> {
        Ok(rustix::net::sockopt::set_socket_recv_buffer_size(&self.stream, bytes)?)
    }

    fn head(&mut self) -> io::Result<Head> {
        let end = loop {
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            if self.buffer.len() > MOST_HEAD {
                return Err(invalid("the head does not end"));
            }
            if !self.more()? {
                return Err(io::Error::new(ErrorKind::UnexpectedEof, "the connection ended before an answer"));
            }
        };
        let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
        Head::parse(&head).ok_or_else(|| invalid(&format!("no HTTP: {}", String::from_utf8_lossy(&head))))
    }

    fn body(&mut self, rest: &mut Rest) -> io::Result<Option<Vec<u8>>> {
        match *rest {
            Rest::Bytes(0) => Ok(None),
            Rest::Bytes(left) => {
                if self.buffer.is_empty() && !self.more()? {
                    return Err(cut());
                }
                let taken = left.min(self.buffer.len());
                *rest = Rest::Bytes(left - taken);
                Ok(Some(self.buffer.drain(..taken).collect()))
            }
            Rest::Chunks => {
                let size = self.chunk_size()?;
                while self.buffer.len() < size + 2 {
                    if !self.more()? {
                        return Err(cut());
                    }
                }
                let mut chunk: Vec<u8> = self.buffer.drain(..size + 2).collect();
                if !chunk.ends_with(b"\r\n") {
                    return Err(invalid("a chunk does not end where it said"));
                }
                chunk.truncate(size);
                if size == 0 {
                    *rest = Rest::Bytes(0);
                    return Ok(None);
                }
                Ok(Some(chunk))
            }
            Rest::All => {
                if self.buffer.is_empty() && !self.more()? {
                    return Ok(None);
                }
                Ok(Some(std::mem::take(&mut self.buffer)))
            }
        }
    }

    fn chunk_size(&mut self) -> io::Result<usize> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|window| window == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
                let size = std::str::from_utf8(&line[..end]).ok();
                return size.and_then(|size| usize::from_str_radix(size, 16).ok()).ok_or_else(|| invalid("no chunk"));
            }
            if !self.more()? {
                return Err(cut());
            }
        }
    }

    /// Reads what has come. False: the connection has ended.
    fn more(&mut self) -> io::Result<bool> {
        let mut bytes = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(count) => {
                    self.buffer.extend_from_slice(&bytes[..count]);
                    return Ok(count > 0);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Head {
    /// A header's value; `None` when it is missing or comes twice.
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(found, _)| found == name);
        let value = values.next()?;
        values.next().is_none().then_some(&value.1)
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut lines = text.trim_end().split("\r\n");
        let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_lowercase(), value.trim().to_owned()))
        });
        Some(Self { status, headers: headers.collect::<Option<_>>()? })
    }

    fn framing(&self) -> Rest {
        if self.get("transfer-encoding") == Some("chunked") {
            return Rest::Chunks;
        }
        match self.get("content-length").and_then(|length| length.parse().ok()) {
            Some(length) => Rest::Bytes(length),
            // Without a body by definition.
            None if self.status == 204 => Rest::Bytes(0),
            None => Rest::All,
        }
    }
}

impl Answer {
    /// The body as JSON, its keys in order.
    ///
    /// # Panics
    /// When it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Reading {
    /// The next bytes of the body; `None` at its proper end.
    ///
    /// # Errors
    /// When the connection ends before the body does, or nothing comes for too long.
    pub fn bytes(&mut self) -> io::Result<Option<Vec<u8>>> {
        self.connection.body(&mut self.rest)
    }

    /// The connection, for the next request or for its end.
    pub fn into_connection(self) -> Connection {
        self.connection
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what.to_owned())
}

fn cut() -> io::Error {
    io::Error::new(ErrorKind::UnexpectedEof, "the body was cut short")
}
