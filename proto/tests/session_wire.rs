//! Both halves of the session over a real connection: what the services rely on when clients leave and processes die.

#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use cloudach_proto::{
    inference,
    session::{
        Refused,
        client::Peer,
        server::{EventStream, Generate, Stopping},
    },
    unary::{Answers, Unary},
    v1::{Delta, ErrorCode, Failed, Finished, GenerateEvent, GenerateRequest, TokenizeRequest, generate_event::Event},
};
use futures_util::{StreamExt, stream};
use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
    sync::watch,
    time::{interval, timeout},
};
use tokio_stream::wrappers::IntervalStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::transport::{Endpoint, Server, server::TcpIncoming};

const SOON: Duration = Duration::from_secs(5);

/// Generates one token a millisecond: so many as the request's model says, or without end.
struct Ticks {
    running: watch::Sender<usize>,
    started: AtomicUsize,
}

impl Generate for Ticks {
    fn generate(self: Arc<Self>, request: Box<GenerateRequest>) -> EventStream {
        self.started.fetch_add(1, Ordering::Relaxed);
        self.running.send_modify(|running| *running += 1);
        let guard = Guard(self);
        let tokens = IntervalStream::new(interval(Duration::from_millis(1))).enumerate().map(move |(index, _)| {
            let _running = &guard;
            Delta { text: format!("{index} "), token_ids: vec![1], ..Delta::default() }.into()
        });
        match request.model.parse::<usize>() {
            Ok(count) => tokens.take(count).chain(stream::iter([Finished::default().into()])).boxed(),
            Err(_) => tokens.boxed(),
        }
    }
}

struct Guard(Arc<Ticks>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.running.send_modify(|running| *running -= 1);
    }
}

impl<Q: Unary> Answers<Q> for Ticks {
    async fn answer(&self, _: Q) -> Result<Q::Answer, Failed> {
        Err(Failed::new(ErrorCode::Unsupported, "it only ticks"))
    }
}

struct Served {
    ticks: Arc<Ticks>,
    stopping: Stopping,
    tasks: TaskTracker,
    process: Process,
    peer: Peer,
    address: std::net::SocketAddr,
}

async fn serve() -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let ticks = Arc::new(Ticks { running: watch::Sender::new(0), started: AtomicUsize::new(0) });
    let (tasks, stopping) = (TaskTracker::new(), Stopping::default());
    let process = Process::start(listener, &ticks, &tasks, &stopping);
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let peer = Peer::connect(|| endpoint.connect_lazy(), &tasks, &CancellationToken::new());
    connected(&peer).await;
    Served { ticks, stopping, tasks, process, peer, address }
}

/// A server on a runtime of its own, which dies like a process: with all its connections.
struct Process(Option<Runtime>);

