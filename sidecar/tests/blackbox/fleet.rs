//! What routers hear and what comes of their commands, with a router that is only ears and a mouth.

use std::{net::SocketAddr, time::Duration};

use cloudach_fake_engine::Script;
use cloudach_proto::v1::{
    Drain, ErrorCode, GpuState, Hello, LoadAdapter, LoadModel, ModelPhase, ModelState, RouterCommand, SidecarReport,
    SleepModel, UnloadModel, WakeModel,
    fleet_server::{Fleet, FleetServer},
    router_command::Command,
    sidecar_report::Report,
};
use cloudach_service::{
    address::Address,
    grpc::{self, Listener},
};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};
use tonic::{Request, Response, Status, Streaming};

use crate::rig::{Rig, SOON, ask};

/// A router's ears: the attachments that sidecars open, one after the other.
struct Ears(mpsc::Sender<Attachment>);

/// One sidecar's attachment.
pub(crate) struct Attachment {
    reports: Streaming<SidecarReport>,
    commands: mpsc::Sender<Result<RouterCommand, Status>>,
}

#[tonic::async_trait]
impl Fleet for Ears {
    type AttachStream = ReceiverStream<Result<RouterCommand, Status>>;

    async fn attach(&self, request: Request<Streaming<SidecarReport>>) -> Result<Response<Self::AttachStream>, Status> {
        let (commands, outgoing) = mpsc::channel(16);
        let attachment = Attachment { reports: request.into_inner(), commands };
        self.0.send(attachment).await.map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }
}

pub(crate) struct Router {
    pub(crate) address: Address,
    attachments: mpsc::Receiver<Attachment>,
    _end: DropGuard,
}

