//! What becomes of a connection that bore a stream: it bears the next request, whatever the client sent meanwhile.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use cloudach_blackbox::{Answer, Fleet, Plan, chat, eventually, with};
use serde_json::json;

const CHAT: &str = "/v1/chat/completions";

fn streamed(text: &str) -> serde_json::Value {
    with(chat(text), json!({ "stream": true }))
}

/// The answer is a whole stream.
fn assert_whole(answer: &Answer) {
    assert_eq!(answer.head.status, 200, "{}", answer.text());
    assert_eq!(answer.head.get("transfer-encoding"), Some("chunked"));
    assert!(answer.head.get("date").is_some_and(|date| date.ends_with(" GMT")));
    assert!(answer.text().ends_with("data: [DONE]\n\n"), "{}", answer.text());
}

#[test]
fn streams_and_whole_answers_follow_each_other_on_one_connection() {
    let fleet = Fleet::start(Plan::default());
    let client = fleet.client();
    let mut connection = client.connect();
    for round in 0..5 {
        connection.send(&client.posting(CHAT, &streamed("hello [[tokens=3]]"))).unwrap();
        assert_whole(&connection.answer().unwrap());
        connection.send(&client.posting(CHAT, &chat("hello [[tokens=3]]"))).unwrap();
        let answer = connection.answer().unwrap();
        assert_eq!(answer.head.status, 200, "round {round}: {}", answer.text());
        assert_eq!(answer.head.get("connection"), None);
    }
}

/// No byte of a body is sent to HEAD (RFC 9110, 9.3.2): a proxy that uses the connection again would take it for the next answer.
#[test]
fn a_stream_has_no_body_for_head() {
    let fleet = Fleet::start(Plan::default());
    let client = fleet.client();
    let made = client.post("/v1/responses", &json!({ "model": "fake-model", "input": "[[say:Hi]]" })).json();
    let path = format!("/v1/responses/{}?stream=true", made["id"].as_str().unwrap());
    assert!(client.get(&path).text().contains("response.completed"));
    let mut connection = TcpStream::connect(client.address).unwrap();
    connection.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    connection.write_all(&client.request("HEAD", &path, &[], b"")).unwrap();
    let mut head = [0; 4096];
    let length = connection.read(&mut head).unwrap();
    let head = String::from_utf8_lossy(&head[..length]).into_owned();
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("text/event-stream"), "{head}");
    connection.write_all(&client.request("GET", "/v1/models", &[("connection", "close")], b"")).unwrap();
    let mut rest = String::new();
    connection.read_to_string(&mut rest).unwrap();
    let both = head + &rest;
    let (_, next) = both.split_once("\r\n\r\n").unwrap();
    assert!(next.starts_with("HTTP/1.1 200 OK\r\n"), "{both}");
}

#[test]
fn requests_that_were_sent_during_a_stream_are_answered_in_order() {
    let fleet = Fleet::start(Plan::default());
    let client = fleet.client();
    let mut connection = client.connect();
    let slow = client.posting(CHAT, &streamed("slow [[tokens=6]][[delay=50ms]]"));
    // Together with its head, in the middle of it, and cut in the middle of the next one's body.
    let next = client.posting(CHAT, &chat("next [[say:the next one]]"));
    let last = client.posting(CHAT, &streamed("last [[tokens=2]]"));
    let (early, late) = last.split_at(last.len() - 7);
    connection.send(&[slow, next].concat()).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    connection.send(early).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    connection.send(late).unwrap();
    assert_whole(&connection.answer().unwrap());
    let answer = connection.answer().unwrap();
    assert_eq!(answer.json()["choices"][0]["message"]["content"], "the next one");
    assert_whole(&connection.answer().unwrap());
}

#[test]
fn a_client_that_wants_no_more_is_told_so_and_let_go() {
    let fleet = Fleet::start(Plan::default());
    let client = fleet.client();
    let request = String::from_utf8(client.posting(CHAT, &streamed("bye [[tokens=3]]"))).unwrap();
    for option in ["close", "Close", "keep-alive, close"] {
        let mut connection = client.connect();
        let request = request.replacen("\r\n", &format!("\r\nconnection: {option}\r\n"), 1);
        connection.send(request.as_bytes()).unwrap();
        let answer = connection.answer().unwrap();
        assert_whole(&answer);
        assert_eq!(answer.head.get("connection"), Some("close"));
        assert!(connection.is_closed_by_server().unwrap());
    }
}

/// It knows no chunks: the end of the connection is the end of the stream.
#[test]
fn http_1_0_has_its_stream_until_the_connection_ends() {
    let fleet = Fleet::start(Plan::default());
    let client = fleet.client();
    let request = String::from_utf8(client.posting(CHAT, &streamed("old [[tokens=3]]"))).unwrap();
    let mut connection = TcpStream::connect(client.address).unwrap();
    connection.write_all(request.replacen("HTTP/1.1", "HTTP/1.0", 1).as_bytes()).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
    assert!(!answer.contains("transfer-encoding"), "{answer}");
    assert!(answer.ends_with("\n\ndata: [DONE]\n\n"), "{answer}");
}

/// Who sends without end while a stream runs is not read without end, and leaving is noticed all the same.
#[test]
fn a_client_that_floods_its_stream_holds_up_nobody_and_is_let_go() {
    let fleet = Fleet::start(Plan::default());
    let client = fleet.client();
    let mut connection = client.connect();
    connection.send(&client.posting(CHAT, &streamed("long [[tokens=10000]][[delay=10ms]]"))).unwrap();
    eventually(Duration::from_secs(5), "it runs", || fleet.running() == 1);
    connection.send(&client.posting(CHAT, &chat(&"x".repeat(60_000)))).unwrap();
    assert_eq!(client.post(CHAT, &chat("hi [[tokens=1]]")).head.status, 200);
    drop(connection);
    eventually(Duration::from_secs(5), "its stream is given up", || fleet.running() == 0);
}
