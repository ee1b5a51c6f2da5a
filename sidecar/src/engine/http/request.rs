//! A request as it goes over the wire. No I/O.

use std::io::Write;

use http::{HeaderMap, Method};

/// A request with its body, which is JSON where there is one.
pub(super) fn bytes(method: &Method, path: &str, host: &str, headers: &HeaderMap, json: &[u8]) -> Vec<u8> {
    // What these headers take, and a request's name and its trace.
    const HEAD: usize = 400;
    let mut bytes = Vec::with_capacity(HEAD + json.len());
    let _ = write!(bytes, "{method} {path} HTTP/1.1\r\nhost: {host}\r\n");
    if method == Method::POST {
        let _ = write!(bytes, "content-type: application/json\r\ncontent-length: {}\r\n", json.len());
    }
    for (name, value) in headers {
        let _ = write!(bytes, "{name}: ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(json);
    bytes
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn requests_are_written_as_rfc_9112_has_them() {
        let mut headers = HeaderMap::new();
        headers.insert("x-request-id", HeaderValue::from_static("r-1"));
        let bytes = bytes(&Method::POST, "/v1/completions", "[::1]:8000", &headers, b"{}");
        let text = "POST /v1/completions HTTP/1.1\r\nhost: [::1]:8000\r\ncontent-type: application/json\r\n\
                    content-length: 2\r\nx-request-id: r-1\r\n\r\n{}";
        assert_eq!(String::from_utf8(bytes).unwrap(), text);
        let text = "GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n";
        assert_eq!(super::bytes(&Method::GET, "/health", "localhost", &HeaderMap::new(), b""), text.as_bytes());
    }
}
