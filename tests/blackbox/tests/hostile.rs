//! Clients that are slow, huge or not speaking HTTP at all: each is ended within its bounds and nobody else notices.

#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

use std::time::{Duration, Instant};

use cloudach_blackbox::{Connection, Fleet, Plan, Shared, Visit, chat, error_of};
use serde_json::json;

const CHAT: &str = "/v1/chat/completions";
const BODY_LIMIT: usize = 64 * 1024;

static FLEET: Shared = Shared::new(|| {
    Fleet::start(Plan {
        edge: json!({ "limits": { "body_bytes": BODY_LIMIT, "header_time": "1s", "body_time": "1s" } }),
        ..Plan::default()
    })
});

#[test]
fn a_body_announced_too_large_is_refused_before_it_is_sent() {
    let fleet = FLEET.visit();
    let client = fleet.client();
    let answer = client.ask(&client.request("POST", CHAT, &[("content-length", "99999999999")], b"{"));
    assert_eq!(answer.head.status, 413);
    assert!(error_of(&answer)["message"].as_str().unwrap().contains(&BODY_LIMIT.to_string()));
    assert_serves(&fleet);
}

#[test]
fn a_body_of_the_largest_size_is_taken() {
    let fleet = FLEET.visit();
    let client = fleet.client();
    let mut body = chat("hi").to_string();
    body.push_str(&" ".repeat(BODY_LIMIT - body.len()));
    assert_eq!(client.ask(&client.request("POST", CHAT, &[], body.as_bytes())).head.status, 200);
    body.push(' ');
    assert_eq!(client.ask(&client.request("POST", CHAT, &[], body.as_bytes())).head.status, 413);
}

#[test]
fn a_body_that_grows_too_large_in_chunks_is_refused() {
    let fleet = FLEET.visit();
    let client = fleet.client();
    let mut connection = client.connect();
    let chunk = format!("{:x}\r\n{}\r\n", 32 * 1024, " ".repeat(32 * 1024));
    connection.send(&client.request("POST", CHAT, &[("transfer-encoding", "chunked")], b"")).unwrap();
    for _ in 0..3 {
        connection.send(chunk.as_bytes()).unwrap();
    }
    let answer = connection.answer().unwrap();
    assert_eq!(answer.head.status, 413);
    error_of(&answer);
    assert_serves(&fleet);
}

#[test]
fn a_body_that_comes_too_slowly_is_given_up() {
    let fleet = FLEET.visit();
    let client = fleet.client();
    let begun = Instant::now();
    let answer = client.ask(&client.request("POST", CHAT, &[("content-length", "1000")], b"{\"model\":"));
    assert_eq!(answer.head.status, 408);
    assert_eq!(error_of(&answer)["type"], "invalid_request_error");
    assert!((1..5).contains(&begun.elapsed().as_secs()));
    assert_serves(&fleet);
}

#[test]
fn a_body_that_breaks_off_ends_the_connection_only() {
    let fleet = FLEET.visit();
    let client = fleet.client();
    let mut connection = client.connect();
    connection.send(&client.request("POST", CHAT, &[("content-length", "1000")], b"{\"model\":")).unwrap();
    connection.send_end().unwrap();
    if let Ok(answer) = connection.answer() {
        assert_eq!(answer.head.status, 400);
    }
    assert_serves(&fleet);
}

#[test]
fn a_head_that_comes_too_slowly_is_given_up() {
    let fleet = FLEET.visit();
    let mut connection = fleet.client().connect();
    connection.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\n").unwrap();
    let begun = Instant::now();
    assert_ends(connection);
    assert!((1..5).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    assert_serves(&fleet);
}

#[test]
fn a_connection_without_a_request_is_given_up() {
    let fleet = FLEET.visit();
    for beginning in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r"] {
        let mut connection = fleet.client().connect();
        connection.send(beginning).unwrap();
        let begun = Instant::now();
        assert_ends(connection);
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}

#[test]
fn headers_that_are_no_text_harm_nobody() {
    let fleet = FLEET.visit();
    let client = fleet.client();
    let body = chat("[[say:fine]]").to_string();
    let head = |junk: &[u8]| {
        let mut bytes = format!("POST {CHAT} HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n", body.len()).into_bytes();
        bytes.extend_from_slice(junk);
        bytes.extend_from_slice(b"\r\n\r\n");
        bytes.extend_from_slice(body.as_bytes());
        bytes
    };
    let key = format!("authorization: Bearer {}\r\n", client.key).into_bytes();
    for junk in
        [&b"x-junk: \xff\xfe\x80"[..], b"traceparent: \xff", b"user-agent: \xc3\x28", b"content-type: \xff/\xff"]
    {
        assert_eq!(client.ask(&head(&[&key, junk].concat())).head.status, 200);
    }
    let answer = client.ask(&head(b"authorization: Bearer \xff\xfe"));
    assert_eq!(answer.head.status, 401);
    error_of(&answer);
    let long = [&key[..], b"tracestate: ", &vec![b'a'; 5000][..]].concat();
    assert_eq!(client.ask(&head(&long)).head.status, 200);
    assert_serves(&fleet);
}

#[test]
fn heads_without_end_are_given_up() {
    let fleet = FLEET.visit();
    let client = fleet.client();
    let mut connection = client.connect();
    let line = format!("x-more: {}\r\n", "y".repeat(1000));
    let _ = connection.send(format!("GET /v1/models HTTP/1.1\r\n{}", line.repeat(200)).as_bytes());
    assert_ends(connection);
    let mut connection = client.connect();
    let _ = connection.send(format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(100_000)).as_bytes());
    assert_ends(connection);
    assert_serves(&fleet);
}

#[test]
fn bytes_that_are_no_http_end_the_connection_only() {
    let fleet = FLEET.visit();
    let client = fleet.client();
    let junk: [&[u8]; 7] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x00\x00\x00\x00\x00\x00\x00\x00",
        b"hello there\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: minus one\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ];
    for bytes in junk {
        let mut connection = client.connect();
        connection.send(bytes).unwrap();
        assert_ends(connection);
    }
    assert_serves(&fleet);
}

#[test]
fn many_connections_that_say_nothing_leave_room_for_others() {
    let fleet = FLEET.visit();
    let silent: Vec<_> = (0..500).map(|_| fleet.client().connect()).collect();
    assert_serves(&fleet);
    drop(silent);
    assert_serves(&fleet);
}

/// Reads until the server closes the connection, which it has to.
fn assert_ends(connection: Connection) {
    match connection.reading() {
        Ok(mut refused) => {
            assert!((400..500).contains(&refused.head.status), "{:?}", refused.head);
            while let Ok(Some(_)) = refused.bytes() {}
            assert!(refused.into_connection().is_closed_by_server().unwrap());
        }
        Err(error) => assert!(
            !matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut),
            "the connection was left open"
        ),
    }
}

fn assert_serves(fleet: &Visit) {
    let answer = fleet.client().post(CHAT, &chat("[[say:still here]]")).json();
    assert_eq!(answer["choices"][0]["message"]["content"], "still here");
}
