//! Engines that fail: what another replica can still do is done, everything else is one right error, before the answer
//! or in it (checklist C10), and never a hang or a silent cut.

#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

use std::time::{Duration, Instant};

use cloudach_blackbox::{
    Answer, Engine, Event, Fleet, Plan, Replica, Shared, Visit, chat, chat_text, error_of, eventually, runtime, with,
};
use cloudach_fake_engine::{Break, FakeEngine, Fault, FaultRule, Script};
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";

/// Longer than a keep-alive, shorter than anybody's patience.
const STALL: &str = "1s";

static FLEET: Shared = Shared::new(|| {
    // What only one engine of a pair suffers, whichever it is.
    let once = [
        ("once-refused", Fault::Status(503)),
        ("once-failed", Fault::Status(500)),
        ("once-reset", Fault::Die),
        ("once-reset-early", Fault::After(0, Break::Reset)),
        ("once-error-early", Fault::After(0, Break::Error)),
        ("once-ended-early", Fault::After(0, Break::End)),
    ];
    let pair = once.into_iter().fold(Script::vllm(), |script, (name, fault)| {
        script.fault(FaultRule::from(fault).matching(&format!("<{name}>")).times(1))
    });
    Fleet::start(Plan {
        replicas: vec![
            Replica::fake(Script::vllm()),
            Replica::of("pair", pair.clone()),
            Replica::of("pair", pair),
            Replica { model: "absent", engine: Engine::Absent },
        ],
        edge: json!({ "stream": { "keep_alive": "200ms" } }),
        // What is told when nothing can be done.
        router: json!({ "relay": { "resume": false } }),
        sidecar: json!({ "limits": { "stall_timeout": STALL, "max_event": 1 << 20 } }),
        ..Plan::default()
    })
});

#[test]
fn an_engine_that_fails_before_it_answers_is_an_error_status() {
    let fleet = FLEET.visit();
    for (fault, statuses) in
        [("die", &[503][..]), ("status=503", &[503]), ("status=500", &[500, 503]), ("status=429", &[503])]
    {
        for stream in [false, true] {
            let request = with(chat(&format!("[[fault:{fault}]]")), json!({ "stream": stream }));
            let answer = fleet.client().post(CHAT, &request);
            assert!(statuses.contains(&answer.head.status), "{fault}: {} {}", answer.head.status, answer.text());
            let error = error_of(&answer);
            assert_eq!(
                (&error["type"], &error["param"], &error["code"]),
                (&json!("server_error"), &Value::Null, &Value::Null)
            );
            assert_retryable(&answer);
            assert_serves(&fleet);
        }
    }
}

#[test]
fn an_engine_that_fails_in_a_whole_answer_is_an_error_status() {
    let fleet = FLEET.visit();
    for fault in
        ["die_after=3", "error_after=3", "end_after=3", "abort_after=3", "malformed_after=3", "huge_after=3:2000000"]
    {
        let answer = fleet.client().post(CHAT, &chat(&format!("[[fault:{fault}]]")));
        assert!(matches!(answer.head.status, 500 | 503), "{fault}: {} {}", answer.head.status, answer.text());
        assert_eq!(error_of(&answer)["type"], "server_error");
        assert_serves(&fleet);
    }
}

#[test]
fn an_engine_that_fails_in_a_stream_is_one_error_event_and_a_proper_end() {
    let fleet = FLEET.visit();
    for fault in
        ["die_after=3", "error_after=3", "end_after=3", "abort_after=3", "malformed_after=3", "huge_after=3:2000000"]
    {
        for path in [CHAT, "/v1/completions"] {
            let prompt = format!("[[fault:{fault}]]");
            let request = json!({
                "model": "fake-model", "stream": true, "max_tokens": 20,
                "stream_options": { "include_usage": true },
            });
            let prompt = if path == CHAT {
                json!({ "messages": [{ "role": "user", "content": prompt }] })
            } else {
                json!({ "prompt": prompt })
            };
            let events = fleet.client().stream(path, &with(request, prompt)).rest();
            let told = chunks_before_the_error(&events);
            let words: String = told.iter().map(|chunk| chunk.to_string()).collect();
            assert!(
                words.contains("\"content\":\" ") || words.contains("\"text\":\" "),
                "{fault}: tokens came before: {words}"
            );
            assert!(
                told.iter().all(|chunk| chunk["choices"][0]["finish_reason"].is_null() && chunk["usage"].is_null())
            );
            assert_serves(&fleet);
        }
    }
}

