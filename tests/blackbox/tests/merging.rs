//! How finely an answer is streamed: as the engine gives it, or merged for thrift (`stream.merge`).

use std::time::{Duration, Instant};

use cloudach_blackbox::{Fleet, Plan, Shared, chat, chat_text, with};
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";

static PLAIN: Shared = Shared::new(|| Fleet::start(Plan::default()));
static MERGING: Shared = Shared::new(|| {
    Fleet::start(Plan {
        edge: json!({ "stream": { "merge": "200ms" } }),
        // What is told when nothing can be done.
        router: json!({ "relay": { "resume": false } }),
        ..Plan::default()
    })
});

static SLOW: Shared =
    Shared::new(|| Fleet::start(Plan { edge: json!({ "stream": { "merge": "4s" } }), ..Plan::default() }));

fn request() -> Value {
    with(chat("slowly [[tokens=60]][[delay=10ms]]"), json!({ "stream": true, "logprobs": true }))
}

fn contents(chunks: &[Value]) -> usize {
    chunks
        .iter()
        .filter(|chunk| chunk["choices"][0]["delta"]["content"].as_str().is_some_and(|text| !text.is_empty()))
        .count()
}

fn tokens(chunks: &[Value]) -> Vec<Value> {
    let entries = chunks.iter().filter_map(|chunk| chunk["choices"][0]["logprobs"]["content"].as_array());
    entries.flatten().map(|entry| entry["token"].clone()).collect()
}

#[test]
fn a_chunk_for_every_token_unless_told_otherwise() {
    let chunks = PLAIN.visit().client().stream(CHAT, &request()).chunks();
    assert_eq!(contents(&chunks), 60);
}

#[test]
fn merged_text_is_the_same_text_in_fewer_chunks() {
    let one_by_one = PLAIN.visit().client().stream(CHAT, &request()).chunks();
    let merged = MERGING.visit().client().stream(CHAT, &request()).chunks();
    assert_eq!(chat_text(&merged, 0), chat_text(&one_by_one, 0));
    assert_eq!(tokens(&merged), tokens(&one_by_one), "every token keeps its log-probability");
    // At least 0.6 seconds of text in steps of 0.2.
    assert!((2..30).contains(&contents(&merged)), "{} chunks", contents(&merged));
}

#[test]
fn the_first_text_and_the_end_wait_for_nothing() {
    let fleet = SLOW.visit();
    let began = Instant::now();
    let mut events = fleet.client().stream(CHAT, &with(chat("[[tokens=3]][[delay=9s]]"), json!({ "stream": true })));
    let role = events.chunk();
    assert_eq!(role["choices"][0]["delta"]["role"], "assistant");
    events.chunk();
    assert!(began.elapsed() < Duration::from_secs(2), "the first text came after {:?}", began.elapsed());
    drop(events);
    // All of it is there at once: nothing is left to wait for.
    let chunks = fleet.client().stream(CHAT, &with(chat("[[tokens=50]]"), json!({ "stream": true, "n": 3 }))).chunks();
    for choice in 0..3 {
        let whole = fleet.client().post(CHAT, &with(chat("[[tokens=50]]"), json!({ "n": 3 }))).json();
        assert_eq!(whole["choices"][choice]["message"]["content"], chat_text(&chunks, choice as u64));
    }
}

#[test]
fn what_came_before_a_fault_is_not_lost() {
    let fleet = MERGING.visit();
    let request = with(chat("[[tokens=20]][[fault:die_after=7]]"), json!({ "stream": true }));
    let events = fleet.client().stream(CHAT, &request).rest();
    let chunks: Vec<Value> = events
        .into_iter()
        .filter_map(|event| match event {
            cloudach_blackbox::Event::Json(chunk) => Some(chunk),
            _ => None,
        })
        .collect();
    assert_eq!(chat_text(&chunks, 0).split_whitespace().count(), 7, "{chunks:?}");
    assert!(chunks.last().unwrap()["error"].is_object());
}
