//! Starting, stopping, dying, queueing, and clients that leave.

mod support;

use std::process::Stdio;
use std::time::Duration;

use cloudach_fake_engine::{FakeEngine, Listen, Pace, Script, Serves};
use serde_json::json;
use support::{End, connect, eventually, get, post, read, send};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, UnixStream};

/// A request that runs for as long as its client stays.
const LONG: &str = r#"{"prompt":"[[delay=10ms]]","max_tokens":8000,"ignore_eos":true"#;

fn long(stream: bool) -> String {
    format!("{LONG},\"stream\":{stream}}}")
}

#[tokio::test]
async fn leaving_ends_a_request_streamed_or_not() {
    for stream in [true, false] {
        let engine = FakeEngine::start(Script::vllm()).await;
        let mut client = connect(&engine).await;
        send(&mut client, "POST", "/v1/completions", &long(stream)).await;
        eventually(|| engine.running() == 1 && engine.generated_tokens() > 2).await;
        drop(client);
        let left = tokio::time::Instant::now();
        eventually(|| engine.running() == 0).await;
        assert!(left.elapsed() < Duration::from_secs(1));
    }
}

#[tokio::test]
async fn leaving_ends_what_has_not_begun() {
    let pace = Pace { first_token: Duration::from_secs(60), ..Pace::default() };
    let engine = FakeEngine::start(Script { pace, max_running: 1, ..Script::vllm() }).await;
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = connect(&engine).await;
        send(&mut client, "POST", "/v1/completions", &long(true)).await;
        eventually(|| engine.running() == 1).await;
        clients.push(client);
    }
    eventually(|| engine.waiting() == 1).await;
    clients.pop();
    eventually(|| engine.waiting() == 0).await;
    assert_eq!(engine.running(), 1);
    clients.pop();
    eventually(|| engine.running() == 0).await;

    let serves = Serves::Embeddings { dimensions: 4 };
    engine.set_script(Script { pace, serves, ..Script::vllm() });
    let mut client = connect(&engine).await;
    send(&mut client, "POST", "/v1/embeddings", r#"{"input":"x"}"#).await;
    eventually(|| engine.running() == 1).await;
    drop(client);
    eventually(|| engine.running() == 0).await;
}

#[tokio::test]
async fn a_deaf_llama_goes_on_for_nobody() {
    let script = Script { deaf: true, ..Script::llama_cpp() };
    let engine = FakeEngine::start(script).await;
    let mut client = connect(&engine).await;
    let body = r#"{"prompt":"[[delay=5ms]]","n_predict":20,"ignore_eos":true}"#;
    send(&mut client, "POST", "/completion", body).await;
    eventually(|| engine.generated_tokens() > 1).await;
    drop(client);
    eventually(|| engine.running() == 0).await;
    assert_eq!(engine.generated_tokens(), 20);
}

