//! What the store has said lately: what was found is taken to be unchanged for a while; when the store is away, for longer.

use std::{
    hash::Hash,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use quick_cache::sync::Cache;
use tracing::error;

use crate::store::{Away, config::StoreConfig};

/// How long what is not in the store is taken not to be there. Any change ends it.
const UNKNOWN: Duration = Duration::from_secs(5);

/// How often the store is asked at once where something changes each time.
const MOST_TRIES: u32 = 3;

/// Names that are remembered for not being there.
const MOST_UNKNOWN: usize = 10_000;

/// What is remembered, by how it is asked for.
#[derive(Debug)]
pub struct Remembered<K, V> {
    /// For people: what this is.
    what: &'static str,
    time: Duration,
    known: Cache<K, Known<V>>,
    unknown: Cache<K, Instant>,
    /// What was found before may have changed since.
    doubted: Mutex<Option<Instant>>,
    /// How often anything has changed.
    changes: AtomicU64,
    /// The store that was found not to be the one before.
    wiped: Mutex<Option<String>>,
}

#[derive(Debug, Clone)]
struct Known<V> {
    value: V,
    found: Instant,
    /// Of the store that it was found in.
    epoch: String,
}

/// What the store says.
#[derive(Debug)]
pub struct Said<V> {
    pub epoch: String,
    /// The store holds something by that name.
    pub is_there: bool,
    /// What it comes to. None: nothing that counts.
    pub value: Option<V>,
}

impl<K: Clone + Eq + Hash, V: Clone> Remembered<K, V> {
    /// Nothing yet.
    pub fn new(what: &'static str, config: &StoreConfig) -> Self {
        Self {
            what,
            time: config.cache_time,
            known: Cache::new(config.cache_keys),
            unknown: Cache::new(MOST_UNKNOWN),
            doubted: Mutex::new(None),
            changes: AtomicU64::new(0),
            wiped: Mutex::default(),
        }
    }

    /// What is remembered by this name, or what the store says when it is asked, which is again when anything has changed
    /// meanwhile: what was found may be older, so it is not remembered.
    ///
    /// # Errors
    /// It is not known here, and the store is away.
    pub async fn find<F>(&self, name: &K, ask: impl Fn() -> F) -> Result<Option<V>, Away>
    where
        F: Future<Output = Result<Said<V>, Away>>,
    {
        let known = self.known.get(name);
        if let Some(known) = known.as_ref().filter(|known| self.is_fresh(known.found, self.time)) {
            return Ok(Some(known.value.clone()));
        }
        if self.unknown.get(name).is_some_and(|asked| self.is_fresh(asked, UNKNOWN)) {
            return Ok(None);
        }
        let mut tries = MOST_TRIES;
        loop {
            let (asked, changes) = (Instant::now(), self.changes.load(Ordering::Acquire));
            let said = match ask().await {
                Ok(said) => said,
                Err(away) => return known.map_or(Err(away), |known| Ok(Some(known.value))),
            };
            if let Some(known) = known.as_ref().filter(|known| !said.is_there && known.epoch != said.epoch) {
                self.tell_wiped(&said.epoch);
                return Ok(Some(known.value.clone()));
            }
            self.remember(name, said.value.as_ref(), asked, said.epoch);
            if self.changes.load(Ordering::Acquire) == changes {
                return Ok(said.value);
            }
            self.known.remove(name);
            self.unknown.remove(name);
            tries -= 1;
            if tries == 0 {
                return Ok(said.value);
            }
        }
    }

    /// Something has changed: those are forgotten that it may concern.
    pub fn changed(&self, concerns: impl Fn(&K, &V) -> bool) {
        self.changes.fetch_add(1, Ordering::Release);
        self.unknown.clear();
        self.known.retain(|name, known| !concerns(name, &known.value));
    }

    /// Everything may have changed. It is kept all the same: the store may be away when it is asked next.
    pub fn doubt(&self) {
        self.unknown.clear();
        *self.doubted.lock() = Some(Instant::now());
    }

    fn remember(&self, name: &K, value: Option<&V>, found: Instant, epoch: String) {
        match value {
            Some(value) => self.known.insert(name.clone(), Known { value: value.clone(), found, epoch }),
            None => {
                self.known.remove(name);
                self.unknown.insert(name.clone(), found);
            }
        }
    }

    /// A store that was wiped knows nothing: what is remembered goes on until it is put back.
    fn tell_wiped(&self, epoch: &str) {
        let mut wiped = self.wiped.lock();
        if wiped.as_deref() != Some(epoch) {
            *wiped = Some(epoch.to_owned());
            let what = self.what;
            error!(what, "the store is another one than before, or was wiped: what is remembered goes on");
        }
    }

    fn is_fresh(&self, found: Instant, time: Duration) -> bool {
        found.elapsed() < time && self.doubted.lock().is_none_or(|doubted| found > doubted)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        cell::Cell,
        future::{Ready, ready},
    };

    use super::*;

    fn remembered(cache_time: Duration) -> Remembered<u8, &'static str> {
        Remembered::new("things", &StoreConfig { cache_time, ..StoreConfig::default() })
    }

    type Answer = Result<Said<&'static str>, Away>;

    fn says(epoch: &str, value: Option<&'static str>) -> impl Fn() -> Ready<Answer> {
        move || ready(Ok(Said { epoch: epoch.to_owned(), is_there: value.is_some(), value }))
    }

    fn away() -> Ready<Answer> {
        ready(Err(Away::Disconnected))
    }

    const HOUR: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn what_was_found_is_not_asked_for_again_until_it_changes() {
        let things = remembered(HOUR);
        assert_eq!(things.find(&1, away).await, Err(Away::Disconnected));
        assert_eq!(things.find(&1, says("e", Some("a"))).await, Ok(Some("a")));
        assert_eq!(things.find(&1, says("e", Some("b"))).await, Ok(Some("a")));
        assert_eq!(things.find(&2, says("e", None)).await, Ok(None));
        assert_eq!(things.find(&2, says("e", Some("c"))).await, Ok(None));
        things.changed(|name, _| *name == 1);
        assert_eq!(things.find(&1, says("e", Some("b"))).await, Ok(Some("b")));
        assert_eq!(things.find(&2, says("e", Some("c"))).await, Ok(Some("c")), "any change may have made it");
    }

    #[tokio::test]
    async fn what_is_doubted_is_asked_for_and_kept_while_the_store_is_away() {
        let things = remembered(HOUR);
        assert_eq!(things.find(&1, says("e", Some("a"))).await, Ok(Some("a")));
        things.doubt();
        assert_eq!(things.find(&1, away).await, Ok(Some("a")));
        assert_eq!(things.find(&1, says("e", Some("b"))).await, Ok(Some("b")));
        things.doubt();
        assert_eq!(things.find(&1, says("e", None)).await, Ok(None), "it was removed");
        assert_eq!(things.find(&1, away).await, Ok(None));
    }

    #[tokio::test]
    async fn a_store_that_was_wiped_takes_nothing_away() {
        let things = remembered(Duration::ZERO);
        assert_eq!(things.find(&1, says("e", Some("a"))).await, Ok(Some("a")));
        assert_eq!(things.find(&1, says("f", None)).await, Ok(Some("a")), "another store that does not have it");
        assert_eq!(things.find(&1, says("f", Some("b"))).await, Ok(Some("b")), "it is put back");
        assert_eq!(things.find(&1, says("f", None)).await, Ok(None), "the same store");
    }

    #[tokio::test]
    async fn what_changes_while_it_is_asked_for_is_asked_for_again() {
        let things = remembered(HOUR);
        let asked = Cell::new(0);
        let changing = |most: u32| {
            let (asked, things) = (&asked, &things);
            asked.set(0);
            move || {
                asked.set(asked.get() + 1);
                if asked.get() <= most {
                    things.changed(|_, _| true);
                }
                says("e", Some(["", "a", "b", "c", "d"][asked.get() as usize]))()
            }
        };
        assert_eq!(things.find(&1, changing(1)).await, Ok(Some("b")));
        assert_eq!(things.find(&1, away).await, Ok(Some("b")), "the second answer is remembered");
        assert_eq!(things.find(&2, changing(u32::MAX)).await, Ok(Some("c")), "the store is asked three times");
        assert_eq!(things.find(&2, away).await, Err(Away::Disconnected), "and nothing of it is remembered");
    }

    #[tokio::test]
    async fn what_was_found_before_a_doubt_is_kept_for_a_store_that_goes_away() {
        let things = remembered(HOUR);
        let doubted = || {
            things.doubt();
            says("e", Some("a"))()
        };
        assert_eq!(things.find(&1, doubted).await, Ok(Some("a")));
        assert_eq!(things.find(&1, away).await, Ok(Some("a")));
        assert_eq!(
            things.find(&1, says("e", Some("b"))).await,
            Ok(Some("b")),
            "it is asked for while the store is there"
        );
    }
}
