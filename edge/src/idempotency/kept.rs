//! An answer as the store keeps it: a line of JSON with what it came with, then the body as it was sent.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// An answer that was given whole and well: its status was 200.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub head: Head,
    pub body: Bytes,
}

/// What it came with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// That of the request that ran: its usage is found by it.
    pub request_id: String,
    headers: Vec<(String, String)>,
}

impl Head {
    pub fn new(request_id: String, headers: &HeaderMap) -> Self {
        let text = |(name, value): (&HeaderName, &HeaderValue)| {
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        };
        Self { request_id, headers: headers.iter().filter_map(text).collect() }
    }

    pub fn headers(&self) -> HeaderMap {
        let header = |(name, value): &(String, String)| Some((name.parse().ok()?, value.parse().ok()?));
        self.headers.iter().filter_map(header).collect::<HeaderMap>()
    }

    /// The bytes that are kept.
    pub fn with(&self, body: &[u8]) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).expect("texts are JSON");
        bytes.push(b'\n');
        bytes.extend_from_slice(body);
        bytes
    }
}

impl Kept {
    /// None: it is none of ours.
    pub fn read(bytes: Vec<u8>) -> Option<Self> {
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        let head = serde_json::from_slice(&bytes[..end]).ok()?;
        Some(Self { head, body: Bytes::from(bytes).slice(end + 1..) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_as_it_was() {
        let headers = HeaderMap::from_iter([("content-type".parse().unwrap(), HeaderValue::from_static("text/x"))]);
        let head = Head::new("req_1".to_owned(), &headers);
        for body in [&b""[..], b"{}\n\n", b"\xff\n\0"] {
            let kept = Kept::read(head.with(body)).unwrap();
            assert_eq!((&kept.head, &kept.body[..]), (&head, body));
            assert_eq!(kept.head.headers(), headers);
        }
        for broken in [&b""[..], b"\n", b"{}\nx", b"no line"] {
            assert_eq!(Kept::read(broken.to_vec()), None);
        }
    }
}