impl Router {
    pub(crate) async fn start(address: Address) -> Self {
        let (sender, attachments) = mpsc::channel(4);
        let end = CancellationToken::new();
        let binding = async {
            loop {
                // The router that listened here before may not be gone quite yet.
                match Listener::bind(&address).await {
                    Ok(listener) => return listener,
                    Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
        };
        let listener = timeout(SOON, binding).await.expect("the address becomes free");
        let address = listener.address().clone();
        let (server, _health) = grpc::server(cloudach_proto::DESCRIPTORS).unwrap();
        let services = server.add_service(FleetServer::new(Ears(sender)));
        TaskTracker::new().spawn(listener.serve(services, None, end.clone()));
        Self { address, attachments, _end: end.drop_guard() }
    }

    pub(crate) async fn attachment(&mut self) -> Attachment {
        timeout(SOON, self.attachments.recv()).await.expect("the sidecar attaches").unwrap()
    }
}

impl Attachment {
    async fn next(&mut self) -> Report {
        let next = timeout(SOON, self.reports.message()).await.expect("reports come");
        next.unwrap().expect("the sidecar stays attached").report.unwrap()
    }

    pub(crate) async fn hello(&mut self) -> Hello {
        match self.next().await {
            Report::Hello(hello) => hello,
            other => panic!("hello comes first, not {other:?}"),
        }
    }

    async fn until<T>(&mut self, wanted: impl Fn(Report) -> Option<T>) -> T {
        loop {
            if let Some(found) = wanted(self.next().await) {
                return found;
            }
        }
    }

    pub(crate) async fn until_phase(&mut self, phase: ModelPhase) -> ModelState {
        self.until(|report| match report {
            Report::Model(state) if state.phase() == phase => Some(state),
            _ => None,
        })
        .await
    }

    pub(crate) async fn until_state(&mut self, wanted: impl Fn(&ModelState) -> bool) -> ModelState {
        self.until(|report| match report {
            Report::Model(state) if wanted(&state) => Some(state),
            _ => None,
        })
        .await
    }

    /// What is told next of the GPUs.
    pub(crate) async fn gpus(&mut self) -> Vec<GpuState> {
        self.until(|report| match report {
            Report::Gpus(report) => Some(report.gpus),
            _ => None,
        })
        .await
    }

    pub(crate) async fn order(&mut self, epoch: u64, command_id: u64, command: Command) -> Result<(), String> {
        let order = RouterCommand { epoch, command_id, command: Some(command), reason: String::new() };
        self.commands.send(Ok(order)).await.unwrap();
        self.until(|report| match report {
            Report::Outcome(outcome) if outcome.command_id == command_id => {
                Some(if outcome.done { Ok(()) } else { Err(outcome.detail) })
            }
            _ => None,
        })
        .await
    }
}

fn anywhere() -> Address {
    Address::Tcp("127.0.0.1:0".into())
}

async fn attached(script: Script) -> (Rig, Router, Attachment, Hello) {
    let mut router = Router::start(anywhere()).await;
    let address = router.address.clone();
    let rig = Rig::start_with(script, |config| config.routers = vec![address]).await;
    let mut attachment = router.attachment().await;
    let Report::Hello(hello) = attachment.next().await else { panic!("hello comes first") };
    (rig, router, attachment, hello)
}

#[tokio::test]
async fn a_sidecar_says_who_it_is_and_what_it_serves() {
    let (rig, _router, mut attachment, hello) = attached(Script { max_model_len: 4096, ..Script::vllm() }).await;
    assert_eq!(hello.replica, "replica-1");
    assert_eq!(hello.address, rig.sidecar.address.to_string());
    assert_eq!(hello.dialect, "vllm");
    let state = attachment.until_phase(ModelPhase::Ready).await;
    assert_eq!(state.context_length, 4096);
    assert!(state.capabilities.unwrap().generate);
}

#[tokio::test]
async fn load_is_told_when_it_changes_and_every_second() {
    let (rig, _router, mut attachment, _) = attached(Script::vllm()).await;
    attachment.until_phase(ModelPhase::Ready).await;
    let peer = rig.sidecar.peer().await;
    let streams: Vec<_> = (0..3).map(|_| peer.generate(ask("[[first=60s]]")).unwrap()).collect();
    let busy = |wanted: u32| {
        move |report| match report {
            Report::Load(load) if load.running + load.waiting == wanted => Some(()),
            _ => None,
        }
    };
    attachment.until(busy(3)).await;
    // It is told again although nothing changes.
    timeout(Duration::from_secs(3), attachment.until(busy(3))).await.unwrap();
    drop(streams);
    timeout(Duration::from_secs(1), attachment.until(busy(0))).await.unwrap();
}

#[tokio::test]
async fn every_router_is_attached_to_and_found_again() {
    let first = Router::start(anywhere()).await;
    let mut second = Router::start(anywhere()).await;
    let addresses = vec![first.address.clone(), second.address.clone()];
    let _rig = Rig::start_with(Script::vllm(), |config| config.routers = addresses).await;
    second.attachment().await.until_phase(ModelPhase::Ready).await;

    let mut first = first;
    let attachment = first.attachment().await;
    let address: SocketAddr = first.address.to_string().parse().unwrap();
    drop((first, attachment));
    let mut again = Router::start(Address::Tcp(address.to_string())).await;
    let mut attachment = again.attachment().await;
    assert!(matches!(attachment.next().await, Report::Hello(_)));
    attachment.until_phase(ModelPhase::Ready).await;
}

#[tokio::test]
async fn an_engine_that_dies_is_told_at_once() {
    let (rig, _router, mut attachment, _) = attached(Script::vllm()).await;
    attachment.until_phase(ModelPhase::Ready).await;
    let peer = rig.sidecar.peer().await;
    let stream = peer.generate(ask("[[first=60s]]")).unwrap();
    rig.engine_runs(1, SOON).await;
    rig.engine.kill();
    let state = timeout(Duration::from_secs(1), attachment.until_phase(ModelPhase::Loading)).await.unwrap();
    assert!(state.detail.contains("engine"), "{state:?}");
    drop(stream);
}

#[tokio::test]
async fn a_stop_is_told_as_draining() {
    let (rig, _router, mut attachment, _) = attached(Script::vllm()).await;
    attachment.until_phase(ModelPhase::Ready).await;
    rig.sidecar.stop.ask();
    attachment.until_phase(ModelPhase::Draining).await;
}

#[tokio::test]
async fn an_older_leader_is_not_obeyed() {
    let (rig, _router, mut attachment, _) = attached(Script::vllm()).await;
    let unload = || Command::Unload(UnloadModel { model: "the-model".into() });
    assert!(attachment.order(5, 1, unload()).await.unwrap_err().contains("did not start its engine"));
    assert!(attachment.order(4, 2, Command::Drain(Drain {})).await.unwrap_err().contains("epoch"));
    assert!(rig.sidecar.run(ask("hi")).await.finished.is_some());

    attachment.order(5, 3, Command::Drain(Drain {})).await.unwrap();
    let failed = rig.sidecar.run(ask("hi")).await.failed.unwrap();
    assert_eq!((failed.code(), failed.retryable), (ErrorCode::ShuttingDown, true));
    attachment
        .order(6, 4, Command::Load(LoadModel { model: "the-model".into(), ..LoadModel::default() }))
        .await
        .unwrap();
    assert!(rig.sidecar.run(ask("hi")).await.finished.is_some());
}

#[tokio::test]
async fn a_model_sleeps_wakes_and_takes_adapters() {
    let (rig, _router, mut attachment, _) = attached(Script { dev_mode: true, lora: true, ..Script::vllm() }).await;
    let model = || "the-model".to_owned();
    attachment.order(1, 1, Command::Sleep(SleepModel { model: model(), level: 1 })).await.unwrap();
    let failed = rig.sidecar.run(ask("hi")).await.failed.unwrap();
    assert_eq!(failed.code(), ErrorCode::ModelUnavailable);
    attachment.order(1, 2, Command::Wake(WakeModel { model: model() })).await.unwrap();
    assert!(rig.sidecar.run(ask("hi")).await.finished.is_some());

    let adapter = LoadAdapter { model: model(), adapter: "polite".into(), path: "/adapters/polite".into() };
    attachment.order(1, 3, Command::LoadAdapter(adapter)).await.unwrap();
    let answer = rig.sidecar.run(cloudach_proto::v1::GenerateRequest { model: "polite".into(), ..ask("hi") }).await;
    assert!(answer.finished.is_some(), "{answer:?}");
    assert_eq!(rig.engine.requests().last().unwrap()["model"], "polite");
    let wrong = Command::Sleep(SleepModel { model: "other".into(), level: 1 });
    assert!(attachment.order(1, 4, wrong).await.unwrap_err().contains("the-model"));
}
