use cloudach_blackbox::{Fleet, Plan, Shared, chat, with};
use serde_json::json;
static FLEET: Shared = Shared::new(|| Fleet::start(Plan::default()));
#[test]
fn smoke() {
    let fleet = FLEET.visit();
    let a = fleet.client().post("/v1/chat/completions", &chat("hello"));
    println!("{:?} {}", a.head, a.text());
    let e = fleet.client().stream("/v1/chat/completions", &with(chat("hello [[tokens=3]]"), json!({"stream": true, "logprobs": true})));
    println!("{:?}", e.head());
    for e in e.rest() { println!("{e:?}"); }
    let a = fleet.client().post("/v1/completions", &json!({"model":"fake-model","prompt":["a","b"],"n":2,"logprobs":1,"max_tokens":3}));
    println!("{:?} {}", a.head, a.text());
    let a = fleet.client().get("/v1/models");
    println!("{:?} {}", a.head, a.text());
}
