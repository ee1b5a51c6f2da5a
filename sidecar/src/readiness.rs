//! Whether this sidecar is ready: told on `/readyz` and by gRPC's health service. Whoever replaces sidecars one after the other, as a
//! rollout or a drain of nodes does, leaves the next alone until this one is.

use std::{future::pending, sync::Arc, time::Duration};

use cloudach_proto::inference;
use cloudach_service::{
    grpc::{HealthReporter, ServingStatus},
    stop::Running,
};
use tokio::{
    select,
    time::{Instant, sleep_until},
};

use crate::{
    sidecar::Sidecar,
    state::{Draining, Phase, State},
};

/// The name of the condition that the sidecar's readiness waits for.
pub const ENGINE_READY: &str = "engine ready";

/// What readiness means for a sidecar.
#[derive(Debug)]
enum Needs {
    /// Its own model, always.
    Model,
    /// The first model that routers have it load, if they do until then. From then on it is well with any or none, as what
    /// they have it do is no fault of its own.
    FirstModel {
        until: Instant,
    },
    Nothing,
}

impl Needs {
    fn of(first_order: Option<Duration>, now: Instant) -> Self {
        first_order.map_or(Self::Model, |wait| Self::FirstModel { until: now + wait })
    }

    /// Looks at a state; whether it is ready.
    fn are_met(&mut self, state: &State, now: Instant) -> bool {
        if let Self::FirstModel { until } = self {
            let begun = match state.phase {
                Phase::Ready(_) | Phase::FallingAsleep(_) | Phase::Sleeping(..) => true,
                Phase::Unloaded | Phase::Unloading => now >= *until,
                // One that cannot load what it is told to is not to be followed by the next.
                Phase::Loading(_) | Phase::Failed(_) => false,
            };
            if begun {
                *self = Self::Nothing;
            }
        }
        let well = match self {
            Self::Model => matches!(state.phase, Phase::Ready(_)) && state.draining == Draining::No,
            Self::FirstModel { .. } => false,
            Self::Nothing => true,
        };
        well && !state.leaving && state.gpu_fault.is_none()
    }

    /// When it is to be looked at again, though nothing has changed.
    async fn due(&self, now: Instant) {
        match self {
            Self::FirstModel { until } if *until > now => sleep_until(*until).await,
            _ => pending().await,
        }
    }
}

/// Keeps what is told in step with the model's state.
pub async fn tell(sidecar: Arc<Sidecar>, running: Running, health: HealthReporter) {
    let mut states = sidecar.states.subscribe();
    let mut needs = Needs::of(sidecar.managed.as_ref().map(|managed| managed.first_order), Instant::now());
    loop {
        let now = Instant::now();
        let ready = needs.are_met(&states.borrow_and_update(), now);
        running.ready.set(ENGINE_READY, ready);
        let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
        health.set_service_status(inference::SERVICE_NAME, status).await;
        select! {
            changed = states.changed() => if changed.is_err() { return },
            () = needs.due(now) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::States;

    const WAIT: Duration = Duration::from_secs(30);

    /// A state in this phase.
    fn state(phase: Phase) -> State {
        let states = States::new(None);
        states.go_on(|_| Some(phase));
        states.subscribe().borrow().clone()
    }

    fn ready() -> Phase {
        Phase::Ready(Arc::default())
    }

    fn loading() -> Phase {
        Phase::Loading(String::new())
    }

    #[test]
    fn a_managed_sidecar_is_ready_with_its_first_model_or_when_none_is_to_come() {
        let begun = Instant::now();
        for (steps, expected) in [
            (vec![(0, Phase::Unloaded), (29, Phase::Unloaded), (30, Phase::Unloaded)], [false, false, true]),
            (vec![(5, loading()), (300, loading()), (301, ready())], [false, false, true]),
            (vec![(5, loading()), (300, Phase::Failed(String::new())), (301, Phase::Unloaded)], [false, false, true]),
            (vec![(5, ready()), (6, Phase::Unloaded), (7, loading())], [true, true, true]),
            (vec![(31, Phase::Unloaded), (32, loading()), (33, Phase::Failed(String::new()))], [true, true, true]),
        ] {
            let mut needs = Needs::of(Some(WAIT), begun);
            let met = |(second, phase)| needs.are_met(&state(phase), begun + Duration::from_secs(second));
            assert_eq!(steps.clone().into_iter().map(met).collect::<Vec<_>>(), expected, "{steps:?}");
        }
    }

    #[test]
    fn one_with_a_model_of_its_own_is_ready_with_it_alone() {
        let now = Instant::now();
        let mut needs = Needs::of(None, now);
        for (phase, expected) in [(loading(), false), (ready(), true), (Phase::Failed(String::new()), false)] {
            assert_eq!(needs.are_met(&state(phase.clone()), now), expected, "{phase:?}");
        }
        assert!(!needs.are_met(&State { leaving: true, ..state(ready()) }, now));
    }
}
