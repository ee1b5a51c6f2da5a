//! What this sidecar's model is up to, as routers and callers are told.

use std::{collections::BTreeSet, sync::Arc};

use cloudach_proto::v1::{DeathCause, ErrorCode, Failed, ModelPhase, ModelState};
use tokio::sync::watch;

use crate::engine::ModelInfo;

/// The state of the one model that the engine serves.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct State {
    /// The catalogue's name of the model. Empty: there is none.
    pub(crate) model: String,
    pub(crate) phase: Phase,
    pub(crate) draining: Draining,
    /// The sidecar is about to stop.
    pub(crate) leaving: bool,
    /// Adapters that were loaded into the engine. Bounded by what it accepts.
    pub(crate) adapters: BTreeSet<String>,
    /// How often the engine has died, and of what last.
    pub(crate) deaths: u32,
    pub(crate) last_death: DeathCause,
    /// A GPU needs a reset: what runs may run on, and nothing new is to come.
    pub(crate) gpu_fault: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Phase {
    /// There is no engine, on purpose.
    Unloaded,
    /// The engine is being ended.
    Unloading,
    /// The engine is not ready yet; how far it is.
    Loading(String),
    Ready(Arc<ModelInfo>),
    FallingAsleep(Arc<ModelInfo>),
    /// How deeply it sleeps, as the engine counts.
    Sleeping(Arc<ModelInfo>, u32),
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
    sender: watch::Sender<State>,
}

