//! Questions that one message answers, as embeddings and token counts are: a router that stops or dies is no reason to fail.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use cloudach_blackbox::{Fleet, Link, Plan, Replica, eventually};
use cloudach_fake_engine::{Script, Serves};
use serde_json::json;

/// How many are asked at any time.
const CLIENTS: usize = 16;

/// How long anything may take on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(30);

/// Says so when it is dropped.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn questions_outlive_the_routers_that_they_were_put_to() {
    // A question takes the engine some 20 ms, so that many are open when a router dies.
    let embedder =
        Script { serves: Serves::Embeddings { dimensions: 4 }, prefill: Duration::from_millis(1), ..Script::vllm() };
    let mut fleet = Fleet::start(Plan {
        routers: 2,
        replicas: vec![Replica::of("embedder", embedder), Replica::of("chatter", Script::vllm())],
        link: Link::Tcp,
        router: json!({ "drain": { "settle": "0s", "grace": "1s" } }),
        ..Plan::default()
    });
    let client = fleet.client();
    let (over, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (client, over, answered) = (&client, &over, &answered);
            scope.spawn(move || {
                for round in 0.. {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    let input = format!("client {number}, round {round}");
                    let answer = client.post("/v1/embeddings", &json!({ "model": "embedder", "input": input }));
                    assert_eq!(answer.head.status, 200, "{}", answer.text());
                    let answer = client.post("/tokenize", &json!({ "model": "chatter", "prompt": input }));
                    assert_eq!(answer.head.status, 200, "{}", answer.text());
                    answered.fetch_add(2, Ordering::Relaxed);
                }
            });
        }
        let _over = Over(&over);
        for (router, dies) in [(0, true), (1, false), (0, false), (1, true)] {
            let before = answered.load(Ordering::Relaxed);
            eventually(PATIENCE, "questions are answered", || answered.load(Ordering::Relaxed) > before + 100);
            if dies {
                fleet.routers[router].kill();
            } else {
                fleet.routers[router].terminate();
            }
            fleet.restart_router(router);
        }
    });
    let again = fleet.edges[0].log().matches("its question is put again").count();
    assert!(again > 0, "none was open when a router died");
}
