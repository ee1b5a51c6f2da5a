//! Keeps the model's state true: waits for the engine, gets it ready, and looks at it every second from then on.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use crate::{
    engine::{EngineError, Figures, ModelInfo},
    process::{EngineProcess, Status},
    sidecar::Sidecar,
    state::Phase,
};

/// How often a ready engine is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long a starting engine is left alone between two looks: short at first, because small engines start fast.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// How long an engine that was ready and hangs may take to answer again before it is replaced.
const RECOVER_WITHIN: Duration = Duration::from_secs(30);

/// So many looks in a row without an answer, and the engine counts as hung. A busy server misses one now and then.
const MISSES: u32 = 3;

/// The state of the model is what this says from now on. Never returns.
pub(crate) async fn keep(sidecar: &Sidecar, startup_timeout: Duration) {
    let Some(process) = &sidecar.process else { return tend(sidecar, startup_timeout).await };
    let mut status = process.status();
    loop {
        let now = status.borrow_and_update().clone();
        forget(sidecar);
        match now {
            Status::Starting => tell(sidecar, Phase::Loading("the engine is being started".to_owned())),
            Status::Stopped => sidecar.states.unloaded(sidecar.managed.is_none()),
            Status::Died(reason) => {
                // It was to be ended anyway, unless it is started again.
                if sidecar.managed.is_some() || !process.is_wanted() {
                    sidecar.states.unloaded(sidecar.managed.is_none());
                }
                fail(sidecar, reason);
            }
            Status::Running => {
                tell(sidecar, Phase::Loading("the engine was started".to_owned()));
                tokio::select! {
                    _ = status.changed() => {}
                    () = tend(sidecar, startup_timeout) => {}
                }
                continue;
            }
        }
        if status.changed().await.is_err() {
            return;
        }
    }
}

/// Gets the engine ready and watches it, again and again.
async fn tend(sidecar: &Sidecar, startup_timeout: Duration) {
    let mut patience = startup_timeout;
    loop {
        let model = get_ready(sidecar, patience).await;
        // An engine that was ready and runs on has nothing to load any more.
        patience = startup_timeout.min(RECOVER_WITHIN);
        info!(served_name = model.served_name, context_length = model.context_length, "the engine is ready");
        sidecar.metrics.engine_up.set(1);
        tell(sidecar, Phase::Ready(Arc::new(model)));
        let reason = watch(sidecar).await;
        warn!(%reason, "the engine is lost");
        forget(sidecar);
        // One that is being unloaded has gone on purpose, and its state says so already.
        if sidecar.process.as_ref().is_none_or(EngineProcess::is_wanted) {
            tell(sidecar, Phase::Loading(reason.to_string()));
        }
    }
}

/// The engine is found to be this; while it is being ended that is its state.
fn tell(sidecar: &Sidecar, phase: Phase) {
    sidecar.states.go_on(|state| (state.phase != Phase::Unloading).then_some(phase));
}

/// The same, and nothing is left that could fail.
fn fail(sidecar: &Sidecar, reason: String) {
    let there = |phase: &Phase| !matches!(phase, Phase::Unloading | Phase::Unloaded);
    sidecar.states.go_on(|state| there(&state.phase).then_some(Phase::Failed(reason)));
}

/// What was true of an engine that is gone.
fn forget(sidecar: &Sidecar) {
    sidecar.metrics.engine_up.set(0);
    sidecar.states.forget_adapters();
    sidecar.figures.send_replace(Figures::default());
}

async fn get_ready(sidecar: &Sidecar, startup_timeout: Duration) -> ModelInfo {
    let begun = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        let left = startup_timeout.saturating_sub(begun.elapsed());
        let reason = match sidecar.engine.health().await {
            Ok(()) => match timeout(left.max(LOOK_EVERY), sidecar.engine.prepare()).await {
                Ok(Ok(model)) => return model,
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("it did not answer a first request within {startup_timeout:?}"),
            },
            Err(error) => error.to_string(),
        };
        if left.is_zero() {
            let reason = format!("the engine is not ready after {startup_timeout:?}: {reason}");
            match &sidecar.process {
                // It has failed when it has ended: until then it holds its memory, and no other can be started.
                Some(process) => {
                    process.give_up(reason.clone());
                    tell(sidecar, Phase::Loading(reason));
                }
                None => tell(sidecar, Phase::Failed(reason)),
            }
        } else {
            tell(sidecar, Phase::Loading(reason));
        }
        sleep(pause).await;
        pause = (pause * 2).min(LOOK_EVERY);
    }
}

/// Returns the reason when the engine is lost.
async fn watch(sidecar: &Sidecar) -> EngineError {
    let mut missed = 0;
    loop {
        tokio::select! {
            () = sleep(LOOK_EVERY) => {
                if let Ok(figures) = sidecar.engine.figures().await {
                    sidecar.figures.send_replace(figures);
                }
            }
            () = sidecar.engine_suspected.notified() => {}
        }
        match sidecar.engine.health().await {
            Ok(()) => missed = 0,
            Err(error) if error.is_gone() => return error,
            Err(error) => {
                missed += 1;
                if missed >= MISSES {
                    return error;
                }
            }
        }
    }
}
