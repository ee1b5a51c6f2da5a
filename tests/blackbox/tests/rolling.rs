//! A rollout under load: every process is stopped and started again in turn, and each sidecar is killed once, while a
//! hundred streams run at any time. No request fails, and no stream is broken or has another text.

#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]
#![expect(clippy::print_stdout, reason = "says what was done")]

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use cloudach_blackbox::{Client, Connection, Fleet, Link, Plan, Replica, chat, with};
use cloudach_fake_engine::Script;
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";
const STREAMS: usize = 100;

/// A stream takes about two seconds: longer than a router or a sidecar lets it run on once it is to stop.
const PROMPT: &str = "[[tokens=40]][[delay=50ms]]";

/// Between two restarts.
const BETWEEN: Duration = Duration::from_millis(500);

#[test]
fn a_rollout_breaks_nothing() {
    roll(Duration::ZERO);
}

#[test]
#[ignore = "takes five minutes"]
fn five_minutes_of_rollouts_break_nothing() {
    roll(Duration::from_secs(5 * 60));
}

/// What the workers share.
struct Load {
    /// The edges that a load balancer would send to.
    ready: Vec<AtomicBool>,
    /// Where they say whether they are ready; none while one is started again.
    admins: Mutex<Vec<Option<SocketAddr>>>,
    over: AtomicBool,
    served: AtomicUsize,
}

/// Restarts everything at least once, and for at least so long.
fn roll(at_least: Duration) {
    let mut fleet = Fleet::start(Plan {
        edges: 2,
        routers: 2,
        replicas: (0..3).map(|_| Replica::fake(Script::vllm())).collect(),
        link: Link::Tcp,
        edge: json!({ "drain": { "settle": "1s", "grace": "20s" } }),
        router: json!({ "drain": { "settle": "0s", "grace": "500ms" } }),
        sidecar: json!({ "drain": { "settle": "0s", "grace": "500ms" } }),
        ..Plan::default()
    });
    let clients: Vec<Client> = (0..2).map(|edge| fleet.client_of(edge)).collect();
    let load = Arc::new(Load {
        ready: clients.iter().map(|_| AtomicBool::new(true)).collect(),
        admins: Mutex::new(fleet.edges.iter().map(|edge| Some(edge.admin)).collect()),
        over: AtomicBool::new(false),
        served: AtomicUsize::new(0),
    });
    // Each by itself: one that is slow to answer does not keep the other from being seen.
    let balancers: Vec<_> = (0..2)
        .map(|edge| {
            let load = load.clone();
            thread::spawn(move || {
                while !load.over.load(Ordering::Relaxed) {
                    let admin = load.admins.lock().unwrap()[edge];
                    load.ready[edge].store(admin.is_some_and(is_ready), Ordering::Relaxed);
                    thread::sleep(Duration::from_millis(50));
                }
            })
        })
        .collect();
    let workers: Vec<_> = (0..STREAMS)
        .map(|number| {
            let (load, clients) = (load.clone(), clients.clone());
            thread::spawn(move || work(number, &load, &clients))
        })
        .collect();

    let begun = Instant::now();
    let mut restarts = 0;
    while restarts == 0 || begun.elapsed() < at_least {
        for edge in 0..2 {
            fleet.edges[edge].terminate();
            assert!(fleet.edges[edge].exit_within(Duration::from_secs(30)).is_some());
            load.admins.lock().unwrap()[edge] = None;
            fleet.restart_edge(edge);
            load.admins.lock().unwrap()[edge] = Some(fleet.edges[edge].admin);
            thread::sleep(BETWEEN);
        }
        for router in 0..2 {
            fleet.routers[router].terminate();
            assert!(fleet.routers[router].exit_within(Duration::from_secs(30)).is_some());
            fleet.restart_router(router);
            thread::sleep(BETWEEN);
        }
        for sidecar in 0..3 {
            // One a round: who meets two deaths is taken for their cause.
            if sidecar == restarts {
                fleet.sidecars[sidecar].kill();
            } else {
                fleet.sidecars[sidecar].terminate();
                assert!(fleet.sidecars[sidecar].exit_within(Duration::from_secs(30)).is_some());
            }
            fleet.restart_sidecar(sidecar);
            thread::sleep(BETWEEN);
        }
        restarts += 1;
    }
    load.over.store(true, Ordering::Relaxed);
    let troubles: Vec<String> = workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect();
    balancers.into_iter().for_each(|balancer| balancer.join().unwrap());
    let served = load.served.load(Ordering::Relaxed);
    println!(
        "{served} streams in {:?}, everything restarted {restarts} times, {} failed",
        begun.elapsed(),
        troubles.len()
    );
    assert!(troubles.is_empty(), "{} of {served}: {troubles:#?}", troubles.len());
    assert!(served > STREAMS);
    let moved: f64 = fleet.routers.iter().filter_map(|router| router.metric("cloudach_router_resumptions_total")).sum();
    println!("of the last routers' streams {moved} went on at another replica");
}

