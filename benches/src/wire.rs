//! The least of an HTTP/1.1 client: what it costs is paid by the core that the engine and the load share.

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context, Result, bail, ensure};
use memchr::memmem;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// What is read at once.
const READ: usize = 16 * 1024;

/// The longest head or whole answer.
const MOST: usize = 64 << 20;

/// The bytes of a request.
#[derive(Debug, Clone)]
pub struct Request(Arc<[u8]>);

impl Request {
    pub fn get(path: &str) -> Self {
        Self(format!("GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n").into_bytes().into())
    }

    pub fn post(path: &str, key: &str, body: &str) -> Self {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        Self((head + body).into_bytes().into())
    }
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Answer {
    /// This, where it is a good one.
    pub fn ok(self) -> Result<Self> {
        ensure!(self.status == 200, "status {}: {}", self.status, String::from_utf8_lossy(&self.body));
        Ok(self)
    }

    pub fn text(self) -> Result<String> {
        Ok(String::from_utf8(self.ok()?.body)?)
    }
}

/// A connection that is kept.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// What came with the head of a stream has not been looked at.
    unread: bool,
}

/// The completion's tokens, where this holds all digits of them.
fn tokens(text: &[u8]) -> Option<u32> {
    const NAME: &[u8] = b"\"completion_tokens\":";
    let value = &text[memmem::find(text, NAME)? + NAME.len()..];
    let end = value.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(&value[..end]).ok()?.parse().ok()
}

/// How far a stream has come.
#[derive(Debug, Default)]
pub struct Streamed {
    /// `data:` lines so far, the closing one included.
    pub events: usize,
    /// What the usage at the end says.
    pub tokens: Option<u32>,
    pub ended: bool,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::new(), unread: false })
    }

    /// Sends a request and reads its whole answer, which says its length.
    pub async fn ask(&mut self, request: &Request) -> Result<Answer> {
        self.stream.write_all(&request.0).await?;
        let (status, head, length) = self.head().await?;
        let end = head + length.context("the answer does not say how long it is")?;
        ensure!(end <= MOST, "an answer of {end} bytes");
        while self.buffer.len() < end {
            self.fill().await?;
        }
        let rest = self.buffer.split_off(end);
        let body = std::mem::replace(&mut self.buffer, rest).split_off(head);
        Ok(Answer { status, body })
    }

    /// Sends a request whose answer is a stream, and reads the answer's head.
    pub async fn begin(&mut self, request: &Request) -> Result<()> {
        self.stream.write_all(&request.0).await?;
        let (status, head, length) = self.head().await?;
        if status != 200 {
            let body = String::from_utf8_lossy(&self.buffer[head..]).into_owned();
            bail!("status {status} of {length:?} bytes: {body}");
        }
        self.buffer.drain(..head);
        self.unread = !self.buffer.is_empty();
        Ok(())
    }

    /// Reads what has come of a stream, and waits where nothing has.
    pub async fn follow(&mut self, streamed: &mut Streamed) -> Result<()> {
        const MARK: &[u8] = b"data: ";
        const END: &[u8] = b"[DONE]";
        const LAST_CHUNK: &[u8] = b"\r\n0\r\n\r\n";
        if !std::mem::take(&mut self.unread) {
            self.fill().await?;
        }
        // What a mark may have begun with stays for the next time, and so does the closing event.
        let kept = 64;
        let until = self.buffer.len().saturating_sub(if self.buffer.ends_with(LAST_CHUNK) { 0 } else { kept });
        streamed.tokens = streamed.tokens.or_else(|| tokens(&self.buffer));
        let last =
            memmem::find_iter(&self.buffer, MARK).take_while(|at| *at < until).inspect(|_| streamed.events += 1).last();
        if self.buffer.ends_with(LAST_CHUNK) {
            let is_whole = memmem::find(&self.buffer, END).is_some();
            ensure!(is_whole, "a stream ended without [DONE]: {}", String::from_utf8_lossy(&self.buffer));
            streamed.ended = true;
            self.buffer.clear();
        } else {
            let from = until.max(last.map_or(0, |at| at + MARK.len()));
            self.buffer.drain(..from);
        }
        Ok(())
    }

    /// The status, where the body begins, and how long it is.
    async fn head(&mut self) -> Result<(u16, usize, Option<usize>)> {
        let end = loop {
            if let Some(end) = memmem::find(&self.buffer, b"\r\n\r\n") {
                break end + 4;
            }
            ensure!(self.buffer.len() <= READ, "an endless head");
            self.fill().await?;
        };
        let head = std::str::from_utf8(&self.buffer[..end])?;
        let status = head.split(' ').nth(1).context("no status")?.parse()?;
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
        });
        Ok((status, end, length))
    }

    async fn fill(&mut self) -> Result<()> {
        self.buffer.reserve(READ / 4);
        ensure!(self.stream.read_buf(&mut self.buffer).await? > 0, "the connection ended");
        Ok(())
    }
}