#[test]
fn a_failed_choice_ends_the_stream_of_all() {
    let fleet = FLEET.visit();
    let request = with(chat("[[fault:die_after=3]]"), json!({ "stream": true, "n": 3 }));
    chunks_before_the_error(&fleet.client().stream(CHAT, &request).rest());
    eventually(Duration::from_secs(1), "the other choices are ended too", || fleet.engine().running() == 0);
}

#[test]
fn what_one_replica_fails_before_its_first_token_another_does() {
    let fleet = FLEET.visit();
    for fault in ["refused", "failed", "reset", "reset-early", "error-early", "ended-early"] {
        let request = with(
            chat(&format!("<once-{fault}> [[say:served]]")),
            json!({ "model": "pair", "stream": fault.ends_with("early") }),
        );
        if fault.ends_with("early") {
            let chunks = fleet.client().stream(CHAT, &request).chunks();
            assert_eq!(chat_text(&chunks, 0), "served", "{fault}");
            assert_eq!(chunks.iter().filter(|chunk| chunk["choices"][0]["delta"]["role"] == "assistant").count(), 1);
        } else {
            let answer = fleet.client().post(CHAT, &request);
            assert_eq!(answer.head.status, 200, "{fault}: {}", answer.text());
            assert_eq!(answer.json()["choices"][0]["message"]["content"], "served");
        }
    }
}

#[test]
fn a_request_that_every_replica_fails_is_not_tried_for_ever() {
    let fleet = FLEET.visit();
    let begun = Instant::now();
    let answer = fleet.client().post(CHAT, &with(chat("[[fault:die]]"), json!({ "model": "pair" })));
    assert_eq!(answer.head.status, 503);
    error_of(&answer);
    assert!(begun.elapsed() < Duration::from_secs(2));
}

/// Checklist C11.
#[test]
fn a_quiet_stream_is_kept_alive_by_comments() {
    let fleet = FLEET.visit();
    let request = with(chat("[[say:one two]][[first=900ms]]"), json!({ "stream": true }));
    let events = fleet.client().stream(CHAT, &request).rest();
    let comments = events.iter().filter(|event| matches!(event, Event::Comment(_))).count();
    assert!((2..=5).contains(&comments), "{events:?}");
    assert!(events.iter().all(|event| !matches!(event, Event::Comment(text) if text.trim() != "keep-alive")));
    let chunks: Vec<_> = events
        .into_iter()
        .filter_map(|event| if let Event::Json(chunk) = event { Some(chunk) } else { None })
        .collect();
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(chat_text(&chunks, 0), "one two");
}

#[test]
fn an_engine_that_stalls_is_given_up() {
    let fleet = FLEET.visit();
    let begun = Instant::now();
    let request = with(chat("[[fault:stall_after=3]]"), json!({ "stream": true }));
    let events = fleet.client().stream(CHAT, &request).rest();
    assert!(events.iter().filter(|event| matches!(event, Event::Comment(_))).count() >= 2, "{events:?}");
    let without: Vec<_> = events.into_iter().filter(|event| !matches!(event, Event::Comment(_))).collect();
    chunks_before_the_error(&without);
    assert!((1..5).contains(&begun.elapsed().as_secs()));
    eventually(Duration::from_secs(1), "the engine is told", || fleet.engine().running() == 0);
    let whole = fleet.client().post(CHAT, &chat("[[fault:stall_after=3]]"));
    assert_eq!(whole.head.status, 503);
    assert_serves(&fleet);
}