fn is_ready(admin: SocketAddr) -> bool {
    let ask = || -> std::io::Result<bool> {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect_timeout(&admin, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer)?;
        Ok(&answer == b"HTTP/1.1 200")
    };
    ask().unwrap_or(false)
}

/// Streams until it is over, and says what was wrong.
fn work(number: usize, load: &Load, clients: &[Client]) -> Vec<String> {
    let request = with(chat(&format!("worker {number} {PROMPT}")), json!({ "stream": true }));
    let mut troubles = Vec::new();
    let mut expected = None;
    let mut turn = number;
    while !load.over.load(Ordering::Relaxed) {
        turn += 1;
        let edge = turn % clients.len();
        if !load.ready[edge].load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(20));
            continue;
        }
        // As load balancers do: where nobody listens any more nothing was sent, and the other one is asked.
        let Some(connection) =
            (0..clients.len()).find_map(|next| clients[(edge + next) % clients.len()].try_connect().ok())
        else {
            troubles.push(format!("worker {number}: nobody listens"));
            continue;
        };
        match stream(connection, &clients[edge], &request) {
            Ok(text) => {
                let expected = expected.get_or_insert_with(|| text.clone());
                if text != *expected {
                    troubles.push(format!("worker {number}: {text} instead of {expected}"));
                }
                load.served.fetch_add(1, Ordering::Relaxed);
            }
            Err(trouble) => troubles.push(format!("worker {number}: {trouble}")),
        }
    }
    troubles
}

/// The text of a stream that is whole.
fn stream(mut connection: Connection, client: &Client, request: &Value) -> Result<String, String> {
    connection.send(&client.posting(CHAT, request)).map_err(|error| format!("not sent: {error}"))?;
    let mut reading = connection.reading().map_err(|error| format!("no answer: {error}"))?;
    if reading.head.status != 200 {
        let body = reading.bytes().ok().flatten().unwrap_or_default();
        return Err(format!("status {}: {}", reading.head.status, String::from_utf8_lossy(&body)));
    }
    let mut events = cloudach_blackbox::Events::of(reading);
    let mut text = String::new();
    let mut finished = false;
    loop {
        match events.event().map_err(|error| format!("broken: {error}"))? {
            Some(cloudach_blackbox::Event::Json(chunk)) => {
                if chunk.get("error").is_some() {
                    return Err(format!("an error: {chunk}"));
                }
                text += chunk["choices"][0]["delta"]["content"].as_str().unwrap_or_default();
                finished |= chunk["choices"][0]["finish_reason"].is_string();
            }
            Some(cloudach_blackbox::Event::Done) if finished => return Ok(text),
            Some(cloudach_blackbox::Event::Comment(_)) => {}
            other => return Err(format!("it ended with {other:?}")),
        }
    }
}
