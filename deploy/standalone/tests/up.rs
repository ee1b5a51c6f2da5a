//! `cloudach up` in front of engines that already run: what a newcomer sees, does, and ends.

#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use cloudach_blackbox::{Client, Event, eventually, runtime};
use cloudach_fake_engine::{FakeEngine, Script};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

const SOON: Duration = Duration::from_secs(20);

/// The process, ended when the test ends.
struct Up {
    child: Child,
    client: Client,
    welcome: String,
}

impl Up {
    fn start(engines: &[&FakeEngine], key: Option<&str>) -> Self {
        let mut arguments = vec!["--model".to_owned(), "org/model".to_owned()];
        arguments.extend(engines.iter().flat_map(|engine| ["--engine-url".to_owned(), engine.url()]));
        Self::with(&arguments, key)
    }

    fn with(arguments: &[String], key: Option<&str>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cloudach"));
        command.args(["up", "--listen", "127.0.0.1:0"]).args(arguments);
        command.args(["--admin", "127.0.0.1:0", "--router-admin", "127.0.0.1:0"]).env_remove("CLOUDACH_API_KEY");
        if let Some(key) = key {
            command.env("CLOUDACH_API_KEY", key);
        }
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let welcome = welcome(&mut child);
        let after = |label: &str| {
            let line = welcome.lines().find_map(|line| line.trim().strip_prefix(label)).unwrap();
            line.trim().to_owned()
        };
        let address: SocketAddr =
            after("base URL").trim_start_matches("http://").trim_end_matches("/v1").parse().unwrap();
        let key = key.map_or_else(|| after("key"), str::to_owned);
        Self { child, client: Client { address, key }, welcome }
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What it prints up to the curl line, which comes when the engines are ready.
fn welcome(child: &mut Child) -> String {
    let (lines, printed) = mpsc::channel();
    let out = BufReader::new(child.stdout.take().unwrap());
    thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| lines.send(line)));
    let mut welcome = String::new();
    while !welcome.contains("\"messages\"") {
        welcome += &printed.recv_timeout(SOON).expect("it becomes ready");
        welcome += "\n";
    }
    welcome
}

#[test]
fn the_printed_key_works_and_both_engines_are_used() {
    let start = || runtime().block_on(FakeEngine::start(Script::vllm()));
    let (first, second) = (start(), start());
    let up = Up::start(&[&first, &second], None);
    assert!(up.client.key.starts_with("sk-cloudach-") && up.client.key.len() > 40);
    assert!(up.welcome.contains(&format!("Bearer {}", up.client.key)), "the curl line can be pasted");

    for _ in 0..6 {
        let answer = up.client.post("/v1/completions", &json!({"model": "org/model", "prompt": "hello"}));
        assert_eq!(answer.head.status, 200);
    }
    assert!(!first.requests().is_empty() && !second.requests().is_empty(), "idle replicas share the work");
    let wrong = Client { key: "sk-wrong".into(), ..up.client.clone() };
    assert_eq!(wrong.get("/v1/models").head.status, 401);
}

#[test]
fn a_given_key_is_not_printed_and_a_signal_ends_it_in_order() {
    let engine = runtime().block_on(FakeEngine::start(Script::vllm()));
    let mut up = Up::start(&[&engine], Some("sk-mine"));
    assert!(!up.welcome.contains("sk-mine") && up.welcome.contains("$CLOUDACH_API_KEY"));
    let body = json!({"model": "org/model", "prompt": "[[tokens=30]][[delay=20ms]]", "stream": true, "max_tokens": 40});
    let mut events = up.client.stream("/v1/completions", &body);
    events.event().unwrap().expect("a first event");

    kill_process(Pid::from_child(&up.child), Signal::TERM).unwrap();
    let mut last = None;
    while let Some(event) = events.event().unwrap() {
        last = Some(event);
    }
    assert_eq!(last, Some(Event::Done), "an open stream finishes");
    assert!(up.child.wait().unwrap().success());
}

#[test]
fn keys_and_the_catalogue_are_taken_anew_under_a_stream() {
    let engine = runtime().block_on(FakeEngine::start(Script::vllm()));
    let file = tempfile::NamedTempFile::new().unwrap();
    let write = |more: &str| {
        let engines =
            format!("engines: [{{model: org/model, engine: {{dialect: vllm, url: \"{}\"}}}}]\n", engine.url());
        std::fs::write(file.path(), engines + more).unwrap();
    };
    write("");
    let up = Up::with(&["--config".to_owned(), file.path().display().to_string()], None);
    let body = json!({"model": "org/model", "prompt": "[[tokens=60]][[delay=50ms]]", "stream": true, "max_tokens": 80});
    let mut events = up.client.stream("/v1/completions", &body);
    events.event().unwrap().expect("a first event");
    let later = Client { key: "sk-later".into(), ..up.client.clone() };
    let asked = |client: &Client, model: &str| {
        client.post("/v1/completions", &json!({"model": model, "prompt": "hello"})).head.status
    };
    assert_eq!((asked(&later, "org/model"), asked(&up.client, "short")), (401, 404));

    let hash = "bef49c022e409f9c6691bc68c863d2bb25f4f3c9dcb97afcb59a91a6cea9dd55";
    write(&format!(
        "keys: [{{name: later, sha256: {hash}}}]\ncatalogue: {{models: {{org/model: {{aliases: [short]}}}}}}\n"
    ));
    kill_process(Pid::from_child(&up.child), Signal::HUP).unwrap();
    eventually(SOON, "the key and the alias are known", || asked(&later, "short") == 200);
    // The key that was made for this run goes on.
    assert_eq!(asked(&up.client, "short"), 200);
    assert_eq!(events.rest().last(), Some(&Event::Done));
}
