//! A sidecar whose model routers choose: loads, unloads, sleeps, and what they may not order.

use std::fs;

use cloudach_proto::v1::{
    DeathCause, Drain, GenerateRequest, LoadAdapter, LoadModel, ModelPhase, ModelState, SleepModel, UnloadAdapter,
    UnloadModel, WakeModel, inference_client::InferenceClient, router_command::Command,
};
use cloudach_service::{address::Address, grpc};
use tokio::time::timeout;
use tonic::transport::Channel;

use crate::{
    fleet::Attachment,
    process::{Process, exists, gone},
    rig::{Answer, SOON, ask},
};

fn load(model: &str, source: &str) -> Command {
    let arguments = vec!["--test-threads".into(), "1".into()];
    Command::Load(LoadModel { model: model.into(), source: source.into(), arguments, gpus: 1 })
}

fn unload(model: &str) -> Command {
    Command::Unload(UnloadModel { model: model.into() })
}

async fn client(process: &Process) -> InferenceClient<Channel> {
    let address = Address::Unix(process.folder.path().join("sidecar.sock"));
    InferenceClient::new(grpc::endpoint(&address).unwrap().connect().await.unwrap())
}

async fn run(client: &InferenceClient<Channel>, model: &str) -> Answer {
    let request = GenerateRequest { model: model.into(), ..ask("hi") };
    let events = client.clone().generate(request).await.unwrap().into_inner();
    timeout(SOON, Answer::read(tokio_stream::StreamExt::map(events, Result::unwrap))).await.unwrap()
}

/// A sidecar that has loaded the model `a`.
async fn loaded() -> (Process, Attachment) {
    let mut process = Process::managed().await;
    let mut attachment = process.attachment().await;
    attachment.order(1, 1, load("a", "/models/a")).await.unwrap();
    attachment.until_phase(ModelPhase::Ready).await;
    (process, attachment)
}

#[tokio::test]
async fn it_says_what_it_has_and_has_nothing() {
    let mut process = Process::managed().await;
    let mut attachment = process.attachment().await;
    let hello = attachment.hello().await;
    assert!(hello.managed && hello.sleeps);
    assert_eq!((hello.gpus[0].id.as_str(), hello.gpus[0].memory_mib), ("gpu-1", 1000));
    let state = attachment.until_phase(ModelPhase::Unloaded).await;
    assert_eq!(state, ModelState { phase: ModelPhase::Unloaded.into(), ..ModelState::default() });
    assert!(attachment.order(1, 1, unload("a")).await.unwrap_err().contains("has no model"));
    let failed = run(&client(&process).await, "a").await.failed.unwrap();
    assert!(failed.retryable, "{failed:?}");
}

#[tokio::test]
async fn one_model_follows_the_other() {
    let (process, mut attachment) = loaded().await;
    let engine = process.number_in("engine.pid").await;
    let words = fs::read_to_string(process.folder.path().join("engine.args")).unwrap();
    assert!(words.ends_with("/models/a --test-threads 1"), "{words}");
    let client = client(&process).await;
    assert!(run(&client, "a").await.finished.is_some());
    assert!(run(&client, "b").await.failed.unwrap().retryable);

    // Ordered twice, it is loaded once; another has to wait until it has gone.
    attachment.order(1, 2, load("a", "/models/a")).await.unwrap();
    assert_eq!(attachment.order(1, 3, load("b", "/models/b")).await.unwrap_err(), "this sidecar has `a`");
    attachment.order(1, 4, Command::Drain(Drain {})).await.unwrap();
    assert!(run(&client, "a").await.failed.unwrap().message.contains("draining"));
    attachment.order(1, 5, unload("a")).await.unwrap();
    assert!(!exists(engine), "the outcome comes when the engine has gone");
    attachment.order(1, 6, load("b", "/models/b")).await.unwrap();
    assert_eq!(attachment.until_phase(ModelPhase::Ready).await.model, "b");
    assert!(run(&client, "b").await.finished.is_some());
}

#[tokio::test]
async fn only_what_is_allowed_is_started() {
    let mut process = Process::managed().await;
    let mut attachment = process.attachment().await;
    for source in ["/etc/passwd", "/models/../etc", "--version", ""] {
        let refused = attachment.order(1, 1, load("a", source)).await.unwrap_err();
        assert!(refused.contains("managed.sources"), "{refused}");
    }
    let order = LoadModel { model: "a".into(), source: "/models/a".into(), gpus: 1, ..LoadModel::default() };
    let program = LoadModel { arguments: vec!["--middleware=evil".into()], ..order.clone() };
    let refused = attachment.order(1, 2, Command::Load(program)).await.unwrap_err();
    assert!(refused.contains("`--middleware=evil`") && refused.contains("managed.arguments"), "{refused}");
    let big = LoadModel { gpus: 2, ..order };
    assert!(attachment.order(1, 3, Command::Load(big)).await.unwrap_err().contains("needs 2 GPUs"));
    assert!(!process.folder.path().join("engine.args").exists());
}