impl States {
    /// The state of a sidecar that has this model, or none.
    pub(crate) fn new(model: Option<String>) -> Self {
        let phase = match model {
            Some(_) => Phase::Loading("the sidecar is starting".to_owned()),
            None => Phase::Unloaded,
        };
        let state = State {
            model: model.unwrap_or_default(),
            phase,
            draining: Draining::No,
            leaving: false,
            adapters: BTreeSet::new(),
            deaths: 0,
            last_death: DeathCause::Unspecified,
            gpu_fault: None,
        };
        Self { sender: watch::Sender::new(state) }
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<State> {
        self.sender.subscribe()
    }

    /// Watchers are told only when this changes something.
    fn change(&self, change: impl FnOnce(&mut State)) {
        self.sender.send_if_modified(|state| {
            let before = state.clone();
            change(state);
            *state != before
        });
    }

    #[cfg(test)]
    fn set_phase(&self, phase: Phase) {
        self.change(|state| state.phase = phase);
    }

    /// Goes on to another phase if `from` says that this is still the one to go on from.
    pub(crate) fn go_on(&self, from: impl FnOnce(&State) -> Option<Phase>) -> bool {
        let mut went = false;
        self.change(|state| {
            if let Some(next) = from(state) {
                state.phase = next;
                went = true;
            }
        });
        went
    }

    /// Takes a model, if there is none: refused with what stands against it.
    pub(crate) fn take(&self, model: &str) -> Result<(), String> {
        let mut taken = Err(String::new());
        self.change(|state| {
            taken = match &state.phase {
                Phase::Unloaded | Phase::Failed(_) => Ok(()),
                Phase::Unloading => Err(format!("`{}` is being unloaded", state.model)),
                _ => Err(format!("this sidecar has `{}`", state.model)),
            };
            if taken.is_ok() {
                model.clone_into(&mut state.model);
                state.phase = Phase::Loading("the engine is being started".to_owned());
            }
        });
        taken
    }

    /// Nothing is left of the engine that was being ended. `keeps`: the model is this sidecar's own.
    pub(crate) fn unloaded(&self, keeps: bool) {
        self.change(|state| {
            if state.phase != Phase::Unloading {
                return;
            }
            state.phase = Phase::Unloaded;
            if !keeps {
                state.model.clear();
                // The next model starts without the last one's drain.
                if !state.leaving {
                    state.draining = Draining::No;
                }
            }
        });
    }

    /// Drains at least this much.
    pub(crate) fn drain(&self, at_least: Draining) {
        self.change(|state| state.draining = state.draining.max(at_least));
    }

    /// Drains because the sidecar is about to stop: nobody ends that.
    pub(crate) fn leave(&self, at_least: Draining) {
        self.change(|state| {
            state.leaving = true;
            state.draining = state.draining.max(at_least);
        });
    }

    /// Takes requests again.
    pub(crate) fn end_drain(&self) {
        self.change(|state| {
            if !state.leaving {
                state.draining = Draining::No;
            }
        });
    }

    pub(crate) fn add_adapter(&self, name: String) {
        self.change(|state| {
            state.adapters.insert(name);
        });
    }

    pub(crate) fn remove_adapter(&self, name: &str) {
        self.change(|state| {
            state.adapters.remove(name);
        });
    }

    /// The engine has died. What that comes to for the model is told apart.
    pub(crate) fn died(&self, cause: DeathCause) {
        self.change(|state| {
            state.deaths = state.deaths.saturating_add(1);
            state.last_death = cause;
        });
    }

    /// What is wrong with a GPU, or that nothing is.
    pub(crate) fn gpu_fault(&self, fault: Option<String>) {
        self.change(|state| state.gpu_fault = fault);
    }

    /// The engine that had them is gone.
    pub(crate) fn forget_adapters(&self) {
        self.change(|state| state.adapters.clear());
    }

    pub(crate) fn now(&self) -> State {
        self.sender.borrow().clone()
    }

    /// What the engine is to be asked for, when requests for `model` may be taken now.
    pub(crate) fn serving(&self, model: &str) -> Result<Arc<ModelInfo>, Failed> {
        let state = self.sender.borrow();
        if state.draining == Draining::Refusing {
            return Err(Failed::retryable(ErrorCode::ShuttingDown, "this replica is draining; try another"));
        }
        let why = match &state.phase {
            Phase::Ready(info) => return state.under_name(model, info),
            Phase::Unloaded | Phase::Unloading => "it is not loaded here".to_owned(),
            Phase::Sleeping(..) | Phase::FallingAsleep(_) => "it sleeps".to_owned(),
            Phase::Loading(detail) => format!("its engine is not ready: {detail}"),
            Phase::Failed(detail) => format!("its engine failed: {detail}"),
        };
        let message = format!("model `{model}` cannot answer now: {why}");
        Err(Failed::retryable(ErrorCode::ModelUnavailable, message))
    }

    /// The state in the contract's words.
    pub(crate) fn report(state: &State) -> ModelState {
        let (phase, detail, info) = match &state.phase {
            Phase::Unloaded => (ModelPhase::Unloaded, "", None),
            Phase::Unloading => (ModelPhase::Draining, "it is being unloaded", None),
            Phase::Loading(detail) => (ModelPhase::Loading, detail.as_str(), None),
            Phase::Ready(info) if state.gpu_fault.is_some() => {
                (ModelPhase::Failed, state.gpu_fault.as_deref().unwrap_or_default(), Some(info))
            }
            Phase::Ready(info) if state.draining == Draining::No => (ModelPhase::Ready, "", Some(info)),
            Phase::Ready(info) => (ModelPhase::Draining, "", Some(info)),
            Phase::FallingAsleep(info) => (ModelPhase::Draining, "it falls asleep", Some(info)),
            Phase::Sleeping(info, _) => (ModelPhase::Sleeping, "", Some(info)),
            Phase::Failed(detail) => (ModelPhase::Failed, detail.as_str(), None),
        };
        ModelState {
            model: state.model.clone(),
            phase: phase.into(),
            detail: detail.to_owned(),
            context_length: info.map_or(0, |info| info.context_length),
            chat_template: info.and_then(|info| info.chat_template.clone()),
            capabilities: info.map(|info| info.capabilities),
            traits: info.map(|info| info.traits.clone()),
            adapters: state.adapters.iter().cloned().collect(),
            leaving: state.leaving,
            deaths: state.deaths,
            last_death: state.last_death.into(),
        }
    }
}

impl State {
    /// The model as the engine is to be asked for it.
    fn under_name(&self, model: &str, served: &Arc<ModelInfo>) -> Result<Arc<ModelInfo>, Failed> {
        if model == self.model {
            return Ok(served.clone());
        }
        if self.adapters.contains(model) {
            return Ok(Arc::new(ModelInfo { served_name: model.to_owned(), ..ModelInfo::clone(served) }));
        }
        let message = format!("this replica serves `{}`, not `{model}`", self.model);
        // It may have had the model a moment ago: another replica has it, or will.
        Err(Failed { retryable: true, ..Failed::new(ErrorCode::ModelNotFound, message).with_param("model") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn states() -> States {
        States::new(Some("m".into()))
    }

    fn told(states: &States) -> (String, ModelPhase) {
        let told = States::report(&states.now());
        (told.model.clone(), told.phase())
    }

    #[test]
    fn watchers_hear_of_changes_only() {
        let states = states();
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
        let states = states();
        assert_eq!(states.serving("m").unwrap_err().code(), ErrorCode::ModelUnavailable);
        states.set_phase(Phase::Ready(Arc::default()));
        states.serving("m").unwrap();
        assert_eq!(states.serving("other").unwrap_err().code(), ErrorCode::ModelNotFound);
        states.add_adapter("other".into());
        assert_eq!(states.serving("other").unwrap().served_name, "other");
        states.drain(Draining::Announced);
        states.serving("m").unwrap();
        assert_eq!(told(&states).1, ModelPhase::Draining);
        states.drain(Draining::Refusing);
        assert_eq!(states.serving("m").unwrap_err().code(), ErrorCode::ShuttingDown);
        states.drain(Draining::Announced);
        states.serving("m").unwrap_err();
        states.end_drain();
        states.serving("m").unwrap();
        states.leave(Draining::Refusing);
        states.end_drain();
        states.serving("m").unwrap_err();
    }

    #[test]
    fn a_model_on_a_broken_gpu_is_not_picked() {
        let states = states();
        states.set_phase(Phase::Ready(Arc::default()));
        states.gpu_fault(Some("GPU 0 had Xid 79".into()));
        let report = States::report(&states.now());
        assert_eq!((report.phase(), report.detail.as_str()), (ModelPhase::Failed, "GPU 0 had Xid 79"));
        // What routers have sent before they knew is tried.
        states.serving("m").unwrap();
        states.gpu_fault(None);
        assert_eq!(told(&states).1, ModelPhase::Ready);
    }

    #[test]
    fn one_model_is_taken_at_a_time() {
        let states = States::new(None);
        assert_eq!(told(&states), (String::new(), ModelPhase::Unloaded));
        states.take("a").unwrap();
        assert_eq!(told(&states), ("a".into(), ModelPhase::Loading));
        assert_eq!(states.take("b").unwrap_err(), "this sidecar has `a`");
        states.set_phase(Phase::Unloading);
        assert_eq!(states.take("b").unwrap_err(), "`a` is being unloaded");
        states.drain(Draining::Refusing);
        states.unloaded(false);
        assert_eq!(told(&states), (String::new(), ModelPhase::Unloaded));
        states.take("b").unwrap();
        states.unloaded(false);
        assert_eq!(told(&states), ("b".into(), ModelPhase::Loading));
        states.set_phase(Phase::Failed("x".into()));
        states.take("a").unwrap();
        states.set_phase(Phase::Ready(Arc::default()));
        states.serving("a").unwrap();
    }

    #[test]
    fn what_is_newer_is_not_overwritten() {
        let states = states();
        let info = Arc::<ModelInfo>::default();
        states.set_phase(Phase::Sleeping(info.clone(), 1));
        states.set_phase(Phase::Failed("it died in its sleep".into()));
        let woken = states.go_on(|state| match &state.phase {
            Phase::Sleeping(asleep, _) if Arc::ptr_eq(asleep, &info) => Some(Phase::Ready(info.clone())),
            _ => None,
        });
        assert!(!woken);
        assert_eq!(told(&states).1, ModelPhase::Failed);
    }
}
