//! `cloudach trace` and `cloudach top` beside a fleet of separate processes.

#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

use std::process::{Command, Output};

use cloudach_blackbox::{ADMIN_TOKEN, Fleet, Plan, Replica, Service, admin_api, chat, eventually, with};
use cloudach_fake_engine::Script;
use serde_json::{Value, json};

const SOON: std::time::Duration = std::time::Duration::from_secs(20);
const CLIENTS: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn fleet(more: Value) -> Fleet {
    let settings = with(json!({ "tracing": { "recent_bytes": 1 << 20 }, "admin_api": admin_api() }), more);
    Fleet::start(Plan {
        replicas: vec![Replica::fake(Script::vllm())],
        edge: settings.clone(),
        router: settings.clone(),
        sidecar: settings,
        ..Plan::default()
    })
}

fn at<'a>(services: impl IntoIterator<Item = &'a Service>) -> Vec<String> {
    services.into_iter().flat_map(|service| ["--at".to_owned(), format!("http://{}", service.admin)]).collect()
}

/// What a command prints on both outputs, and its exit code.
fn run(words: &[&str], at: &[String], token: Option<&str>) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cloudach"));
    command.args(words).args(at).env_remove("CLOUDACH_ADMIN_TOKEN").env_remove("CLOUDACH_ADMIN_URLS");
    if let Some(token) = token {
        command.env("CLOUDACH_ADMIN_TOKEN", token);
    }
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn a_request_is_shown_as_all_processes_remember_it() {
    let fleet = fleet(json!({}));
    let client = fleet.client();
    let ask = |text: &str| {
        let body = with(chat(text), json!({ "max_tokens": 20 })).to_string();
        let headers = [("content-type", "application/json"), ("traceparent", CLIENTS)];
        let answer = client.ask(&client.request("POST", "/v1/chat/completions", &headers, body.as_bytes()));
        assert_eq!(answer.head.status, 200, "{}", answer.text());
        answer.head.get("x-request-id").unwrap().to_owned()
    };
    // Two requests of one trace.
    let (first, second) = (ask("a private word"), ask("another one"));
    let all = at(fleet.services());
    let spans = |id: &str| {
        let (code, out, error) = run(&["trace", id, "--json"], &all, Some(ADMIN_TOKEN));
        assert_eq!(code, 0, "{error}");
        let told: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(told["trace_id"], CLIENTS[3..35]);
        told["spans"].as_array().unwrap().clone()
    };
    eventually(SOON, "both are over", || spans(&CLIENTS[3..35]).len() == 26);
    for id in [&first, &second] {
        let spans = spans(id);
        assert_eq!(spans.len(), 13, "{spans:?}");
        let roots: Vec<_> =
            spans.iter().filter(|span| span["kind"] == "server" && span["service"] == "cloudach-edge").collect();
        assert_eq!(roots.len(), 1);
        assert_eq!(
            (&roots[0]["attributes"]["cloudach.request.id"], &roots[0]["parent_id"]),
            (&json!(id), &json!("b7ad6b7169203331"))
        );
        assert!(!format!("{spans:?}").contains("private"));
    }

    let (code, picture, error) = run(&["trace", &first], &all, Some(ADMIN_TOKEN));
    assert_eq!((code, error.as_str()), (0, ""));
    for line in
        ["chat fake-model ", "├─ authenticate ", "   └─ route fake-model ", "         └─ generate fake-model  sidecar "]
    {
        assert!(picture.lines().any(|drawn| drawn.starts_with(line)), "{line:?} in\n{picture}");
    }
    assert!(picture.contains("outcome=served") && picture.contains("* first_token +"), "{picture}");

    // A process that is away, or whose token is wrong, is named, and what others know is shown.
    let away = [&all[..], &["--at".to_owned(), "http://127.0.0.1:1".to_owned()]].concat();
    let (code, again, error) = run(&["trace", &first], &away, Some(ADMIN_TOKEN));
    assert_eq!((code, again), (0, picture));
    assert!(error.contains("nothing answers at http://127.0.0.1:1/"), "{error}");
    for token in [None, Some("wrong")] {
        let (code, out, error) = run(&["trace", &first], &all, token);
        assert_eq!((code, out.as_str(), error.lines().count()), (1, "", 3));
        assert!(error.contains("the admin token is missing or wrong"), "{error}");
    }
    for nobody in ["req_nobody", "../metrics", &"0".repeat(32)] {
        let (code, out, error) = run(&["trace", nobody], &all, Some(ADMIN_TOKEN));
        assert_eq!((code, out.as_str()), (1, ""));
        assert!(error.contains("this process remembers nothing of it"), "{error}");
    }
}

#[test]
fn without_memory_it_is_said_how_there_would_be_one() {
    let fleet = fleet(json!({ "tracing": { "recent_bytes": 0 } }));
    let (code, _, error) = run(&["trace", "req_x"], &at(fleet.services()), Some(ADMIN_TOKEN));
    assert_eq!(code, 1);
    assert!(error.contains("set `tracing.recent_bytes`"), "{error}");
}

#[test]
fn top_shows_models_and_replicas_once() {
    let fleet = fleet(json!({}));
    let client = fleet.client();
    let body = with(chat("[[tokens=3000]] [[delay=5ms]]"), json!({ "stream": true }));
    let mut stream = client.stream("/v1/chat/completions", &body);
    stream.chunk();
    // Others come to their end meanwhile.
    let mut top = Command::new(env!("CARGO_BIN_EXE_cloudach"));
    top.args(["top", "--once", "--every", "3s"]).args(at(fleet.services())).env_remove("CLOUDACH_ADMIN_TOKEN");
    let top = top.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(700));
    for _ in 0..3 {
        assert_eq!(client.post("/v1/chat/completions", &chat("x")).head.status, 200);
    }
    let Output { status, stdout, stderr } = top.wait_with_output().unwrap();
    let (out, error) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    assert_eq!((status.code(), error.as_str()), (Some(0), ""));
    drop(stream);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[0], "edges 1  routers 1  sidecars 1  replicas 1/1 ready");
    assert!(lines[1].starts_with("requests ") && lines[1].contains("open 1  queued 0"), "{out}");
    let cells = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let model = cells(lines[4]);
    assert_eq!((model[0].as_str(), model[1].as_str(), model[2].as_str()), ("fake-model", "1", "0"));
    for rate in [&model[3], &model[6]] {
        assert!(rate.parse::<f64>().unwrap() > 0.0, "{out}");
    }
    assert!(model[7..].iter().any(|cell| cell == "ms"), "three have had a first token: {out}");
    let replica = cells(lines[7]);
    assert_eq!(replica[..5], ["sidecar0", "fake-model", "ready", "1", "0"], "{out}");
    assert!(replica[7].parse::<f64>().unwrap() > 0.0, "tokens that are not counted at an end: {out}");

    let (code, _, error) =
        run(&["top", "--once", "--every", "200ms"], &["--at".to_owned(), "http://127.0.0.1:1".to_owned()], None);
    assert_eq!(code, 1);
    assert!(error.contains("nothing answers"), "{error}");
    let engine = ["--at".to_owned(), fleet.engine().url()];
    let (code, _, error) = run(&["top", "--once", "--every", "200ms"], &engine, None);
    assert_eq!(code, 1);
    assert!(error.contains("is no admin address of the gateway"), "{error}");
}
