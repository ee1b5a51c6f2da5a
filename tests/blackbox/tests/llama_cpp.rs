//! The other engine dialect, through the whole way: what a client sees must not tell which engine runs.

use std::time::Duration;

use cloudach_blackbox::{Fleet, Plan, Replica, Shared, chat, chat_text, completion, error_of, eventually, with};
use cloudach_fake_engine::Script;
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";
const COMPLETIONS: &str = "/v1/completions";

static FLEET: Shared = Shared::new(|| {
    Fleet::start(Plan {
        replicas: vec![Replica::fake(Script::vllm()), Replica::of("llama", Script::llama_cpp())],
        // What is told when nothing can be done.
        router: json!({ "relay": { "resume": false } }),
        ..Plan::default()
    })
});

fn to_llama(request: Value) -> Value {
    with(request, json!({ "model": "llama" }))
}

/// Everything but the names, the counts of the engine's own tokens and the log-probabilities' last digits.
#[test]
fn both_dialects_answer_alike() {
    let fleet = FLEET.visit();
    let client = fleet.client();
    let requests = [
        chat("[[say:Hello, big world.]]"),
        chat("[[say:naïve 日本語 🦀]][[cut=1]]"),
        with(chat("[[say:one two three four]]"), json!({ "max_tokens": 2 })),
        with(chat("[[say:one two STOP four]][[cut=1]]"), json!({ "stop": ["STOP"] })),
        with(chat("[[say:one two three]]"), json!({ "n": 2 })),
    ];
    for request in requests {
        let whole = |request: &Value| client.post(CHAT, request).json()["choices"].clone();
        let expected = whole(&request);
        assert_eq!(whole(&to_llama(request.clone())), expected, "{request}");
        let streamed = with(to_llama(request), json!({ "stream": true }));
        let text = chat_text(&client.stream(CHAT, &streamed).chunks(), 0);
        assert_eq!(expected[0]["message"]["content"], text);
    }
    let request = completion("[[say:Once upon a time]]");
    let whole = |request: &Value| client.post(COMPLETIONS, request).json()["choices"].clone();
    assert_eq!(whole(&to_llama(request.clone())), whole(&request));
}

#[test]
fn log_probabilities_have_openais_form() {
    let fleet = FLEET.visit();
    let request = with(to_llama(chat("[[say:one two three]]")), json!({ "logprobs": true, "top_logprobs": 2 }));
    let whole = fleet.client().post(CHAT, &request).json();
    let entries = whole["choices"][0]["logprobs"]["content"].as_array().unwrap();
    let text: String = entries.iter().map(|entry| entry["token"].as_str().unwrap()).collect();
    assert_eq!(text, "one two three");
    assert!(entries.iter().all(|entry| entry["top_logprobs"].as_array().unwrap().len() == 2), "{entries:?}");
}

/// Checklist C27.
#[test]
fn a_chat_that_is_too_long_is_refused_with_both_numbers() {
    let fleet = FLEET.visit();
    for stream in [false, true] {
        let request = with(to_llama(chat(&"lengthy ".repeat(3000))), json!({ "stream": stream }));
        let answer = fleet.client().post(CHAT, &request);
        assert_eq!(answer.head.status, 400, "{}", answer.text());
        let error = error_of(&answer);
        assert_eq!((&error["param"], &error["code"]), (&json!("messages"), &json!("context_length_exceeded")));
        assert!(error["message"].as_str().unwrap().contains("maximum context length is 8192 tokens"), "{error}");
    }
}

/// What this engine would pass over in silence is refused by its name.
#[test]
fn what_the_engine_cannot_do_is_said() {
    let fleet = FLEET.visit();
    for stream in [false, true] {
        let request = with(to_llama(chat("hi")), json!({ "min_tokens": 5, "stream": stream }));
        let answer = fleet.client().post(CHAT, &request);
        assert_eq!(answer.head.status, 400, "{}", answer.text());
        let error = error_of(&answer);
        assert_eq!((&error["param"], &error["code"]), (&json!("min_tokens"), &json!("unsupported_parameter")));
    }
}

/// The real server is slow to notice; the sidecar has to make it.
#[test]
fn a_client_that_leaves_is_noticed() {
    let fleet = Fleet::start(Plan::of([Script { deaf: true, ..Script::llama_cpp() }]));
    for prompt in ["[[tokens=100000]][[delay=5ms]]", "[[first=60s]]"] {
        for stream in [true, false] {
            let connection = fleet.client().send(CHAT, &with(chat(prompt), json!({ "stream": stream })));
            eventually(Duration::from_secs(5), "it runs", || fleet.running() == 1);
            drop(connection);
            eventually(Duration::from_secs(1), "the engine is idle", || fleet.running() == 0);
        }
    }
}

#[test]
fn an_engine_that_fails_is_an_error() {
    let fleet = FLEET.visit();
    let client = fleet.client();
    for fault in ["die", "die_after=3", "error_after=3", "end_after=3", "malformed_after=3", "status=503"] {
        let answer = client.post(CHAT, &to_llama(chat(&format!("[[fault:{fault}]]"))));
        assert!(matches!(answer.head.status, 500 | 503), "{fault}: {} {}", answer.head.status, answer.text());
        assert_eq!(error_of(&answer)["type"], "server_error");
        let fine = client.post(CHAT, &to_llama(chat("[[say:still here]]"))).json();
        assert_eq!(fine["choices"][0]["message"]["content"], "still here", "after {fault}");
    }
}
