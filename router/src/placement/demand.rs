//! Which models requests ask this router for, counted as they come and go.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use tokio::{sync::Notify, time::Instant};

use super::{need::Asked, situation::Moment, spec::Spec};

/// Counts the requests for each model that has a place. What has none is not counted.
#[derive(Debug)]
pub struct Demand {
    begun: Instant,
    counted: ArcSwap<Counted>,
    /// Rung when a model is asked for that was not a moment ago.
    pub stirred: Notify,
}

#[derive(Debug, Default)]
struct Counted {
    /// By model, and by adapter: a request for an adapter is one for its model.
    counts: HashMap<String, Arc<Count>>,
    models: Vec<String>,
}

#[derive(Debug, Default)]
struct Count {
    open: AtomicU32,
    /// When it was last asked for, in milliseconds since the start; 0: never.
    last: AtomicU64,
}

/// A request that needs its model: counted until this is dropped.
#[derive(Debug)]
pub struct Asking {
    count: Option<(Arc<Count>, Instant)>,
}

impl Demand {
    pub fn new(models: &BTreeMap<String, Spec>) -> Self {
        let demand = Self { begun: Instant::now(), counted: ArcSwap::default(), stirred: Notify::new() };
        demand.follow(models);
        demand
    }

    /// The models that have a place are these now. Requests for those that stay are counted on.
    pub fn follow(&self, models: &BTreeMap<String, Spec>) {
        let before = self.counted.load_full();
        let mut counts = HashMap::new();
        for (model, spec) in models {
            let count = before.counts.get(model).cloned().unwrap_or_default();
            for adapter in spec.adapters.keys() {
                counts.insert(adapter.clone(), count.clone());
            }
            counts.insert(model.clone(), count);
        }
        self.counted.store(Arc::new(Counted { counts, models: models.keys().cloned().collect() }));
        self.stirred.notify_one();
    }

    /// A request for the model has come.
    pub fn ask(&self, model: &str) -> Asking {
        let Some(count) = self.counted.load().counts.get(model).cloned() else { return Asking { count: None } };
        count.touch(self.begun);
        if count.open.fetch_add(1, Ordering::Relaxed) == 0 {
            self.stirred.notify_one();
        }
        Asking { count: Some((count, self.begun)) }
    }

    /// Whether the model has a place, so that it is counted.
    pub fn counts(&self, model: &str) -> bool {
        self.counted.load().counts.contains_key(model)
    }

    /// What is asked for now.
    pub fn asked(&self) -> BTreeMap<String, Asked> {
        let Counted { counts, models } = &**self.counted.load();
        models.iter().filter_map(|model| Some((model.clone(), counts.get(model)?.asked()))).collect()
    }

    /// The time since the start.
    pub fn now(&self) -> Moment {
        self.begun.elapsed()
    }
}

impl Count {
    fn touch(&self, begun: Instant) {
        let now = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.fetch_max(now.max(1), Ordering::Relaxed);
    }

    fn asked(&self) -> Asked {
        let last = self.last.load(Ordering::Relaxed);
        Asked { open: self.open.load(Ordering::Relaxed), last: (last > 0).then(|| Moment::from_millis(last)) }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        if let Some((count, begun)) = &self.count {
            count.touch(*begun);
            count.open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn requests_are_counted_while_they_last_and_remembered() {
        let spec = cloudach_service::config::parse("{source: m, gpus: 0, adapters: {polite: /p}}").unwrap();
        let demand = Demand::new(&[("m".into(), spec)].into());
        assert_eq!(demand.asked()["m"], Asked::default());
        tokio::time::advance(Moment::from_secs(1)).await;
        let asking = [demand.ask("m"), demand.ask("polite"), demand.ask("unplaced")];
        let asked = demand.asked();
        assert_eq!((asked.len(), asked["m"].open, asked["m"].last), (1, 2, Some(Moment::from_secs(1))));
        tokio::time::advance(Moment::from_secs(1)).await;
        drop(asking);
        assert_eq!(demand.asked()["m"], Asked { open: 0, last: Some(Moment::from_secs(2)) });
        demand.stirred.notified().await;
    }
}