#[tokio::test]
async fn a_load_that_fails_is_told_and_not_repeated() {
    let mut process = Process::managed().await;
    let mut attachment = process.attachment().await;
    attachment.order(1, 1, load("a", "/models/broken")).await.unwrap();
    let state = attachment.until_phase(ModelPhase::Failed).await;
    assert_eq!(state.model, "a");
    assert!(state.detail.contains("CUDA out of memory") && !state.detail.contains("again"), "{}", state.detail);
    let engine = process.number_in("engine.pid").await;
    // Whatever comes next does not have to be unloaded first.
    attachment.order(1, 2, load("a", "/models/a")).await.unwrap();
    attachment.until_phase(ModelPhase::Ready).await;
    assert_ne!(process.number_in("engine.pid").await, engine);
}

#[tokio::test]
async fn a_load_that_takes_too_long_has_failed_when_its_engine_has_ended() {
    let mut process = Process::managed().await;
    let mut attachment = process.attachment().await;
    attachment.order(1, 1, load("a", "/models/hangs")).await.unwrap();
    let engine = process.number_in("engine.pid").await;
    let state = attachment.until_phase(ModelPhase::Failed).await;
    assert!(state.detail.contains("not ready after 3s"), "{}", state.detail);
    assert!(!exists(engine));
    attachment.order(1, 2, load("a", "/models/a")).await.unwrap();
    attachment.until_phase(ModelPhase::Ready).await;
}

#[tokio::test]
async fn an_engine_that_dies_waits_for_an_order() {
    let (process, mut attachment) = loaded().await;
    let engine = process.number_in("engine.pid").await;
    assert!(std::process::Command::new("kill").args(["-KILL", &engine.to_string()]).status().unwrap().success());
    let state = attachment.until_phase(ModelPhase::Failed).await;
    assert!(state.detail.contains("signal 9"), "{}", state.detail);
    assert_eq!(state.last_death(), DeathCause::Killed);
    attachment.order(1, 2, unload("a")).await.unwrap();
    attachment.order(1, 3, load("b", "/models/b")).await.unwrap();
    assert_eq!(attachment.until_phase(ModelPhase::Ready).await.model, "b");
}

#[tokio::test]
async fn it_sleeps_at_both_levels_and_wakes() {
    let (process, mut attachment) = loaded().await;
    let client = client(&process).await;
    for level in [1, 2] {
        let sleep = Command::Sleep(SleepModel { model: "a".into(), level });
        attachment.order(1, 10 + u64::from(level), sleep).await.unwrap();
        assert!(run(&client, "a").await.failed.unwrap().message.contains("sleeps"));
        let wake = Command::Wake(WakeModel { model: "a".into() });
        attachment.order(1, 20 + u64::from(level), wake).await.unwrap();
        assert!(run(&client, "a").await.finished.is_some());
    }
    let engine = process.number_in("engine.pid").await;
    attachment.order(1, 30, Command::Sleep(SleepModel { model: "a".into(), level: 1 })).await.unwrap();
    attachment.order(1, 31, unload("a")).await.unwrap();
    gone(engine, SOON).await;
}

#[tokio::test]
async fn what_dies_in_its_sleep_is_not_woken() {
    let (process, mut attachment) = loaded().await;
    attachment.order(1, 2, Command::Sleep(SleepModel { model: "a".into(), level: 1 })).await.unwrap();
    let engine = process.number_in("engine.pid").await;
    assert!(std::process::Command::new("kill").args(["-KILL", &engine.to_string()]).status().unwrap().success());
    attachment.until_phase(ModelPhase::Failed).await;
    let woken = attachment.order(1, 3, Command::Wake(WakeModel { model: "a".into() })).await;
    assert_eq!(woken.unwrap_err(), "the model does not sleep");
}

#[tokio::test]
async fn adapters_come_and_go_with_the_model() {
    let (process, mut attachment) = loaded().await;
    let client = client(&process).await;
    let adapter = |path: &str| {
        Command::LoadAdapter(LoadAdapter { model: "a".into(), adapter: "polite".into(), path: path.into() })
    };
    assert!(attachment.order(1, 2, adapter("/etc/polite")).await.unwrap_err().contains("managed.sources"));
    assert!(attachment.order(1, 3, adapter("/models/missing")).await.unwrap_err().contains("404"));
    attachment.order(1, 4, adapter("/models/polite")).await.unwrap();
    assert!(run(&client, "polite").await.finished.is_some());
    let remove = UnloadAdapter { model: "a".into(), adapter: "polite".into() };
    attachment.order(1, 5, Command::UnloadAdapter(remove)).await.unwrap();
    assert!(run(&client, "polite").await.failed.is_some());
    attachment.order(1, 6, adapter("/models/polite")).await.unwrap();
    attachment.order(1, 7, unload("a")).await.unwrap();
    attachment.order(1, 8, load("a", "/models/a")).await.unwrap();
    let ready = attachment.until_phase(ModelPhase::Ready).await;
    assert!(ready.adapters.is_empty(), "the new engine has none");
}
