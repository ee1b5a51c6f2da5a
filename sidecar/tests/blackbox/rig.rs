//! A sidecar in this process, with a fake engine behind it and clients before it.

use std::time::Duration;

use cloudach_fake_engine::{Dialect as FakeDialect, FakeEngine, FrontEnd, Script};
use cloudach_proto::{
    session::client::Peer,
    v1::{
        Delta, Failed, Finished, GenerateEvent, GenerateRequest, Prompt, PromptText, RequestContext, Sampling, Started,
        TokenIds, generate_event::Event, inference_client::InferenceClient, prompt,
    },
};
use cloudach_service::{
    address::Address,
    grpc,
    stop::{Drain, Stop},
    trace::config::Tracing,
};
use cloudach_sidecar::{
    Config, SidecarError,
    config::{Dialect, EngineConfig, GpuWatch, Limits},
};
use futures_util::{Stream, StreamExt};
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::transport::Channel;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

/// Nothing in these tests takes longer on any machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// How soon an engine is to notice that its caller has gone.
pub(crate) const PROMPTLY: Duration = Duration::from_secs(1);

pub(crate) const MODEL: &str = "the-model";

pub(crate) struct Rig {
    pub(crate) engine: FakeEngine,
    pub(crate) sidecar: Sidecar,
}

/// A running sidecar. Dropping it lets it stop in the background.
pub(crate) struct Sidecar {
    pub(crate) address: Address,
    pub(crate) stop: Stop,
    pub(crate) client: InferenceClient<Channel>,
    channel: Channel,
    done: JoinHandle<Result<(), SidecarError>>,
    folder: tempfile::TempDir,
}

impl Rig {
    /// A sidecar that is ready, in front of an engine that does what the script says.
    pub(crate) async fn start(script: Script) -> Self {
        Self::start_with(script, |_| {}).await
    }

    pub(crate) async fn start_with(script: Script, adjust: impl FnOnce(&mut Config)) -> Self {
        let dialect = dialect(&script);
        let engine = FakeEngine::start(script).await;
        let sidecar = Sidecar::start(EngineConfig::attach(dialect, engine.url().parse().unwrap()), adjust).await;
        sidecar.ready().await;
        Self { engine, sidecar }
    }

    /// Waits until the engine runs so many requests.
    pub(crate) async fn engine_runs(&self, requests: usize, within: Duration) {
        let reached = async {
            while self.engine.running() != requests {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let running = || self.engine.running();
        timeout(within, reached).await.unwrap_or_else(|_| panic!("the engine runs {}, not {requests}", running()));
    }
}

impl Sidecar {
    pub(crate) async fn start(engine: EngineConfig, adjust: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = Address::Unix(folder.path().join("sidecar.sock"));
        let mut config = config(address.clone(), engine);
        adjust(&mut config);
        let stop = Stop::default();
        let running = cloudach_sidecar::run(config.into(), stop.clone());
        #[expect(clippy::disallowed_methods, reason = "the rig owns this task")]
        let done = tokio::spawn(running);
        let channel = connect(&address).await;
        let client = InferenceClient::new(channel.clone());
        Self { address, stop, client, channel, done, folder }
    }

    /// Waits until it serves.
    pub(crate) async fn ready(&self) {
        self.shows(ServingStatus::Serving).await;
    }

    /// Waits until its health service says so.
    pub(crate) async fn shows(&self, wanted: ServingStatus) {
        let request = HealthCheckRequest { service: "cloudach.v1.Inference".into() };
        let waiting = async {
            loop {
                let Ok(watch) = HealthClient::new(self.channel.clone()).watch(request.clone()).await else {
                    tokio::task::yield_now().await;
                    continue;
                };
                let mut watch = watch.into_inner();
                while let Ok(Some(health)) = watch.message().await {
                    if health.status() == wanted {
                        return;
                    }
                }
            }
        };
        timeout(SOON, waiting).await.unwrap_or_else(|_| panic!("the sidecar never showed {wanted:?}"));
    }

    /// A router's way to it.
    pub(crate) async fn peer(&self) -> Peer {
        let endpoint = grpc::endpoint(&self.address).unwrap();
        let peer = Peer::connect(|| endpoint.connect_lazy(), &TaskTracker::new(), &CancellationToken::new());
        let mut changes = peer.changes();
        let connected = async {
            while peer.takes_requests().is_err() {
                changes.changed().await.unwrap();
            }
        };
        timeout(SOON, connected).await.expect("the session opens");
        peer
    }

    /// All events of a request.
    pub(crate) async fn run(&self, request: GenerateRequest) -> Answer {
        let events = self.client.clone().generate(request).await.unwrap().into_inner();
        timeout(SOON, Answer::read(events.map(Result::unwrap))).await.expect("the generation ends")
    }

    /// Asks it to stop and waits until it has.
    pub(crate) async fn stopped(self) {
        self.stop.ask();
        timeout(SOON, self.done).await.expect("the sidecar stops").unwrap().unwrap();
        drop(self.folder);
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.sidecar.stop.ask();
    }
}

/// What a caller gets.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) started: Option<Started>,
    pub(crate) deltas: Vec<Delta>,
    pub(crate) finished: Option<Finished>,
    pub(crate) failed: Option<Failed>,
}

impl Answer {
    pub(crate) async fn read(mut events: impl Stream<Item = GenerateEvent> + Unpin) -> Self {
        let mut answer = Self::default();
        while let Some(event) = events.next().await {
            assert!(answer.finished.is_none() && answer.failed.is_none(), "an event after the last one");
            match event.event.expect("events are known") {
                Event::Started(started) => {
                    assert!(answer.started.is_none() && answer.deltas.is_empty(), "started comes first and once");
                    answer.started = Some(started);
                }
                Event::Delta(delta) => answer.deltas.push(delta),
                Event::Finished(finished) => answer.finished = Some(finished),
                Event::Failed(failed) => answer.failed = Some(failed),
                Event::Waiting(waiting) => panic!("sidecars do not wait: {waiting:?}"),
            }
        }
        assert!(answer.finished.is_some() || answer.failed.is_some(), "the stream ends with how it ended");
        answer
    }