impl Process {
    fn start(listener: TcpListener, ticks: &Arc<Ticks>, tasks: &TaskTracker, stopping: &Stopping) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let service = inference::service(ticks.clone(), tasks.clone(), stopping.clone());
        let listener = listener.into_std().unwrap();
        tasks.spawn_on(
            async move {
                let incoming = TcpIncoming::from(TcpListener::from_std(listener).unwrap());
                Server::builder().add_service(service).serve_with_incoming(incoming).await
            },
            runtime.handle(),
        );
        Self(Some(runtime))
    }

    fn die(&mut self) {
        self.0.take().unwrap().shutdown_background();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

async fn connected(peer: &Peer) {
    let mut changes = peer.changes();
    let connecting = async {
        while peer.takes_requests().is_err() {
            changes.changed().await.unwrap();
        }
    };
    timeout(SOON, connecting).await.expect("connected");
}

impl Served {
    async fn running(&self, count: usize) {
        let mut running = self.ticks.running.subscribe();
        let waiting = running.wait_for(|running| *running == count);
        timeout(Duration::from_secs(1), waiting).await.expect("within a second").unwrap();
    }
}

fn request(model: &str) -> GenerateRequest {
    GenerateRequest { model: model.into(), ..GenerateRequest::default() }
}

async fn text_and_end(events: impl futures_util::Stream<Item = GenerateEvent>) -> (String, Option<Event>) {
    let (mut text, mut end) = (String::new(), None);
    tokio::pin!(events);
    while let Some(event) = timeout(SOON, events.next()).await.expect("an event") {
        match event.event {
            Some(Event::Delta(delta)) => text += &delta.text,
            other => end = other,
        }
    }
    (text, end)
}

#[tokio::test]
async fn many_generations_share_a_session_and_each_gets_its_own_text() {
    let served = serve().await;
    let generations = (0..200usize).map(|count| {
        let events = served.peer.generate(request(&count.to_string())).unwrap();
        async move { (count, text_and_end(events).await) }
    });
    for (count, (text, end)) in futures_util::future::join_all(generations).await {
        let expected: String = (0..count).map(|index| format!("{index} ")).collect();
        assert_eq!(text, expected);
        assert!(matches!(end, Some(Event::Finished(_))));
    }
    assert_eq!(served.peer.open_requests(), 0);
}

#[tokio::test]
async fn dropping_the_events_ends_the_generation_within_a_second() {
    let served = serve().await;
    let mut events: Vec<_> = (0..50).map(|_| served.peer.generate(request("endless")).unwrap()).collect();
    served.running(50).await;
    timeout(SOON, events[0].next()).await.unwrap().unwrap();
    events.truncate(10);
    served.running(10).await;
    drop(events);
    served.running(0).await;
}

#[tokio::test]
async fn a_peer_that_goes_takes_its_generations_with_it() {
    let Served { ticks, peer, .. } = &mut serve().await;
    let events: Vec<_> = (0..5).map(|_| peer.generate(request("endless")).unwrap()).collect();
    let mut running = ticks.running.subscribe();
    timeout(SOON, running.wait_for(|running| *running == 5)).await.unwrap().unwrap();
    let nowhere = Endpoint::from_static("http://127.0.0.1:1");
    drop(std::mem::replace(
        peer,
        Peer::connect(|| nowhere.connect_lazy(), &TaskTracker::new(), &CancellationToken::new()),
    ));
    timeout(Duration::from_secs(1), running.wait_for(|running| *running == 0)).await.unwrap().unwrap();
    drop(events);
}

#[tokio::test]
async fn a_death_fails_what_was_open_and_the_session_comes_back() {
    let mut served = serve().await;
    let events = served.peer.generate(request("endless")).unwrap();
    served.running(1).await;
    served.process.die();
    let (_, end) = text_and_end(events).await;
    assert!(matches!(end, Some(Event::Failed(failed)) if failed.code() == ErrorCode::ReplicaLost && failed.retryable));

    // Until it is back, nothing queues for it.
    let mut changes = served.peer.changes();
    let noticing = async {
        while served.peer.takes_requests().is_ok() {
            changes.changed().await.unwrap();
        }
    };
    timeout(SOON, noticing).await.expect("both sessions notice the death");
    let refused = served.peer.generate(request("1")).map(drop);
    assert_eq!(refused, Err(Refused::Broken));

    let listener = TcpListener::bind(served.address).await.unwrap();
    served.process = Process::start(listener, &served.ticks, &served.tasks, &served.stopping);
    connected(&served.peer).await;
    let (text, _) = text_and_end(served.peer.generate(request("3")).unwrap()).await;
    assert_eq!(text, "0 1 2 ");
}

#[tokio::test]
async fn a_draining_process_finishes_what_runs_and_takes_nothing_new() {
    let served = serve().await;
    let events = served.peer.generate(request("100")).unwrap();
    served.running(1).await;
    served.stopping.drain.cancel();
    let (text, end) = text_and_end(events).await;
    assert!(text.ends_with("99 ") && matches!(end, Some(Event::Finished(_))));
    let refused = served.peer.generate(request("1"));
    match refused {
        Err(refused) => assert!(matches!(refused, Refused::Draining | Refused::Broken)),
        Ok(events) => {
            let (_, end) = text_and_end(events).await;
            assert!(matches!(end, Some(Event::Failed(failed)) if failed.retryable));
        }
    }
    assert_eq!(served.ticks.started.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_slow_reader_is_merged_and_delays_nobody() {
    let served = serve().await;
    let slow = served.peer.generate(request("300")).unwrap();
    let (text, _) = text_and_end(served.peer.generate(request("400")).unwrap()).await;
    assert!(text.ends_with("399 "));
    let events: Vec<_> = timeout(SOON, slow.collect::<Vec<_>>()).await.unwrap();
    assert!(events.len() < 50, "{} events waited", events.len());
    let (text, _) = text_and_end(stream::iter(events)).await;
    assert!(text.ends_with("299 "));
}

#[tokio::test]
async fn the_single_generate_call_is_cancelled_by_dropping_it() {
    let served = serve().await;
    let mut stream = served.peer.unary().generate(request("endless")).await.unwrap().into_inner();
    timeout(SOON, stream.message()).await.unwrap().unwrap();
    served.running(1).await;
    drop(stream);
    served.running(0).await;
}

#[tokio::test]
async fn who_stops_refuses_single_questions_as_itself_and_not_as_a_broken_connection() {
    let served = serve().await;
    let asked = async || TokenizeRequest::default().ask(served.peer.unary()).await.unwrap().unwrap_err().code();
    assert_eq!(asked().await, ErrorCode::Unsupported);
    served.stopping.drain.cancel();
    assert_eq!(asked().await, ErrorCode::ShuttingDown);
}
