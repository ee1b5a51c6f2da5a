//! Every way of failing, streamed and not, and every form on the wire.

mod support;

use cloudach_fake_engine::{Break, Dialect, FakeEngine, Fault, FaultRule, FrontEnd, Script, WireStyle};
use serde_json::{Value, json};
use support::{End, Response, connect, eventually, post, read, send};
use tokio::io::AsyncReadExt;

async fn complete(engine: &FakeEngine, prompt: &str, stream: bool) -> Response {
    post(engine, "/v1/completions", json!({"prompt": prompt, "stream": stream})).await
}

#[tokio::test]
async fn dying_is_a_reset_before_or_after_tokens() {
    let engine = FakeEngine::start(Script::vllm()).await;
    for stream in [true, false] {
        let response = complete(&engine, "[[fault:die]]", stream).await;
        assert_eq!((response.status, response.end), (0, End::Reset));
    }
    let response = complete(&engine, "[[fault:die_after=0]]", true).await;
    assert_eq!((response.status, response.body.len(), response.end), (200, 0, End::Reset));
    let response = complete(&engine, "[[fault:die_after=3]]", true).await;
    assert_eq!((response.chunks().len(), response.end), (3, End::Reset));
    let response = complete(&engine, "[[fault:die_after=3]]", false).await;
    assert_eq!((response.status, response.end), (0, End::Reset));
    eventually(|| engine.running() == 0).await;
}

#[tokio::test]
async fn statuses() {
    let engine = FakeEngine::start(Script::vllm()).await;
    let llama = FakeEngine::start(Script::llama_cpp()).await;
    for status in [500, 503, 429] {
        let prompt = format!("[[fault:status={status}]]");
        assert_eq!(complete(&engine, &prompt, true).await.status, status);
        let response = post(&llama, "/completion", json!({"prompt": prompt})).await;
        assert_eq!((response.status, &response.json()["error"]["code"]), (status, &json!(status)));
    }
}

#[tokio::test]
async fn a_failed_engine_core() {
    let engine = FakeEngine::start(Script::vllm()).await;
    let response = complete(&engine, "[[fault:error_after=2]]", true).await;
    let events = response.events();
    assert_eq!((events.len(), events[3].as_str(), response.end), (4, "[DONE]", End::Complete));
    let error: Value = serde_json::from_str(&events[2]).unwrap();
    assert_eq!((&error["error"]["code"], &error["error"]["type"]), (&json!(500), &json!("InternalServerError")));
    assert_eq!(complete(&engine, "[[fault:error_after=2]]", false).await.status, 500);

    let rust = FakeEngine::start(Script { dialect: Dialect::Vllm(FrontEnd::Rust), ..Script::vllm() }).await;
    let response = complete(&rust, "[[fault:error_after=2]]", true).await;
    assert_eq!((response.events().len(), response.end), (3, End::Complete));
}

#[tokio::test]
async fn complaints_before_the_first_token_and_in_the_middle() {
    let cases = [
        ("context", 400, "maximum context length is 8192 tokens"),
        ("schema", 400, "Grammar error: Invalid type: foo"),
        ("overloaded", 503, "The engine is currently busy"),
        ("oom", 500, "CUDA out of memory."),
        ("internal", 500, "Internal server error"),
        ("dead", 500, "EngineCore encountered an issue."),
    ];
    let engine = FakeEngine::start(Script::vllm()).await;
    for (name, status, words) in cases {
        for stream in [true, false] {
            let response = complete(&engine, &format!("[[fault:{name}]]"), stream).await;
            assert_eq!(response.status, status, "{name}");
            assert!(response.json()["error"]["message"].as_str().unwrap().starts_with(words) || name == "context");
            assert!(response.text().contains(words), "{name}");
        }
        let response = complete(&engine, &format!("[[fault:{name}_after=2]]"), true).await;
        assert_eq!((response.status, response.end), (200, End::Complete));
        let events = response.events();
        assert_eq!((events.len(), events[3].as_str()), (4, "[DONE]"), "{name}");
        let error: Value = serde_json::from_str(&events[2]).unwrap();
        assert_eq!(error["error"]["code"], status, "{name}");
        assert!(error["error"]["message"].as_str().unwrap().contains(words), "{name}");
        assert_eq!(complete(&engine, &format!("[[fault:{name}_after=2]]"), false).await.status, status);
    }
    let llama = FakeEngine::start(Script::llama_cpp()).await;
    for (name, status, words) in
        [("context", 400, "exceeds the available context size"), ("schema", 400, "grammar"), ("oom", 500, "allocate")]
    {
        let prompt = json!({"prompt": format!("[[fault:{name}]]"), "stream": true});
        let response = post(&llama, "/completion", prompt).await;
        assert_eq!(response.status, status);
        assert!(response.text().contains(words), "{}", response.text());
        let prompt = json!({"prompt": format!("[[fault:{name}_after=1]]"), "stream": true});
        assert!(post(&llama, "/completion", prompt).await.events().last().unwrap().contains(words));
    }
}