    pub(crate) fn text(&self) -> String {
        self.deltas.iter().map(|delta| delta.text.as_str()).collect()
    }

    pub(crate) fn ids(&self) -> Vec<u32> {
        self.deltas.iter().flat_map(|delta| delta.token_ids.iter().copied()).collect()
    }
}

/// One engine of every kind.
pub(crate) fn engines() -> [Script; 3] {
    [
        Script::vllm(),
        Script { dialect: FakeDialect::Vllm(FrontEnd::Rust), ..Script::vllm() },
        Script { max_running: 64, ..Script::llama_cpp() },
    ]
}

/// A request with this prompt.
pub(crate) fn ask(prompt: &str) -> GenerateRequest {
    let text = PromptText { text: prompt.to_owned(), add_special_tokens: false };
    GenerateRequest {
        request_id: "request-1".into(),
        model: MODEL.into(),
        prompt: Some(Prompt { prompt: Some(prompt::Prompt::Text(text)) }),
        sampling: Some(Sampling { max_tokens: Some(1000), ..Sampling::default() }),
        context: Some(RequestContext::default()),
        ..GenerateRequest::default()
    }
}

/// A request with these ids.
pub(crate) fn ask_ids(ids: Vec<u32>) -> GenerateRequest {
    GenerateRequest { prompt: Some(Prompt { prompt: Some(prompt::Prompt::TokenIds(TokenIds { ids })) }), ..ask("") }
}

pub(crate) fn dialect(script: &Script) -> Dialect {
    match script.dialect {
        FakeDialect::Vllm(_) => Dialect::Vllm,
        FakeDialect::LlamaCpp => Dialect::LlamaCpp,
    }
}

pub(crate) fn config(listen: Address, engine: EngineConfig) -> Config {
    Config {
        replica: Some("replica-1".into()),
        listen,
        advertise: None,
        routers: Vec::new(),
        tls: None,
        log: None,
        admin: None,
        admin_api: None,
        model: Some(MODEL.into()),
        managed: None,
        served_name: None,
        engine,
        gpu: GpuWatch::default(),
        limits: Limits::default(),
        tracing: Tracing::default(),
        drain: Drain { settle: Duration::ZERO, grace: Duration::from_secs(10) },
    }
}

async fn connect(address: &Address) -> Channel {
    let endpoint = grpc::endpoint(address).unwrap();
    let connecting = async {
        loop {
            if let Ok(channel) = endpoint.connect().await {
                return channel;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(SOON, connecting).await.expect("the sidecar listens")
}
