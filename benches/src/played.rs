//! Sidecars that this program plays: each is attached to the router as a real one is, by a connection of its own, and all of
//! them answer at one address, at once and alike. So it is seen what hundreds of replicas cost a router, without hundreds of
//! processes.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use cloudach_proto::{
    DESCRIPTORS, inference,
    session::server::{EventStream, Generate, Stopping},
    unary::{Answers, Unary},
    v1::{
        Capabilities, ChatTemplate, Delta, ErrorCode, Failed, FinishReason, Finished, GenerateRequest, Hello, Load,
        ModelPhase, ModelState, RouterCommand, SidecarReport, Started, TokenUsage, fleet_client::FleetClient,
        sidecar_report::Report,
    },
};
use cloudach_service::{
    address::Address,
    grpc::{self, Dial, Listener},
};
use futures_util::{StreamExt, stream};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep, timeout_at},
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::Streaming;

use crate::rig::{CHAT_TEMPLATE, model};

/// How often a sidecar says how busy it is where nothing changes, and where something does all the time.
const AT_REST: Duration = Duration::from_secs(1);
const BUSY: Duration = Duration::from_millis(100);

/// Chat templates of today's models have some kilobytes.
const TEMPLATE_BYTES: usize = 4096;

/// How long the router may take to listen, and to take all of them.
const START: Duration = Duration::from_secs(10);
const ATTACHED: Duration = Duration::from_secs(60);

/// All of them. They are gone when this is dropped.
#[derive(Debug)]
pub struct PlayedFleet {
    pace: watch::Sender<Duration>,
    /// The reports of the first one, and what it says of its model.
    first: (mpsc::Sender<SidecarReport>, ModelState),
    _tasks: JoinSet<Result<()>>,
}

impl PlayedFleet {
    /// Attaches so many replicas, each of one of so many models.
    pub async fn attach(router: SocketAddr, replicas: usize, models: usize) -> Result<Self> {
        let mut tasks = JoinSet::new();
        let listener = Listener::bind(&Address::Tcp("127.0.0.1:0".to_owned())).await?;
        let address = listener.address().to_string();
        let (server, _health) = grpc::server(DESCRIPTORS)?;
        let services =
            server.add_service(inference::service(Arc::new(Engine), TaskTracker::new(), Stopping::default()));
        tasks.spawn(async move { Ok(listener.serve(services, None, CancellationToken::new()).await?) });

        let pace = watch::Sender::new(AT_REST);
        let way = Dial::to(&Address::Tcp(router.to_string()), None)?;
        let begun = Instant::now();
        while way.now().await.is_err() && begun.elapsed() < START {
            sleep(Duration::from_millis(5)).await;
        }
        let mut first = None;
        let until = Instant::now() + ATTACHED;
        for number in 0..replicas {
            let state = ready(model(number % models));
            let attached = timeout_at(until, Attached::new(format!("played-{number}"), &state, &way, &address)).await;
            let attached = attached.with_context(|| format!("{number} are attached after {ATTACHED:?}"))?;
            let attached = attached.context("a played sidecar cannot attach")?;
            first.get_or_insert((attached.reports.clone(), state));
            tasks.spawn(attached.report(pace.subscribe()));
        }
        Ok(Self { pace, first: first.context("nobody is played")?, _tasks: tasks })
    }

    /// One of them is loading its model, or ready again.
    pub async fn change(&self, phase: ModelPhase) -> Result<()> {
        let (reports, state) = &self.first;
        let state = ModelState { phase: phase.into(), ..state.clone() };
        Ok(reports.send(SidecarReport { report: Some(Report::Model(state)) }).await?)
    }

    /// From now on they report as those do whose load changes all the time, or as those at rest.
    pub fn be_busy(&self, busy: bool) {
        self.pace.send_replace(if busy { BUSY } else { AT_REST });
    }
}

/// What one says of its model.
fn ready(model: String) -> ModelState {
    let source = format!("{{# {} #}}{CHAT_TEMPLATE}", " ".repeat(TEMPLATE_BYTES));
    ModelState {
        model,
        phase: ModelPhase::Ready.into(),
        context_length: 100_000,
        chat_template: Some(ChatTemplate { source, ..ChatTemplate::default() }),
        capabilities: Some(Capabilities { generate: true, ..Capabilities::default() }),
        ..ModelState::default()
    }
}

struct Attached {
    reports: mpsc::Sender<SidecarReport>,
    orders: Streaming<RouterCommand>,
}

impl Attached {
    async fn new(replica: String, state: &ModelState, way: &Dial, address: &str) -> Result<Self> {
        let (reports, outgoing) = mpsc::channel(8);
        let hello = Hello {
            replica,
            address: address.to_owned(),
            dialect: "vllm".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..Hello::default()
        };
        for first in [Report::Hello(hello), Report::Model(state.clone()), Report::Load(Load::default())] {
            reports.send(SidecarReport { report: Some(first) }).await?;
        }
        let orders = FleetClient::new(way.now().await?).attach(ReceiverStream::new(outgoing)).await?.into_inner();
        Ok(Self { reports, orders })
    }

    /// Says how busy it is, until the router goes.
    async fn report(mut self, mut pace: watch::Receiver<Duration>) -> Result<()> {
        let mut told = 0;
        loop {
            let every = *pace.borrow_and_update();
            tokio::select! {
                order = self.orders.message() => if order?.is_none() { return Ok(()) },
                Ok(()) = pace.changed() => {}
                () = sleep(every) => {
                    told += 1;
                    let load = Load { running: told % 2, completion_tokens: told.into(), ..Load::default() };
                    self.reports.send(SidecarReport { report: Some(Report::Load(load)) }).await?;
                }
            }
        }
    }
}

/// Answers everything with one word.
struct Engine;

impl Generate for Engine {
    fn generate(self: Arc<Self>, _: Box<GenerateRequest>) -> EventStream {
        let usage = TokenUsage { prompt_tokens: 10, completion_tokens: 1, cached_tokens: 0 };
        let started = Started { replica: "played".to_owned(), prompt_tokens: 10, ..Started::default() };
        let delta = Delta { token_ids: vec![1], text: "Paris".to_owned(), ..Delta::default() };
        let finished = Finished { reason: FinishReason::Stop.into(), usage: Some(usage), ..Finished::default() };
        stream::iter([started.into(), delta.into(), finished.into()]).boxed()
    }
}

impl<Q: Unary> Answers<Q> for Engine {
    async fn answer(&self, _: Q) -> Result<Q::Answer, Failed> {
        Err(Failed::new(ErrorCode::Unsupported, "a played replica only generates"))
    }
}