#[tokio::test]
async fn a_gpu_without_memory_kills_the_engine() {
    let engine = FakeEngine::start(Script::vllm()).await;
    let response = complete(&engine, "[[fault:oom_kill_after=2]]", true).await;
    assert_eq!((response.chunks().len(), response.end), (2, End::Reset));
    engine.ended().await;
}

#[tokio::test]
async fn a_stream_that_just_ends() {
    let engine = FakeEngine::start(Script::vllm()).await;
    let response = complete(&engine, "[[fault:end_after=2]]", true).await;
    assert_eq!((response.events().len(), response.end), (2, End::Complete));
    assert_eq!(complete(&engine, "[[fault:end_after=2]]", false).await.end, End::Closed);
}

#[tokio::test]
async fn an_aborted_answer() {
    let engine = FakeEngine::start(Script::vllm()).await;
    let response = complete(&engine, "[[fault:abort_after=2]]", true).await;
    assert_eq!(response.chunks()[2]["choices"][0]["finish_reason"], "abort");
    assert_eq!(response.events().last().unwrap(), "[DONE]");
    let whole = complete(&engine, "[[fault:abort_after=2]]", false).await.json();
    assert_eq!(
        (&whole["choices"][0]["finish_reason"], &whole["usage"]["completion_tokens"]),
        (&json!("abort"), &json!(2))
    );
}

#[tokio::test]
async fn a_stall_lasts_until_the_client_leaves() {
    let engine = FakeEngine::start(Script::vllm()).await;
    let mut client = connect(&engine).await;
    let body = json!({"prompt": "[[fault:stall_after=2]]", "stream": true}).to_string();
    send(&mut client, "POST", "/v1/completions", &body).await;
    eventually(|| engine.generated_tokens() == 2).await;
    let quiet = async {
        let mut bytes = Vec::new();
        while client.read_buf(&mut bytes).await.unwrap() > 0 {}
    };
    tokio::time::timeout(std::time::Duration::from_millis(100), quiet).await.unwrap_err();
    assert_eq!(engine.running(), 1);
    drop(client);
    eventually(|| engine.running() == 0).await;
}

#[tokio::test]
async fn bad_events() {
    let engine = FakeEngine::start(Script::vllm().saying("a b c")).await;
    let response = complete(&engine, "[[fault:malformed_after=1]]", true).await;
    assert_eq!((response.events().len(), response.chunks().len()), (6, 4));
    let response = complete(&engine, "[[fault:malformed_after=1]]", false).await;
    assert!(serde_json::from_slice::<Value>(&response.body).is_err());
    for stream in [true, false] {
        let response = complete(&engine, "[[fault:huge_after=1:5000000]]", stream).await;
        assert!(response.body.len() > 5_000_000);
        assert_eq!(response.end, End::Complete);
    }
    let response = complete(&engine, "[[fault:huge_after=1:5000000]]", true).await;
    assert_eq!(response.chunks()[1]["choices"][0]["text"], " b");
}

#[tokio::test]
async fn forms_on_the_wire() {
    let engine = FakeEngine::start(Script::vllm()).await;
    let text = complete(&engine, "[[say:日本]][[wire:crlf]][[wire:no_space]]", true).await.text();
    assert!(text.starts_with("data:{") && text.ends_with("data:[DONE]\r\n\r\n"), "{text}");
    assert!(!text.replace("\r\n", "").contains('\n'));

    let wire = WireStyle { split: Some(1), ..WireStyle::default() };
    engine.set_script(Script { wire, ..Script::vllm().saying("日本") });
    let mut client = connect(&engine).await;
    send(&mut client, "POST", "/v1/completions", r#"{"prompt":"x","stream":true}"#).await;
    let mut reads = 0;
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"0\r\n\r\n") {
        client.read_buf(&mut bytes).await.unwrap();
        reads += 1;
    }
    assert!(reads > 50, "{reads} reads for {} bytes", bytes.len());
}

#[tokio::test]
async fn rules_hit_whom_they_name() {
    let rule = FaultRule::from(Fault::Status(503)).matching("unlucky").times(1);
    let script = Script::vllm().fault(rule);
    let (one, other) = (FakeEngine::start(script.clone()).await, FakeEngine::start(script).await);
    assert_eq!(complete(&one, "lucky", false).await.status, 200);
    assert_eq!(complete(&one, "unlucky", false).await.status, 503);
    assert_eq!(complete(&other, "unlucky", false).await.status, 200);
}

#[tokio::test]
async fn a_share_of_requests_fails() {
    let engine = FakeEngine::start(Script { fail_rate: 0.3, ..Script::vllm().tokens(1) }).await;
    let mut failed = 0;
    for _ in 0..200 {
        failed += u32::from(complete(&engine, "x", false).await.status == 500);
    }
    assert!((30..90).contains(&failed), "{failed} of 200");
}

#[tokio::test]
async fn the_whole_engine_dies() {
    let engine = FakeEngine::start(Script::vllm().fault(Fault::After(3, Break::Kill))).await;
    let mut idle = connect(&engine).await;
    send(&mut idle, "GET", "/health", "").await;
    read(&mut idle).await;
    let response = complete(&engine, "x", true).await;
    assert_eq!((response.chunks().len(), response.end), (3, End::Reset));
    assert!(idle.read_u8().await.is_err());
    engine.ended().await;
}
