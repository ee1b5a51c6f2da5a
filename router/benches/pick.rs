//! What picking a replica costs, among so many: `cargo bench -p cloudach-router --bench pick`.

#![expect(clippy::print_stdout, clippy::expect_used, reason = "figures are what a bench is for, and it fails loudly")]

use std::{collections::BTreeMap, hint::black_box, sync::Arc, time::Instant};

use cloudach_proto::{
    session::client::Peer,
    v1::{GenerateRequest, Hello, Load, ModelPhase, ModelState, Prompt, PromptText, RequestContext, prompt},
};
use cloudach_router::{
    catalogue::{Catalogue, Current, Entry, Names},
    config::Relay,
    fleet::{Fleet, Replica, Serving},
    pick::{Policy, prefix::Blocks},
    picker::{Needs, Picker, Wanted},
};
use tokio::{runtime, sync::mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::transport::Endpoint;

const MODEL: &str = "org/model";
const ROUNDS: u32 = 7;

/// Requests that are placed in a round, one after the other.
const REQUESTS: usize = 500;

/// Bytes of prompt that all requests have in common, and that each has alone.
const COMMON: usize = 16 * 1024;
const OWN: usize = 16 * 1024;

fn main() {
    // Replicas' connections are tasks that nobody drives.
    let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let _inside = runtime.enter();
    hashing();
    println!("{:>9} {:>9} {:>9} {:>9}  replicas", 1, 10, 100, 1000);
    row("prefix, prompts that nobody has read", Policy::Prefix, Prompts::New);
    row("prefix, prompts that all have read half of", Policy::Prefix, Prompts::HalfRead);
    row("prefix, prompts that come back", Policy::Prefix, Prompts::Known);
    row("least loaded", Policy::LeastLoaded, Prompts::New);
    row("power of two", Policy::PowerOfTwo, Prompts::New);
    row("round robin", Policy::RoundRobin, Prompts::New);
    row("session", Policy::Session, Prompts::New);
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Prompts {
    New,
    HalfRead,
    Known,
}

fn row(what: &str, policy: Policy, prompts: Prompts) {
    let figures = [1, 10, 100, 1000].map(|replicas| format!("{:>6.2} us", measure(replicas, policy, prompts) * 1e6));
    println!("{}  {what}", figures.join(" "));
}

/// The best of some rounds, in seconds for each request.
fn measure(count: usize, policy: Policy, prompts: Prompts) -> f64 {
    let entry = Entry { policy, ..Entry::default() };
    let models = BTreeMap::from([(MODEL.to_owned(), entry)]);
    let names = Names::check(Catalogue { models, ..Catalogue::default() }).expect("one model");
    let fleet = Arc::new(Fleet::default());
    let picker = Picker::new(Current::new(names), fleet.clone(), 7, Relay::default().eject);
    let replicas = (0..count).map(|number| replica(number, &fleet)).collect();
    let serving = Serving { replicas, is_adapter: false };
    let needs = Needs { room: true, others: true };
    let mut best = f64::INFINITY;
    for round in 0..ROUNDS {
        let number = |request| if prompts == Prompts::Known { request } else { round as usize * REQUESTS + request };
        let wanted: Vec<_> = (0..REQUESTS).map(|request| wanted(&picker, number(request), prompts)).collect();
        if prompts == Prompts::HalfRead {
            let blocks = Blocks::of(&request(0, COMMON, 0), 7);
            serving.replicas.iter().for_each(|replica| replica.read.note(&blocks));
        }
        let start = Instant::now();
        for wanted in &wanted {
            drop(black_box(picker.among(&serving, wanted, needs, |_| true)).expect("all have room"));
        }
        best = best.min(start.elapsed().as_secs_f64() / REQUESTS as f64);
    }
    best
}

fn replica(number: usize, fleet: &Fleet) -> Arc<Replica> {
    let nowhere = || Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
    let peer = Peer::connect(nowhere, &TaskTracker::new(), &CancellationToken::new());
    let hello = Hello { replica: format!("replica-{number}"), ..Hello::default() };
    let replica = Replica::new(hello, peer, mpsc::channel(1).0);
    let mut state = ModelState { model: MODEL.to_owned(), ..ModelState::default() };
    state.set_phase(ModelPhase::Ready);
    fleet.model_state(&replica, state);
    #[expect(clippy::cast_possible_truncation, reason = "a small number")]
    replica.report(Load { running: 3 + number as u32 % 7, kv_cache_usage: 0.5, ..Load::default() });
    Arc::new(replica)
}

fn wanted(picker: &Picker, number: usize, prompts: Prompts) -> Wanted {
    picker.wanted(&request(number, if prompts == Prompts::HalfRead { COMMON } else { 0 }, OWN))
}

fn request(number: usize, common: usize, own: usize) -> GenerateRequest {
    let text = "c".repeat(common) + &format!("{number:>16}").repeat(own / 16);
    GenerateRequest {
        model: MODEL.to_owned(),
        prompt: Some(Prompt { prompt: Some(prompt::Prompt::Text(PromptText { text, add_special_tokens: false })) }),
        context: Some(RequestContext { session: format!("session {number}"), ..RequestContext::default() }),
        ..GenerateRequest::default()
    }
}

fn hashing() {
    let request = request(0, 0, 400_000);
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS * 10 {
        let start = Instant::now();
        black_box(Blocks::of(black_box(&request), 7));
        best = best.min(start.elapsed().as_secs_f64());
    }
    println!("{:>6.2} us  to hash the blocks of a prompt of 400,000 bytes, about 100,000 tokens\n", best * 1e6);
}
