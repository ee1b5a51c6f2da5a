//! Keeps the model's state true: waits for the engine, gets it ready, and looks at it every second from then on.

use std::{sync::Arc, time::Duration};

use cloudach_proto::v1::DeathCause;
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use crate::{
    death::Death,
    engine::{EngineError, Figures, ModelInfo},
    process::{EngineProcess, Status},
    pulse::{Pulse, Signs, Verdict},
    sidecar::{BrokenOff, Sidecar},
    state::Phase,
};

/// How often a ready engine is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long a starting engine is left alone between two looks: short at first, because small engines start fast.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// What a first answer is given, however little time is left: it is a token or two, on a machine that may be busy.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// So many looks in a row without an answer, and the engine counts as hung. A busy server misses one now and then.
const MISSES: u32 = 3;

/// How long an engine is waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// Until it is ready for the first time.
    pub(crate) startup: Duration,
    /// When it was ready and gives no sign of life.
    pub(crate) hung: Duration,
}

/// The state of the model is what this says from now on. Never returns.
pub(crate) async fn keep(sidecar: &Sidecar, patience: Patience) {
    let Some(process) = &sidecar.process else { return tend(sidecar, patience).await };
    let mut status = process.status();
    loop {
        let now = status.borrow_and_update().clone();
        forget(sidecar);
        match now {
            Status::Starting => tell(sidecar, Phase::Loading("the engine is being started".to_owned())),
            Status::Stopped => sidecar.states.unloaded(sidecar.managed.is_none()),
            Status::Died(death) => {
                // It was to be ended anyway, unless it is started again.
                if sidecar.managed.is_some() || !process.is_wanted() {
                    sidecar.states.unloaded(sidecar.managed.is_none());
                }
                fail(sidecar, death.detail);
            }
            Status::Running => {
                tell(sidecar, Phase::Loading("the engine was started".to_owned()));
                tokio::select! {
                    _ = status.changed() => {}
                    () = tend(sidecar, patience) => {}
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
async fn tend(sidecar: &Sidecar, patience: Patience) {
    let mut wait = Wait::ForStart(patience.startup);
    loop {
        let model = get_ready(sidecar, wait).await;
        info!(served_name = model.served_name, context_length = model.context_length, "the engine is ready");
        sidecar.metrics.engine_up.set(1);
        tell(sidecar, Phase::Ready(Arc::new(model)));
        let mut pulse = Pulse::new(patience.hung, Instant::now(), sidecar.flights.heard());
        let lost = watch(sidecar, &mut pulse).await;
        forget(sidecar);
        wait = match lost {
            Lost::Engine(reason) => {
                warn!(%reason, "the engine is lost");
                // One that is being unloaded has gone on purpose, and its state says so already.
                if sidecar.process.as_ref().is_none_or(EngineProcess::is_wanted) {
                    tell(sidecar, Phase::Loading(reason.to_string()));
                }
                // An engine that was ready and runs on has nothing to load any more.
                Wait::ForLife(pulse.patience(Instant::now()))
            }
            Lost::Hung(silent) => {
                let reason = format!("the engine hangs: it gave no sign of life for {silent:.0?}");
                hangs(sidecar, reason).await;
                Wait::ForLife(Duration::ZERO)
            }
        };
    }
}

/// The engine hangs: whatever runs in it is lost, and it is replaced, where that can be done. Otherwise it may come back.
async fn hangs(sidecar: &Sidecar, reason: String) {
    warn!(reason, "the engine hangs");
    sidecar.broken_off.send_replace(BrokenOff::Hung);
    match &sidecar.process {
        Some(process) => {
            tell(sidecar, Phase::Loading(reason.clone()));
            process.give_up(Death::new(DeathCause::Hung, reason));
            // Until it has ended: it may still answer.
            std::future::pending().await
        }
        None => tell(sidecar, Phase::Failed(reason)),
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

/// What an engine that is not ready is waited for.
#[derive(Debug, Clone, Copy)]
enum Wait {
    /// It starts, and has so long.
    ForStart(Duration),
    /// It was ready, and is given so long to show that it lives.
    ForLife(Duration),
}

async fn get_ready(sidecar: &Sidecar, wait: Wait) -> ModelInfo {
    let begun = Instant::now();
    let (Wait::ForStart(limit) | Wait::ForLife(limit)) = wait;
    let mut pause = FIRST_PAUSE;
    let mut told = limit.is_zero();
    loop {
        let left = limit.saturating_sub(begun.elapsed());
        let reason = match sidecar.engine.health().await {
            Ok(()) => match timeout(left.max(ANSWER_WITHIN), sidecar.engine.prepare()).await {
                Ok(Ok(model)) => return model,
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("it did not answer a first request within {limit:?}"),
            },
            Err(error) => error.to_string(),
        };
        match wait {
            _ if !left.is_zero() => tell(sidecar, Phase::Loading(reason)),
            Wait::ForLife(_) if !told => {
                told = true;
                hangs(sidecar, format!("the engine hangs: {reason}")).await;
            }
            Wait::ForLife(_) => {}
            Wait::ForStart(_) => {
                let reason = format!("the engine is not ready after {limit:?}: {reason}");
                match &sidecar.process {
                    // It has failed when it has ended: until then it holds its memory, and no other can be started.
                    Some(process) => {
                        process.give_up(Death::new(DeathCause::NotReady, reason.clone()));
                        tell(sidecar, Phase::Loading(reason));
                    }
                    None => tell(sidecar, Phase::Failed(reason)),
                }
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(LOOK_EVERY);
    }
}

/// How a ready engine was lost.
enum Lost {
    /// It has gone, or does not answer.
    Engine(EngineError),
    /// It answers, and does nothing.
    Hung(Duration),
}

/// Returns when the engine is lost.
async fn watch(sidecar: &Sidecar, pulse: &mut Pulse) -> Lost {
    let mut missed = 0;
    loop {
        tokio::select! {
            () = sleep(LOOK_EVERY) => {}
            () = sidecar.engine_suspected.notified() => {}
        }
        let heard = sidecar.flights.heard();
        let (figures, health) = tokio::join!(sidecar.engine.figures(), sidecar.engine.health());
        if let Ok(figures) = figures {
            sidecar.figures.send_replace(figures);
        }
        let signs = Signs {
            answers: health.is_ok(),
            work: figures.ok().map(|figures| figures.work),
            tokens: sidecar.flights.heard(),
            open: *sidecar.flights.open().borrow(),
        };
        match health {
            Ok(()) => missed = 0,
            Err(error) if error.is_gone() => return Lost::Engine(error),
            Err(error) => {
                missed = if signs.tokens == heard { missed + 1 } else { 0 };
                if missed >= MISSES {
                    return Lost::Engine(error);
                }
            }
        }
        match pulse.look(Instant::now(), signs) {
            Verdict::Alive => {}
            Verdict::Suspect(left) => {
                // Only a token tells: those who read the answers may be as slow as they like.
                let asked = timeout(left.max(ANSWER_WITHIN), sidecar.engine.prepare()).await;
                if asked.is_ok_and(|answer| answer.is_ok()) {
                    pulse.is_well(Instant::now());
                }
            }
            Verdict::Hung(silent) => return Lost::Hung(silent),
        }
    }
}
