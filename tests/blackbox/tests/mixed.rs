//! What a rollout from one version to the next leans on, in one fleet: many streams over two of everything, each of which is
//! lost once. `tests/wire/run.sh` runs it with services of two versions; alone it is a small rehearsal of that.

use std::time::Duration;

use cloudach_blackbox::{Event, Fleet, Link, Plan, Replica, chat, chat_text, eventually, with};
use cloudach_fake_engine::Script;
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";

/// How long anything may take on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);

const STREAMS: usize = 20;

/// Streams for about two seconds.
const PROMPT: &str = "[[tokens=40]][[delay=50ms]]";

#[test]
fn streams_outlive_a_router_and_a_sidecar() {
    let mut fleet = Fleet::start(Plan {
        edges: 2,
        routers: 2,
        replicas: (0..2).map(|_| Replica::fake(Script::vllm())).collect(),
        link: Link::Tcp,
        ..Plan::default()
    });
    let whole = fleet.client().post(CHAT, &chat(PROMPT)).json();
    let text = whole["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
    assert!(!text.is_empty());
    type Lose = fn(&mut Fleet);
    let losses: [Lose; 2] = [
        |fleet| {
            fleet.routers[0].kill();
            fleet.restart_router(0);
        },
        |fleet| {
            fleet.sidecars[0].kill();
            fleet.restart_sidecar(0);
        },
    ];
    for lose in losses {
        let asked = with(chat(PROMPT), json!({ "stream": true }));
        let mut streams: Vec<_> = (0..STREAMS).map(|number| fleet.client_of(number % 2).stream(CHAT, &asked)).collect();
        let mut begun: Vec<Value> = streams.iter_mut().map(|stream| stream.chunk()).collect();
        eventually(PATIENCE, "all run", || fleet.running() == STREAMS);
        lose(&mut fleet);
        for (stream, first) in streams.into_iter().zip(begun.drain(..)) {
            let rest = stream.rest();
            assert_eq!(rest.last(), Some(&Event::Done));
            let chunks = rest.into_iter().filter_map(|event| match event {
                Event::Json(chunk) => Some(chunk),
                Event::Done | Event::Comment(_) => None,
            });
            let chunks: Vec<_> = std::iter::once(first).chain(chunks).collect();
            assert_eq!(chat_text(&chunks, 0), text);
        }
        assert_eq!(fleet.client().post(CHAT, &chat("hi")).head.status, 200);
    }
    assert_eq!(fleet.client_of(1).get("/v1/models").json()["data"][0]["id"], "fake-model");
}
