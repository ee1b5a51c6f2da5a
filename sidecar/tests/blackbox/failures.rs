//! What callers are told when engines refuse, break and die.

use std::time::Duration;

use cloudach_fake_engine::vocabulary;
use cloudach_fake_engine::{Dialect as FakeDialect, FakeEngine, Fault, FrontEnd, Script};
use cloudach_proto::v1::{ErrorCode, GenerateRequest, RequestContext, Resumed, Sampling};
use cloudach_sidecar::config::{Dialect as Spoken, EngineConfig};
use tokio::time::timeout;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::rig::{Rig, SOON, Sidecar, ask, ask_ids, dialect, engines};

#[tokio::test]
async fn an_engine_that_breaks_in_the_middle_is_lost() {
    for script in engines() {
        let rig = Rig::start(script).await;
        for fault in ["die_after=3", "end_after=3", "abort_after=3", "malformed_after=3"] {
            let answer = rig.sidecar.run(ask(&format!("[[fault:{fault}]]"))).await;
            let failed = answer.failed.as_ref().unwrap_or_else(|| panic!("{fault} ends well"));
            assert_eq!((failed.code(), failed.retryable), (ErrorCode::ReplicaLost, true), "{fault}: {failed:?}");
            assert!(answer.ids().len() <= 3, "{fault}");
            rig.sidecar.ready().await;
        }
    }
}

#[tokio::test]
async fn what_an_engine_complains_of_is_told_before_and_in_a_stream() {
    let complaints = [
        ("context", ErrorCode::ContextLengthExceeded, false),
        ("schema", ErrorCode::InvalidRequest, false),
        ("overloaded", ErrorCode::Overloaded, true),
        ("oom", ErrorCode::EngineOutOfMemory, true),
        ("internal", ErrorCode::EngineFailed, true),
    ];
    for script in engines() {
        let spoken = script.dialect;
        let rig = Rig::start(script).await;
        for (complaint, code, retryable) in complaints {
            for (fault, ids) in
                [(complaint.to_owned(), 0), (format!("{complaint}_after=0"), 0), (format!("{complaint}_after=3"), 3)]
            {
                let answer = rig.sidecar.run(ask(&format!("[[fault:{fault}]]"))).await;
                let failed = answer.failed.as_ref().unwrap_or_else(|| panic!("{spoken:?} {fault} ends well"));
                // The Rust front end knows no such failure, and its events have no status.
                if spoken == FakeDialect::Vllm(FrontEnd::Rust) && complaint == "overloaded" && fault != complaint {
                    continue;
                }
                assert_eq!((failed.code(), failed.retryable), (code, retryable), "{spoken:?} {fault}: {failed:?}");
                assert!(answer.ids().len() <= ids, "{fault}");
                // vLLM says 200 and then what is wrong with a request: nobody is told that it has started.
                assert!(answer.started.is_none() || ids > 0 || spoken == FakeDialect::LlamaCpp, "{fault}");
                if code == ErrorCode::InvalidRequest {
                    assert_eq!(failed.param, "response_format");
                }
            }
        }
        for fault in ["dead", "dead_after=3", "error_after=3"] {
            let failed = rig.sidecar.run(ask(&format!("[[fault:{fault}]]"))).await.failed.unwrap();
            assert!([ErrorCode::ReplicaLost, ErrorCode::EngineFailed].contains(&failed.code()), "{failed:?}");
            assert!(failed.retryable);
            rig.sidecar.ready().await;
        }
    }
}

#[tokio::test]
async fn an_engine_that_breaks_at_once_is_lost() {
    for script in engines() {
        let rig = Rig::start(script).await;
        let answer = rig.sidecar.run(ask("[[fault:die]]")).await;
        let failed = answer.failed.unwrap();
        assert_eq!((failed.code(), failed.retryable), (ErrorCode::ReplicaLost, true), "{failed:?}");
    }
}