#[tokio::test]
async fn more_than_may_wait_are_refused() {
    let engine = FakeEngine::start(Script { max_running: 1, max_queued: Some(1), ..Script::vllm() }).await;
    let mut running = connect(&engine).await;
    send(&mut running, "POST", "/v1/completions", &long(true)).await;
    eventually(|| engine.running() == 1).await;
    let mut waiting = connect(&engine).await;
    send(&mut waiting, "POST", "/v1/completions", r#"{"prompt":"x"}"#).await;
    eventually(|| engine.waiting() == 1).await;
    let refused = post(&engine, "/v1/completions", json!({"prompt": "x"})).await;
    assert_eq!((refused.status, &refused.json()["error"]["type"]), (503, &json!("Service Unavailable")));
    assert!(get(&engine, "/metrics").await.text().contains("reason=\"max_num_queued_reqs\"} 1"));
    drop(running);
    assert_eq!(read(&mut waiting).await.status, 200);
}

#[tokio::test]
async fn killing_resets_everybody() {
    let engine = FakeEngine::start(Script::vllm()).await;
    let mut client = connect(&engine).await;
    send(&mut client, "POST", "/v1/completions", &long(true)).await;
    eventually(|| engine.generated_tokens() > 0).await;
    engine.kill();
    assert_eq!(read(&mut client).await.end, End::Reset);
    engine.ended().await;
    assert_eq!(engine.running(), 0);
    let Listen::Tcp(address) = engine.address() else { panic!("it listens on TCP") };
    TcpStream::connect(address).await.unwrap_err();
}

#[tokio::test]
async fn stopping_closes_everything() {
    let engine = FakeEngine::start(Script::vllm()).await;
    let mut client = connect(&engine).await;
    send(&mut client, "POST", "/v1/completions", &long(true)).await;
    eventually(|| engine.generated_tokens() > 0).await;
    engine.stop().await;
    assert_eq!(read(&mut client).await.end, End::Closed);
}

#[tokio::test]
async fn a_connection_carries_many_requests() {
    let engine = FakeEngine::start(Script::vllm().tokens(2)).await;
    let mut client = connect(&engine).await;
    for stream in [true, false, true] {
        let body = json!({"prompt": "x", "stream": stream}).to_string();
        send(&mut client, "POST", "/v1/completions", &body).await;
        let response = read(&mut client).await;
        assert_eq!((response.status, response.end), (200, End::Complete));
    }
    let old =
        format!("POST /v1/completions HTTP/1.0\r\ncontent-length: 28\r\n\r\n{}", r#"{"prompt":"x","stream":true}"#);
    client.write_all(old.as_bytes()).await.unwrap();
    let mut rest = String::new();
    client.read_to_string(&mut rest).await.unwrap();
    assert!(rest.ends_with("\r\n\r\ndata: [DONE]\n\n") || rest.ends_with("data: [DONE]\n\n"), "{rest}");
    assert!(!rest.contains("transfer-encoding"), "{rest}");
}

#[tokio::test]
async fn what_is_no_http_is_refused() {
    let engine = FakeEngine::start(Script::vllm()).await;
    let mut client = connect(&engine).await;
    client.write_all(b"\x16\x03\x01 no http\r\n\r\n").await.unwrap();
    assert_eq!(read(&mut client).await.status, 400);
    assert_eq!(get(&engine, "/health").await.status, 200);
}

#[tokio::test]
async fn requests_are_recorded_within_bounds() {
    let engine = FakeEngine::start(Script { record: 2, ..Script::vllm() }).await;
    for prompt in ["a", "b", "c"] {
        post(&engine, "/v1/completions", json!({"prompt": prompt, "anything": 1})).await;
    }
    let expected = [json!({"prompt": "b", "anything": 1}), json!({"prompt": "c", "anything": 1})];
    assert_eq!(engine.requests(), expected);
}

#[tokio::test]
async fn a_unix_socket_that_must_not_exist() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("engine.sock");
    let engine = FakeEngine::listen(Script::vllm(), &Listen::Unix(path.clone())).await.unwrap();
    assert_eq!(engine.url(), format!("unix:{}", path.display()));
    let mut client = UnixStream::connect(&path).await.unwrap();
    send(&mut client, "POST", "/v1/completions", &long(true)).await;
    eventually(|| engine.running() == 1).await;
    drop(client);
    eventually(|| engine.running() == 0).await;
    engine.stop().await;
    let stale = FakeEngine::listen(Script::vllm(), &Listen::Unix(path)).await;
    assert_eq!(stale.unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
}

#[tokio::test]
async fn starting_takes_its_time_in_each_dialects_way() {
    let startup_delay = Duration::from_secs(1);
    let vllm = FakeEngine::start(Script { startup_delay, ..Script::vllm() }).await;
    let llama = FakeEngine::start(Script { startup_delay, ..Script::llama_cpp() }).await;
    let Listen::Tcp(address) = vllm.address() else { panic!("it listens on TCP") };
    assert_eq!(TcpStream::connect(address).await.unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
    let loading = get(&llama, "/health").await;
    assert_eq!((loading.status, &loading.json()["error"]["message"]), (503, &json!("Loading model")));
    tokio::time::sleep(startup_delay).await;
    while TcpStream::connect(address).await.is_err() {}
    assert_eq!(get(&vllm, "/health").await.status, 200);
    assert_eq!(get(&llama, "/health").await.json(), json!({"status": "ok"}));
}

#[tokio::test]
async fn the_binary_serves_and_dies_as_told() {
    let mut engine = tokio::process::Command::new(env!("CARGO_BIN_EXE_fake-engine"))
        .args(["--listen", "127.0.0.1:0", "--model", "m", "--text", "Hello world", "--fault", "kill_after=1@[die]"])
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(engine.stderr.take().unwrap()).read_line(&mut line).await.unwrap();
    let address = line.trim().rsplit_once("http://").unwrap().1.to_owned();
    let complete = async |prompt: &str| {
        let mut client = TcpStream::connect(&address).await.unwrap();
        send(&mut client, "POST", "/v1/completions", &json!({"prompt": prompt, "model": "m"}).to_string()).await;
        read(&mut client).await
    };
    assert_eq!(complete("x").await.json()["choices"][0]["text"], "Hello world");
    assert_eq!(complete("[die]").await.end, End::Reset);
    assert!(!engine.wait().await.unwrap().success());
}
