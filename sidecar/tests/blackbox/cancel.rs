//! Dropping is cancelling: the engine stops working within a second, whatever the way in.

use cloudach_fake_engine::{Script, Serves};
use cloudach_proto::v1::{EmbedRequest, generate_event::Event};
use futures_util::StreamExt;
use tokio::time::timeout;

use crate::rig::{MODEL, PROMPTLY, Rig, SOON, ask, engines};

const SLOW: &str = "[[tokens=100000]][[delay=50ms]]";
const SILENT: &str = "[[first=60s]]";

#[tokio::test]
async fn a_dropped_call_frees_the_engine() {
    for script in engines() {
        let rig = Rig::start(script).await;
        let mut events = rig.sidecar.client.clone().generate(ask(SLOW)).await.unwrap().into_inner();
        while !matches!(events.next().await.unwrap().unwrap().event, Some(Event::Delta(_))) {}
        rig.engine_runs(1, SOON).await;
        drop(events);
        rig.engine_runs(0, PROMPTLY).await;
    }
}

#[tokio::test]
async fn a_call_dropped_before_the_first_token_frees_the_engine() {
    for script in engines() {
        let rig = Rig::start(script).await;
        let events = rig.sidecar.client.clone().generate(ask(SILENT)).await.unwrap().into_inner();
        rig.engine_runs(1, SOON).await;
        drop(events);
        rig.engine_runs(0, PROMPTLY).await;
    }
}

#[tokio::test]
async fn a_cancel_on_a_session_frees_the_engine_and_only_there() {
    for script in engines() {
        let rig = Rig::start(script).await;
        let peer = rig.sidecar.peer().await;
        let mut kept = peer.generate(ask("[[tokens=200]][[delay=5ms]]")).unwrap();
        let mut given_up = Box::pin(peer.generate(ask(SLOW)).unwrap());
        let silent = peer.generate(ask(SILENT)).unwrap();
        given_up.next().await.unwrap();
        kept.next().await.unwrap();
        rig.engine_runs(3, SOON).await;
        drop(given_up);
        drop(silent);
        rig.engine_runs(1, PROMPTLY).await;
        let rest: Vec<_> = timeout(SOON, kept.collect()).await.unwrap();
        assert!(rest.last().unwrap().is_last());
    }
}

#[tokio::test]
async fn a_session_that_breaks_frees_the_engine() {
    for script in engines() {
        let rig = Rig::start(script).await;
        let peer = rig.sidecar.peer().await;
        let streams: Vec<_> = (0..20).map(|_| peer.generate(ask(SLOW)).unwrap()).collect();
        rig.engine_runs(20, SOON).await;
        drop(peer);
        rig.engine_runs(0, PROMPTLY).await;
        drop(streams);
    }
}

#[tokio::test]
async fn a_dropped_embedding_frees_the_engine() {
    let script = Script { serves: Serves::Embeddings { dimensions: 4 }, ..Script::vllm() };
    let rig = Rig::start(script).await;
    let request =
        EmbedRequest { model: MODEL.into(), inputs: vec![ask(SILENT).prompt.unwrap()], ..EmbedRequest::default() };
    let mut client = rig.sidecar.client.clone();
    let mut call = Box::pin(client.embed(request));
    tokio::select! {
        _ = &mut call => panic!("it takes a minute"),
        () = rig.engine_runs(1, SOON) => {}
    }
    drop(call);
    rig.engine_runs(0, PROMPTLY).await;
}

#[tokio::test]
async fn a_deadline_frees_the_engine() {
    for script in engines() {
        let rig = Rig::start(script).await;
        for prompt in [SLOW, SILENT] {
            let mut request = ask(prompt);
            request.context.as_mut().unwrap().timeout_ms = 300;
            let answer = rig.sidecar.run(request).await;
            assert_eq!(answer.failed.unwrap().code(), cloudach_proto::v1::ErrorCode::DeadlineExceeded);
            rig.engine_runs(0, PROMPTLY).await;
        }
    }
}