#[tokio::test]
async fn an_engine_that_falls_silent_is_lost() {
    for script in engines() {
        let rig = Rig::start_with(script, |config| {
            config.limits.stall_timeout = Duration::from_millis(200);
        })
        .await;
        let failed = rig.sidecar.run(ask("[[fault:stall_after=2]]")).await.failed.unwrap();
        assert_eq!((failed.code(), failed.retryable), (ErrorCode::ReplicaLost, true), "{failed:?}");
        rig.engine_runs(0, SOON).await;
    }
}

#[tokio::test]
async fn an_event_without_end_is_a_failure() {
    for script in engines() {
        let rig = Rig::start_with(script, |config| config.limits.max_event = 100_000).await;
        let failed = rig.sidecar.run(ask("[[fault:huge_after=2:200000]]")).await.failed.unwrap();
        assert!(failed.message.contains("100000"), "{failed:?}");
    }
}

#[tokio::test]
async fn statuses_are_told_apart() {
    for script in engines() {
        let rig = Rig::start(script).await;
        for (status, code, retryable) in [(503, ErrorCode::Overloaded, true), (400, ErrorCode::InvalidRequest, false)] {
            let failed = rig.sidecar.run(ask(&format!("[[fault:status={status}]]"))).await.failed.unwrap();
            assert_eq!((failed.code(), failed.retryable), (code, retryable), "{failed:?}");
        }
        // Where the engine says that its core has died, it is lost; else it failed this request only.
        let failed = rig.sidecar.run(ask("[[fault:status=500]]")).await.failed.unwrap();
        assert!([ErrorCode::EngineFailed, ErrorCode::ReplicaLost].contains(&failed.code()), "{failed:?}");
        assert!(failed.retryable);
    }
}

#[tokio::test]
async fn a_prompt_over_the_context_is_told_as_such() {
    for script in engines() {
        let rig = Rig::start(Script { max_model_len: 100, ..script }).await;
        for tokens in [100, 150] {
            let failed = rig.sidecar.run(ask_ids(vec![65; tokens])).await.failed.unwrap();
            assert_eq!(failed.code(), ErrorCode::ContextLengthExceeded, "{failed:?}");
            assert_eq!(failed.context_length, 100, "{failed:?}");
            assert!(!failed.retryable);
        }
        let sampling = Sampling { max_tokens: Some(5000), ..Sampling::default() };
        let capped = rig.sidecar.run(GenerateRequest { sampling: Some(sampling), ..ask("[[tokens=1000]]") }).await;
        assert!(capped.finished.is_some(), "{capped:?}");
    }
}

#[tokio::test]
async fn a_full_engine_is_overloaded() {
    let rig = Rig::start_with(Script::vllm(), |config| config.limits.max_requests = 1).await;
    let peer = rig.sidecar.peer().await;
    let _first = peer.generate(ask("[[first=60s]]")).unwrap();
    rig.engine_runs(1, SOON).await;
    let failed = rig.sidecar.run(ask("hi")).await.failed.unwrap();
    assert_eq!((failed.code(), failed.retryable), (ErrorCode::Overloaded, true));
}

#[tokio::test]
async fn an_engine_that_is_not_there_is_waited_for() {
    for script in engines() {
        let spoken: Spoken = dialect(&script);
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("engine.sock");
        let url = format!("unix:{}", socket.display());
        let sidecar = Sidecar::start(EngineConfig::attach(spoken, url.parse().unwrap()), |_| {}).await;
        let failed = sidecar.run(ask("hi")).await.failed.unwrap();
        assert_eq!((failed.code(), failed.retryable), (ErrorCode::ModelUnavailable, true));

        let listen = cloudach_fake_engine::Listen::Unix(socket.clone());
        let engine = FakeEngine::listen(script.clone(), &listen).await.unwrap();
        sidecar.ready().await;
        assert!(sidecar.run(ask("hi")).await.finished.is_some());

        engine.kill();
        engine.ended().await;
        sidecar.shows(ServingStatus::NotServing).await;
        std::fs::remove_file(&socket).unwrap();
        let again = FakeEngine::listen(script, &listen).await.unwrap();
        sidecar.ready().await;
        assert!(sidecar.run(ask("hi")).await.finished.is_some());
        drop(again);
        sidecar.stopped().await;
    }
}

