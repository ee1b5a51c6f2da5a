//! A client that sees every byte: what the tests of the fake engine talk to it with.
#![allow(dead_code, reason = "every test file uses another part of it")]
#![expect(clippy::unwrap_used, reason = "what a test stumbles over is its failure")]

use std::time::Duration;

use cloudach_fake_engine::{FakeEngine, Listen};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How a response ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Complete,
    /// The connection was closed before the response was complete.
    Closed,
    Reset,
}

#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub head: String,
    /// Without the chunk framing.
    pub body: Vec<u8>,
    pub end: End,
}

impl Response {
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// The data of every event.
    pub fn events(&self) -> Vec<String> {
        self.text().split_terminator("\n\n").map(|event| event.strip_prefix("data: ").unwrap().to_owned()).collect()
    }

    /// The events that are JSON.
    pub fn chunks(&self) -> Vec<Value> {
        self.events().iter().filter_map(|event| serde_json::from_str(event).ok()).collect()
    }
}

pub async fn connect(engine: &FakeEngine) -> TcpStream {
    let Listen::Tcp(address) = engine.address() else { panic!("the engine listens on a Unix socket") };
    TcpStream::connect(address).await.unwrap()
}

pub async fn send(client: &mut (impl AsyncWriteExt + Unpin), method: &str, path: &str, body: &str) {
    let request = format!("{method} {path} HTTP/1.1\r\nhost: engine\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    client.write_all(request.as_bytes()).await.unwrap();
}

/// Reads a whole response, however it ends.
pub async fn read(client: &mut (impl AsyncReadExt + Unpin)) -> Response {
    let mut bytes = Vec::new();
    let mut end = End::Complete;
    while whole_length(&bytes).is_none() {
        match client.read_buf(&mut bytes).await {
            Ok(0) => {
                end = End::Closed;
                break;
            }
            Ok(_) => {}
            Err(_) => {
                end = End::Reset;
                break;
            }
        }
    }
    let Some(head_end) = find(&bytes, b"\r\n\r\n") else {
        return Response { status: 0, head: String::new(), body: bytes, end };
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).unwrap();
    let raw = &bytes[head_end + 4..];
    let body = if head.contains("transfer-encoding: chunked") { dechunk(raw).0 } else { raw.to_vec() };
    Response { status: head[9..12].parse().unwrap(), head, body, end }
}

pub async fn get(engine: &FakeEngine, path: &str) -> Response {
    call(engine, "GET", path, "").await
}

pub async fn post(engine: &FakeEngine, path: &str, body: Value) -> Response {
    call(engine, "POST", path, &body.to_string()).await
}

pub async fn call(engine: &FakeEngine, method: &str, path: &str, body: &str) -> Response {
    let mut client = connect(engine).await;
    send(&mut client, method, path, body).await;
    let waited = tokio::time::timeout(Duration::from_secs(10), read(&mut client)).await;
    waited.expect("a response within ten seconds")
}

/// Waits until something is so, and fails when that takes longer than it may ever take.
pub async fn eventually(what: impl Fn() -> bool) {
    let looked = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), looked).await.expect("it never happened");
}

/// The length of a response when it is complete.
fn whole_length(bytes: &[u8]) -> Option<usize> {
    let head_end = find(bytes, b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..head_end]).unwrap();
    let body = &bytes[head_end + 4..];
    if head.contains("transfer-encoding: chunked") {
        return dechunk(body).1.then_some(bytes.len());
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?;
    let whole = head_end + 4 + length.parse::<usize>().unwrap();
    (bytes.len() >= whole).then_some(whole)
}

/// The content so far, and whether the last chunk has come.
fn dechunk(mut raw: &[u8]) -> (Vec<u8>, bool) {
    let mut content = Vec::new();
    while let Some(line) = find(raw, b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&raw[..line]).unwrap(), 16).unwrap();
        let rest = &raw[line + 2..];
        if size == 0 && rest.len() >= 2 {
            return (content, true);
        }
        if rest.len() < size + 2 {
            break;
        }
        content.extend_from_slice(&rest[..size]);
        assert_eq!(&rest[size..size + 2], b"\r\n");
        raw = &rest[size + 2..];
    }
    (content, false)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
