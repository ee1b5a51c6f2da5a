//! When a request is asked of a second replica, and of how many at once: by what is measured of each model.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::{
    config::{After, Hedge},
    metrics::{Hedged, Metrics},
};

/// The latest times to a first token that are kept of each model. With more, a model that has become slow is known later.
const KEPT: usize = 512;

/// So many must have been measured before anything is said of them.
const ENOUGH: usize = 64;

/// For how many further times what was worked out of them still holds.
const STALE_AFTER: u32 = 16;

/// What is known of each model.
#[derive(Debug)]
pub struct Hedges {
    by_model: ArcSwap<HashMap<String, Arc<Model>>>,
    config: Option<Hedge>,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct Model {
    times: Mutex<Times>,
    open: AtomicUsize,
    hedged: AtomicUsize,
}

/// The latest times to a first token. No I/O.
#[derive(Debug, Default)]
struct Times {
    latest: VecDeque<Duration>,
    p95: Option<Duration>,
    since: u32,
}

/// An open request of a model, until it is dropped.
#[derive(Debug)]
pub struct Open {
    model: Option<Arc<Model>>,
    hedges: Arc<Hedges>,
}

/// A request that is asked twice, until it is dropped.
#[derive(Debug)]
pub struct Second {
    model: Arc<Model>,
    metrics: Arc<Metrics>,
    outcome: Hedged,
}

impl Hedges {
    /// For these models. Without `config` no request is asked twice, and nothing is measured.
    pub fn new<'a>(models: impl Iterator<Item = &'a str>, config: Option<Hedge>, metrics: Arc<Metrics>) -> Self {
        let hedges = Self { by_model: ArcSwap::default(), config, metrics };
        hedges.follow(models);
        hedges
    }

    /// The models are these now. What is known of those that stay is kept.
    pub fn follow<'a>(&self, models: impl Iterator<Item = &'a str>) {
        let before = self.by_model.load_full();
        let model = |model: &str| (model.to_owned(), before.get(model).cloned().unwrap_or_default());
        self.by_model.store(Arc::new(models.map(model).collect()));
    }

    /// A request of the model begins.
    pub fn open(self: &Arc<Self>, model: &str) -> Open {
        let model = self.config.and_then(|_| self.by_model.load().get(model).cloned());
        if let Some(model) = &model {
            model.open.fetch_add(1, Ordering::Relaxed);
        }
        Open { model, hedges: self.clone() }
    }
}

impl Open {
    /// How long its first token is waited for before another replica is asked.
    pub fn patience(&self) -> Option<Duration> {
        let (model, config) = (self.model.as_ref()?, self.hedges.config?);
        match config.after {
            After::Time(time) => Some(time),
            After::P95 => model.times.lock().p95.map(|time| time.max(config.least)),
        }
    }

    /// A replica has needed so long for its first token, or longer.
    pub fn measured(&self, time: Duration) {
        if let Some(model) = &self.model {
            model.times.lock().note(time);
        }
    }

    /// Asks for leave to ask a second replica.
    pub fn second(&self) -> Option<Second> {
        let (model, config) = (self.model.as_ref()?, self.hedges.config?);
        let open = model.open.load(Ordering::Relaxed);
        let more = |hedged| (hedged < most(open, config.share)).then_some(hedged + 1);
        model.hedged.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Second { model: model.clone(), metrics: self.hedges.metrics.clone(), outcome: Hedged::Abandoned })
    }

    /// No second replica was asked although it was time to.
    pub fn withheld(&self) {
        self.hedges.metrics.hedged(Hedged::Withheld);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(model) = &self.model {
            model.open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Second {
    /// This came of it.
    pub fn came_to(mut self, outcome: Hedged) {
        self.outcome = outcome;
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        self.model.hedged.fetch_sub(1, Ordering::Relaxed);
        self.metrics.hedged(self.outcome);
    }
}

impl Times {
    fn note(&mut self, time: Duration) {
        if self.latest.len() >= KEPT {
            self.latest.pop_front();
        }
        self.latest.push_back(time);
        self.since += 1;
        if self.latest.len() >= ENOUGH && (self.p95.is_none() || self.since >= STALE_AFTER) {
            self.since = 0;
            let mut sorted: Vec<Duration> = self.latest.iter().copied().collect();
            let at = sorted.len() * 95 / 100;
            self.p95 = Some(*sorted.select_nth_unstable(at).1);
        }
    }
}

/// How many of so many open requests may be asked twice at once.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of a count"
)]
fn most(open: usize, share: f64) -> usize {
    ((open as f64 * share) as usize).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hedges(after: After) -> Arc<Hedges> {
        let config = Hedge { after, least: Duration::from_millis(50), share: 0.1 };
        Arc::new(Hedges::new(["m"].into_iter(), Some(config), Arc::default()))
    }

    #[test]
    fn the_p95_is_that_of_the_latest() {
        let mut times = Times::default();
        for time in 1..ENOUGH as u64 {
            times.note(Duration::from_millis(time));
        }
        assert_eq!(times.p95, None, "too few");
        for time in ENOUGH as u64..=100 {
            times.note(Duration::from_millis(time));
        }
        assert_eq!(times.p95, Some(Duration::from_millis(92)), "of the first 96");
        for _ in 0..KEPT {
            times.note(Duration::from_millis(7));
        }
        assert_eq!((times.p95, times.latest.len()), (Some(Duration::from_millis(7)), KEPT));
    }

    #[test]
    fn patience_is_as_configured() {
        let open = hedges(After::Time(Duration::from_secs(2))).open("m");
        assert_eq!(open.patience(), Some(Duration::from_secs(2)));
        let open = hedges(After::P95).open("m");
        assert_eq!(open.patience(), None);
        (0..100).for_each(|_| open.measured(Duration::from_millis(10)));
        assert_eq!(open.patience(), Some(Duration::from_millis(50)), "never sooner");
        (0..100).for_each(|_| open.measured(Duration::from_millis(90)));
        assert_eq!(open.patience(), Some(Duration::from_millis(90)));
        assert_eq!(hedges(After::P95).open("unknown").patience(), None);
        let off = Arc::new(Hedges::new(["m"].into_iter(), None, Arc::default()));
        assert!(off.open("m").patience().is_none() && off.open("m").second().is_none());
    }

    #[test]
    fn a_share_at_once_and_always_one() {
        assert_eq!([0, 1, 19, 20, 39, 40, 100].map(|open| most(open, 0.05)), [1, 1, 1, 1, 1, 2, 5]);
        let hedges = hedges(After::P95);
        let open: Vec<Open> = (0..25).map(|_| hedges.open("m")).collect();
        let (first, second) = (open[0].second(), open[1].second());
        assert!(first.is_some() && second.is_some());
        assert!(open[2].second().is_none(), "a tenth of 25");
        drop(first);
        assert!(open[2].second().is_some());
        drop(open);
        assert!(hedges.open("m").second().is_none(), "the one that is left is all that may be");
        drop(second);
        assert!(hedges.open("m").second().is_some());
    }
}