/// A request whose answer another replica began.
fn ask_on(prompt: &str) -> GenerateRequest {
    let resumed = Resumed { token_ids: vec![vocabulary::word(7)], text_bytes: 5, logprobs: 0 };
    GenerateRequest { resumed: Some(resumed), ..ask(prompt) }
}

/// Many answers move together when a replica dies, and those that take them have to read all their prompts at once.
#[tokio::test]
async fn a_busy_tokenizer_is_waited_for_as_a_first_token_is() {
    let slow = async |script: Script| {
        let rig = Rig::start(script.clone()).await;
        rig.engine.set_script(Script { tokenizer_delay: Duration::from_millis(5500), ..script });
        let answer = rig.sidecar.run(ask_on("Go on")).await;
        assert!(answer.finished.is_some(), "{:?}", answer.failed);
        assert_eq!(answer.started.unwrap().kept_tokens, Some(1));
    };
    let [vllm, rust, llama_cpp] = engines();
    tokio::join!(slow(vllm), slow(rust), slow(llama_cpp));
}

#[tokio::test]
async fn a_tokenizer_that_is_too_slow_is_no_lost_engine() {
    for script in engines() {
        let limit = Duration::from_millis(300);
        let rig = Rig::start_with(script.clone(), |config| config.limits.first_token_timeout = limit).await;
        rig.engine.set_script(Script { tokenizer_delay: Duration::from_secs(1), ..script.clone() });
        let failed = rig.sidecar.run(ask_on("Go on")).await.failed.unwrap();
        assert_eq!((failed.code(), failed.retryable), (ErrorCode::Overloaded, true), "{failed:?}");
        let in_a_hurry = RequestContext { timeout_ms: 100, ..RequestContext::default() };
        let request = GenerateRequest { context: Some(in_a_hurry), ..ask_on("Go on") };
        let failed = rig.sidecar.run(request).await.failed.unwrap();
        assert_eq!((failed.code(), failed.retryable), (ErrorCode::DeadlineExceeded, false), "{failed:?}");
        rig.engine.set_script(script);
        rig.sidecar.ready().await;
    }
}

/// How often the engine was asked for a token to see whether it lives: once when it got ready, and then when in doubt.
fn probes(rig: &Rig) -> usize {
    rig.engine.requests().iter().filter(|request| request["prompt"] == "Hello").count()
}

/// vLLM's server answers, and the processes behind it do nothing any more.
#[tokio::test]
async fn an_engine_that_answers_and_does_nothing_hangs() {
    let rig = Rig::start_with(Script::vllm(), |config| config.engine.hung_after = Duration::from_secs(1)).await;
    let stuck = "stall_after=0".parse::<Fault>().unwrap().into();
    rig.engine.set_script(Script { faults: vec![stuck], stale_figures: true, ..Script::vllm() });
    let failed = rig.sidecar.run(ask("hi")).await.failed.unwrap();
    assert_eq!((failed.code(), failed.retryable), (ErrorCode::ReplicaLost, true), "{failed:?}");
    assert!(failed.message.contains("hangs"), "{failed:?}");
    rig.sidecar.shows(ServingStatus::NotServing).await;
    rig.engine.set_script(Script::vllm());
    rig.sidecar.ready().await;
    assert!(rig.sidecar.run(ask("hi")).await.finished.is_some());
}

/// One request of which nothing comes says nothing about the engine.
#[tokio::test]
async fn an_engine_that_generates_a_token_when_asked_to_is_well() {
    let rig = Rig::start_with(Script::vllm(), |config| config.engine.hung_after = Duration::from_secs(1)).await;
    let stuck = rig.sidecar.run(ask("[[fault:stall_after=2]]"));
    let asked_again = async {
        while probes(&rig) < 4 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        answer = stuck => panic!("it is not lost: {:?}", answer.failed),
        asked = timeout(SOON, asked_again) => asked.expect("the engine is asked"),
    }
    assert!(rig.sidecar.run(ask("hi")).await.finished.is_some());
}