#[test]
fn a_large_event_within_the_bound_is_read() {
    let fleet = FLEET.visit();
    let answer = fleet.client().post(CHAT, &chat("[[say:one two three]][[fault:huge_after=1:900000]]"));
    assert_eq!(answer.json()["choices"][0]["message"]["content"], "one two three");
}

#[test]
fn a_replica_whose_engine_is_not_there_is_a_503() {
    let fleet = FLEET.visit();
    for stream in [false, true] {
        let answer = fleet.client().post(CHAT, &with(chat("hi"), json!({ "model": "absent", "stream": stream })));
        assert_eq!(answer.head.status, 503);
        assert_eq!(error_of(&answer)["type"], "server_error");
        assert_retryable(&answer);
    }
}

/// Also that chats can still be checked and refused properly while the engine is away.
#[test]
fn an_engine_that_dies_is_a_503_until_it_is_back() {
    let mut fleet = Fleet::start(Plan { router: json!({ "relay": { "resume": false } }), ..Plan::default() });
    let client = fleet.client();
    let mut open = client.stream(CHAT, &with(chat("[[tokens=10000]][[delay=10ms]]"), json!({ "stream": true })));
    open.chunk();
    let address = fleet.engine().address().clone();
    let dead = fleet.engines.remove(0);
    dead.kill();
    chunks_before_the_error(&open.rest());

    let down = client.post(CHAT, &chat("hi"));
    assert_eq!(down.head.status, 503);
    assert_retryable(&down);
    eventually(Duration::from_secs(3), "the sidecar says so", || !fleet.sidecars[0].is_ready());
    let down = client.post(CHAT, &chat("hi"));
    assert_eq!(down.head.status, 503);
    assert_eq!(client.post(CHAT, &with(chat("hi"), json!({ "n": 0 }))).head.status, 400);
    assert_eq!(client.get("/v1/models").head.status, 200);

    drop(dead);
    let back = runtime().block_on(FakeEngine::listen(Script::vllm(), &address)).unwrap();
    fleet.engines.push(back);
    eventually(Duration::from_secs(5), "it serves again", || client.post(CHAT, &chat("hi")).head.status == 200);
}

/// The events of a stream that failed: chunks, then one error, then nothing. Returns the chunks.
fn chunks_before_the_error(events: &[Event]) -> Vec<Value> {
    let Some((Event::Json(last), before)) = events.split_last() else { panic!("{events:?}") };
    let keys: Vec<_> = last["error"].as_object().unwrap_or_else(|| panic!("{last}")).keys().collect();
    assert_eq!(keys, ["message", "type", "param", "code"]);
    assert_eq!(last["error"]["type"], "server_error");
    assert_eq!(last.as_object().unwrap().len(), 1);
    before
        .iter()
        .map(|event| match event {
            Event::Json(chunk) if chunk.get("error").is_none() => chunk.clone(),
            other => panic!("{other:?} came before the error"),
        })
        .collect()
}

/// The answer says that sending the request again may help, in the three headers that SDKs read.
fn assert_retryable(answer: &Answer) {
    assert_eq!(answer.head.get("x-should-retry"), Some("true"), "{:?}", answer.head);
    let number = |name| answer.head.get(name).and_then(|value| value.parse::<u64>().ok()).unwrap();
    let seconds = number("retry-after");
    assert!((1..=60).contains(&seconds));
    assert_eq!(seconds, number("retry-after-ms").div_ceil(1000));
}

fn assert_serves(fleet: &Visit) {
    let answer = fleet.client().post(CHAT, &chat("[[say:still here]]")).json();
    assert_eq!(answer["choices"][0]["message"]["content"], "still here", "{answer}");
}
