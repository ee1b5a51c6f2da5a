//! More asked than the replicas can do: what is taken is as quick as before, the rest is told at once when to come back,
//! and no tenant takes the others' share.

#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]
#![expect(clippy::print_stdout, reason = "says what was measured")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use cloudach_blackbox::{Client, Fleet, Plan, Replica, chat};
use cloudach_fake_engine::Script;
use serde_json::json;

const CHAT: &str = "/v1/chat/completions";

/// Of two replicas that work on so many at a time, each for so long.
const AT_A_TIME: u32 = 4;
const TOKENS: u32 = 20;
const PROMPT: &str = "[[tokens=20]][[delay=25ms]]";
const SERVICE: Duration = Duration::from_millis(500);

/// What they can do in a second.
const CAPACITY: f64 = 2.0 * 4.0 / 0.5;

/// The keys of two tenants, and their SHA-256.
const MANY: (&str, &str) = ("sk-many-tenant", "e1d813e7e183f5d770cabf519bee69c51eefad4cc2d017598ed10e5e54f61381");
const FEW: (&str, &str) = ("sk-few-tenant", "c8b9eb9a030fa5478a444a2a051464e7b4715e8fcdf2cc3e825d4a3fea7887e8");

fn fleet(at_a_time: u32, wait: &str) -> Fleet {
    let script = Script { max_running: at_a_time as usize, ..Script::vllm() };
    let key = |name: &str, (_, sha256): (&str, &str)| json!({ "name": name, "tenant": name, "sha256": sha256 });
    Fleet::start(Plan {
        replicas: vec![Replica::fake(script.clone()), Replica::fake(script)],
        models: json!({ "fake-model": { "max_concurrent": at_a_time } }),
        edge: json!({ "keys": [key("many", MANY), key("few", FEW)] }),
        router: json!({ "queue": { "wait": wait } }),
        ..Plan::default()
    })
}

fn client_of(fleet: &Fleet, (key, _): (&str, &str)) -> Client {
    Client { key: key.to_owned(), ..fleet.client() }
}

/// One answer: its status, how long it took, and when to come back.
struct Told {
    status: u16,
    took: Duration,
    retry_after: Option<String>,
}

fn ask(client: &Client) -> Told {
    let begun = Instant::now();
    let answer = client.post(CHAT, &chat(PROMPT));
    let retry_after = answer.head.get("retry-after").map(str::to_owned);
    Told { status: answer.head.status, took: begun.elapsed(), retry_after }
}

/// So many in a second, whatever becomes of them.
fn at_rate(client: &Client, rate: f64, time: Duration) -> Vec<Told> {
    let begun = Instant::now();
    let mut asked = Vec::new();
    let mut number = 0.0;
    while begun.elapsed() < time {
        number += 1.0;
        let client = client.clone();
        asked.push(thread::spawn(move || ask(&client)));
        thread::sleep((begun + Duration::from_secs_f64(number / rate)).saturating_duration_since(Instant::now()));
    }
    asked.into_iter().map(|asked| asked.join().unwrap()).collect()
}

fn percentile(mut times: Vec<Duration>, share: f64) -> Duration {
    times.sort_unstable();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index"
    )]
    let at = ((times.len() - 1) as f64 * share) as usize;
    times[at]
}

fn overload(time: Duration) {
    let fleet = fleet(AT_A_TIME, "150ms");
    let client = client_of(&fleet, MANY);
    let times = |told: &[Told], served: bool| -> Vec<Duration> {
        told.iter().filter(|told| (told.status == 200) == served).map(|told| told.took).collect()
    };
    let usual = at_rate(&client, CAPACITY * 0.9, time);
    let before = times(&usual, true);
    let much = at_rate(&client, CAPACITY * 2.0, time);
    let (served, refused) = (times(&much, true), times(&much, false));
    println!(
        "at 90 %: {} served, {} refused, p99 {:?}; at 200 %: {} served, p50 {:?}, p99 {:?}; {} refused, p50 {:?}, p99 {:?}",
        before.len(),
        usual.len() - before.len(),
        percentile(before.clone(), 0.99),
        served.len(),
        percentile(served.clone(), 0.5),
        percentile(served.clone(), 0.99),
        refused.len(),
        percentile(refused.clone(), 0.5),
        percentile(refused.clone(), 0.99),
    );
    for told in much.iter().filter(|told| told.status != 200) {
        assert!(matches!(told.status, 429 | 503), "{}", told.status);
        let seconds = told.retry_after.as_ref().and_then(|seconds| seconds.parse::<u64>().ok());
        assert!(seconds.is_some_and(|seconds| (1..=60).contains(&seconds)), "{:?}", told.retry_after);
    }
    // Nobody waits longer than the queue lets them; a busy machine takes some time of its own.
    assert!(percentile(served.clone(), 0.99) < SERVICE + Duration::from_millis(2 * 150 + 400));
    // Few have waited in vain.
    assert!(percentile(refused.clone(), 0.9) < Duration::from_millis(2 * 150));
    // Nothing of what could be done was left undone.
    #[expect(clippy::cast_precision_loss, reason = "a count")]
    let share = served.len() as f64 / (CAPACITY * time.as_secs_f64());
    assert!(share > 0.8, "{share} of what they can do was done");
    assert!(!refused.is_empty());
}

#[test]
fn what_is_taken_is_quick_and_the_rest_is_told_at_once() {
    overload(Duration::from_secs(6));
}

#[test]
#[ignore = "takes two minutes"]
fn a_minute_of_overload() {
    overload(Duration::from_secs(60));
}

/// Ten times as many ask for one tenant: both get the same.
#[test]
fn two_tenants_get_the_same() {
    let time = Duration::from_secs(8);
    // So few that the twenty always wait for more than they get. Nobody waits for more than twice this time, which is less
    // than a client's patience.
    let fleet = fleet(2, "8s");
    // Who comes first takes all at first.
    let from = Instant::now() + Duration::from_secs(2);
    let until = from + time;
    let clients = |key, count: usize| {
        let had = Arc::new(AtomicU64::new(0));
        let clients: Vec<_> = (0..count)
            .map(|_| {
                let (client, had) = (client_of(&fleet, key), had.clone());
                thread::spawn(move || {
                    while Instant::now() < until {
                        match ask(&client) {
                            // What was queued when the others left is nobody's share.
                            Told { status: 200, .. } if Instant::now() < from || Instant::now() >= until => {}
                            Told { status: 200, .. } => {
                                had.fetch_add(u64::from(TOKENS), Ordering::Relaxed);
                            }
                            told => {
                                assert!(matches!(told.status, 429 | 503), "{}", told.status);
                                thread::sleep(Duration::from_millis(50));
                            }
                        }
                    }
                })
            })
            .collect();
        (had, clients)
    };
    let (many, of_many) = clients(MANY, 200);
    let (few, of_few) = clients(FEW, 20);
    of_many.into_iter().chain(of_few).for_each(|client| client.join().unwrap());
    let (many, few) = (many.load(Ordering::Relaxed), few.load(Ordering::Relaxed));
    println!("tokens in {time:?}: {many} for the tenant with 200 clients, {few} for the one with 20");
    #[expect(clippy::cast_precision_loss, reason = "a count")]
    let share = few as f64 / many as f64;
    assert!((0.6..1.6).contains(&share), "{few} to {many}");
}
