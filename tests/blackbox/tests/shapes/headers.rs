//! Headers, and connections that carry several requests.

use super::*;

#[test]
fn answers_bear_openais_headers() {
    let fleet = FLEET.visit();
    let client = fleet.client();
    let whole = client.post(CHAT, &chat("hi"));
    assert_eq!(whole.head.get("content-type"), Some("application/json"));
    let chats = client.stream(CHAT, &streamed(chat("hi")));
    assert_eq!(chats.head().get("content-type"), Some("text/event-stream; charset=utf-8"));
    let completions = client.stream(COMPLETIONS, &streamed(completion("hi")));
    assert_eq!(completions.head().get("content-type"), Some("text/event-stream"));
    for head in [chats.head(), completions.head()] {
        assert_eq!(head.get("cache-control"), Some("no-cache"));
        assert_eq!(head.get("x-accel-buffering"), Some("no"));
    }
    let models = client.get("/v1/models");
    let refused = client.post(CHAT, &json!({}));
    let heads = [&whole.head, chats.head(), completions.head(), &models.head, &refused.head];
    let mut ids: Vec<_> = heads.iter().map(|head| assert_common_headers(head)).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), heads.len(), "every request has an id of its own");
}

#[test]
fn requests_follow_one_another_on_one_connection() {
    let fleet = FLEET.visit();
    let client = fleet.client();
    let mut connection = client.connect();
    for round in 0..3 {
        let say = format!("[[say:round {round}]]");
        let answer = ask_on(&client, &mut connection, CHAT, &chat(&say));
        assert_eq!(answer.json()["choices"][0]["message"]["content"], format!("round {round}"));
        assert_eq!(ask_on(&client, &mut connection, CHAT, &json!({})).head.status, 400);
        connection.send(&client.posting(CHAT, &streamed(chat(&say)))).unwrap();
        let mut events = Events::of(connection.reading().unwrap());
        let mut last = None;
        while let Some(event) = events.event().unwrap() {
            last = Some(event);
        }
        assert_eq!(last, Some(Event::Done));
        connection = events.into_reading().into_connection();
    }
}

fn ask_on(client: &Client, connection: &mut cloudach_blackbox::Connection, path: &str, body: &Value) -> Answer {
    connection.send(&client.posting(path, body)).unwrap();
    connection.answer().unwrap()
}

fn assert_common_headers(head: &Head) -> &str {
    assert_eq!(head.get("openai-version"), Some("2020-10-01"));
    assert!(head.get("openai-processing-ms").is_some_and(|ms| ms.parse::<u64>().is_ok()));
    let id = head.get("x-request-id").unwrap();
    let digits = id.strip_prefix("req_").unwrap();
    assert!(digits.len() == 32 && digits.chars().all(|c| c.is_ascii_hexdigit()), "{id}");
    id
}
