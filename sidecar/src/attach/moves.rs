//! What takes its time: unloading a model, putting it to sleep, waking it. The engine may die meanwhile, and what is known of
//! that is never overwritten.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use crate::{
    engine::ModelInfo,
    sidecar::{BrokenOff, Sidecar},
    state::{Phase, State},
};

/// How long requests may keep a model from falling asleep: routers send none when they order that, and few are on their
/// way.
const QUIET_WITHIN: Duration = Duration::from_secs(10);

/// How long what is broken off may take to be told.
const HANDED_OVER_WITHIN: Duration = Duration::from_secs(1);

/// Lets requests finish for a while, gives back those that run on, and ends the engine. Returns when nothing is left of it.
pub(super) async fn unload(sidecar: &Sidecar) -> Result<(), String> {
    let process = sidecar.process.as_ref().ok_or("this sidecar did not start its engine, so it cannot stop it")?;
    let mut states = sidecar.states.subscribe();
    let begins = sidecar.states.go_on(|state| (state.phase != Phase::Unloaded).then_some(Phase::Unloading));
    if !begins {
        return Ok(());
    }
    if quiet(sidecar, sidecar.grace).await.is_err() {
        // Others go on with them; an engine that ends under them would be one that was lost.
        sidecar.broken_off.send_replace(BrokenOff::Unloaded);
        let _ = quiet(sidecar, HANDED_OVER_WITHIN).await;
    }
    if process.has_ended() {
        // It died before, and nobody else notices that it is not wanted any more.
        process.set_wanted(false);
        sidecar.states.unloaded(sidecar.managed.is_none());
    }
    process.set_wanted(false);
    let gone = states.wait_for(|state| state.phase != Phase::Unloading).await;
    gone.map(drop).map_err(|_| "this sidecar is stopping".to_owned())
}

/// Frees the GPU's memory, and keeps the engine's process.
pub(super) async fn sleep(sidecar: &Sidecar, level: u32) -> Result<(), String> {
    let Phase::Ready(info) = sidecar.states.now().phase else {
        return Err("only a ready model can be put to sleep".to_owned());
    };
    // Told first, so that nothing new comes while the engine empties its memory.
    let falls = sidecar.states.go_on(|state| {
        same(state, &info, |phase| matches!(phase, Phase::Ready(_))).then(|| Phase::FallingAsleep(info.clone()))
    });
    if !falls {
        return Err("the engine was lost meanwhile".to_owned());
    }
    let asleep = match quiet(sidecar, QUIET_WITHIN).await {
        Ok(()) => sidecar.engine.sleep(level).await.map_err(|error| error.to_string()),
        Err(open) => Err(format!("{open} requests run")),
    };
    let next = if asleep.is_ok() { Phase::Sleeping(info.clone(), level) } else { Phase::Ready(info.clone()) };
    let still = sidecar
        .states
        .go_on(|state| same(state, &info, |phase| matches!(phase, Phase::FallingAsleep(_))).then_some(next));
    asleep?;
    if still { Ok(()) } else { Err("the engine was lost meanwhile".to_owned()) }
}

/// Undoes [`sleep`].
pub(super) async fn wake(sidecar: &Sidecar) -> Result<(), String> {
    let Phase::Sleeping(info, level) = sidecar.states.now().phase else {
        return Err("the model does not sleep".to_owned());
    };
    sidecar.engine.wake(level).await.map_err(|error| error.to_string())?;
    let awake = sidecar.states.go_on(|state| {
        same(state, &info, |phase| matches!(phase, Phase::Sleeping(..))).then(|| Phase::Ready(info.clone()))
    });
    if awake { Ok(()) } else { Err("the engine was lost meanwhile".to_owned()) }
}

/// Whether this is still the same engine, and in the phase that is expected.
fn same(state: &State, info: &Arc<ModelInfo>, expected: impl Fn(&Phase) -> bool) -> bool {
    let (Phase::Ready(now) | Phase::FallingAsleep(now) | Phase::Sleeping(now, _)) = &state.phase else { return false };
    Arc::ptr_eq(now, info) && expected(&state.phase)
}

/// Waits until no request is open; else says how many are.
async fn quiet(sidecar: &Sidecar, limit: Duration) -> Result<(), usize> {
    let mut open = sidecar.flights.open();
    let none = async { open.wait_for(|open| *open == 0).await.map(drop) };
    match timeout(limit, none).await {
        Ok(_) => Ok(()),
        Err(_) => Err(*sidecar.flights.open().borrow()),
    }
}
