//! What this sidecar's model is up to, as routers and callers are told.

use std::sync::Arc;

use cloudach_proto::v1::{ErrorCode, Failed, ModelPhase, ModelState};
use tokio::sync::watch;

use crate::engine::ModelInfo;

/// The state of the one model that the engine serves.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct State {
    pub(crate) phase: Phase,
    pub(crate) draining: Draining,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Phase {
    /// There is no engine, on purpose.
    Unloaded,
    /// The engine is not ready yet; how far it is.
    Loading(String),
    Ready(Arc<ModelInfo>),
    Sleeping(Arc<ModelInfo>),
    /// The engine died or does not get ready; why.
    Failed(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Draining {
    No,
    /// Routers are to pick others; what they send before they know is still taken.
    Announced,
    /// Nothing new is taken.
    Refusing,
}

/// Holds the state and tells those who watch it.
#[derive(Debug)]
pub(crate) struct States {
    model: String,
    sender: watch::Sender<State>,
}

impl States {
    pub(crate) fn new(model: String) -> Self {
        let state = State { phase: Phase::Loading("the sidecar is starting".to_owned()), draining: Draining::No };
        Self { model, sender: watch::Sender::new(state) }
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<State> {
        self.sender.subscribe()
    }

    /// Watchers are told only when this changes something.
    pub(crate) fn set_phase(&self, phase: Phase) {
        self.sender.send_if_modified(|state| {
            let changed = state.phase != phase;
            if changed {
                state.phase = phase;
            }
            changed
        });
    }

    /// Drains at least this much.
    pub(crate) fn drain(&self, at_least: Draining) {
        self.sender.send_if_modified(|state| {
            let drains_less = state.draining < at_least;
            if drains_less {
                state.draining = at_least;
            }
            drains_less
        });
    }

    /// Takes requests again.
    pub(crate) fn end_drain(&self) {
        self.sender.send_if_modified(|state| std::mem::replace(&mut state.draining, Draining::No) != Draining::No);
    }

    pub(crate) fn phase(&self) -> Phase {
        self.sender.borrow().phase.clone()
    }

    /// The model, when requests for it may be taken now.
    pub(crate) fn serving(&self) -> Result<Arc<ModelInfo>, Failed> {
        let state = self.sender.borrow();
        if state.draining == Draining::Refusing {
            return Err(Failed::retryable(ErrorCode::ShuttingDown, "this replica is draining; try another"));
        }
        let why = match &state.phase {
            Phase::Ready(model) => return Ok(model.clone()),
            Phase::Unloaded => "it is not loaded here".to_owned(),
            Phase::Sleeping(_) => "it sleeps".to_owned(),
            Phase::Loading(detail) => format!("its engine is not ready: {detail}"),
            Phase::Failed(detail) => format!("its engine failed: {detail}"),
        };
        let message = format!("model `{}` cannot answer now: {why}", self.model);
        Err(Failed::retryable(ErrorCode::ModelUnavailable, message))
    }

    /// The state in the contract's words.
    pub(crate) fn report(&self, state: &State) -> ModelState {
        let (phase, detail, info) = match &state.phase {
            Phase::Unloaded => (ModelPhase::Unloaded, "", None),
            Phase::Loading(detail) => (ModelPhase::Loading, detail.as_str(), None),
            Phase::Ready(info) => (ModelPhase::Ready, "", Some(info)),
            Phase::Sleeping(info) => (ModelPhase::Sleeping, "", Some(info)),
            Phase::Failed(detail) => (ModelPhase::Failed, detail.as_str(), None),
        };
        let phase = if state.draining == Draining::No { phase } else { ModelPhase::Draining };
        ModelState {
            model: self.model.clone(),
            phase: phase.into(),
            detail: detail.to_owned(),
            context_length: info.map_or(0, |info| info.context_length),
            chat_template: info.and_then(|info| info.chat_template.clone()),
            capabilities: info.map(|info| info.capabilities),
            traits: info.map(|info| info.traits.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watchers_hear_of_changes_only() {
        let states = States::new("m".into());
        let mut watcher = states.subscribe();
        states.set_phase(Phase::Failed("x".into()));
        assert!(watcher.has_changed().unwrap());
        watcher.mark_unchanged();
        states.set_phase(Phase::Failed("x".into()));
        states.end_drain();
        assert!(!watcher.has_changed().unwrap());
    }

    #[test]
    fn only_a_ready_model_serves() {
        let states = States::new("m".into());
        assert_eq!(states.serving().unwrap_err().code(), ErrorCode::ModelUnavailable);
        states.set_phase(Phase::Ready(Arc::default()));
        states.serving().unwrap();
        states.drain(Draining::Announced);
        states.serving().unwrap();
        assert_eq!(states.report(&states.subscribe().borrow()).phase(), ModelPhase::Draining);
        states.drain(Draining::Refusing);
        assert_eq!(states.serving().unwrap_err().code(), ErrorCode::ShuttingDown);
        states.drain(Draining::Announced);
        states.serving().unwrap_err();
        states.end_drain();
        states.serving().unwrap();
    }
}
