//! What happened between two moments: counters that went up, and the quantiles of times.

use std::{cmp::Ordering, collections::BTreeMap};

use super::{
    page::{Page, Sample},
    snapshot::Snapshot,
};

/// Two moments of the same processes, the earlier one first.
#[derive(Debug, Clone, Copy)]
pub struct Between<'a> {
    before: &'a Snapshot,
    now: &'a Snapshot,
    /// None: of all addresses.
    only: Option<&'a str>,
}

impl<'a> Between<'a> {
    /// The time from one to the other.
    pub fn of(before: &'a Snapshot, now: &'a Snapshot) -> Self {
        Self { before, now, only: None }
    }

    /// What happened at one address.
    pub fn at(self, url: &'a str) -> Self {
        Self { only: Some(url), ..self }
    }

    /// In seconds.
    fn seconds(&self) -> f64 {
        self.now.at.saturating_duration_since(self.before.at).as_secs_f64()
    }

    /// How much more there is of a counter a second, of the samples that are wanted. None: nothing is known of before.
    pub fn rate(&self, name: &str, is_wanted: impl Fn(&Sample) -> bool) -> Option<f64> {
        let seconds = self.seconds();
        let increase: f64 = self.increases(name).filter(|(sample, _)| is_wanted(sample)).map(|(_, more)| more).sum();
        (seconds > 0.0).then_some(increase / seconds)
    }

    /// The same of a number that a replica counts up, by the replica's name.
    pub fn tokens_of(&self, replica: &str) -> Option<f64> {
        let of = |snapshot: &Snapshot| {
            let mut all = snapshot.processes.values().flat_map(|process| &process.replicas);
            all.find(|known| known.name == replica).map(|known| known.completion_tokens)
        };
        let (before, now, seconds) = (of(self.before)?, of(self.now)?, self.seconds());
        #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
        let more = if now < before { now } else { now - before } as f64;
        (seconds > 0.0).then_some(more / seconds)
    }

    /// A quantile of what a histogram was told in between, of the samples that are wanted: within a bucket as if all of it were
    /// spread evenly. None: it was told nothing.
    pub fn quantile(&self, histogram: &str, quantile: f64, is_wanted: impl Fn(&Sample) -> bool) -> Option<f64> {
        let name = format!("{histogram}_bucket");
        let mut buckets: BTreeMap<Bound, f64> = BTreeMap::new();
        for (sample, more) in self.increases(&name).filter(|(sample, _)| is_wanted(sample)) {
            let bound = match sample.label("le") {
                "+Inf" => f64::INFINITY,
                bound => bound.parse().unwrap_or(f64::INFINITY),
            };
            *buckets.entry(Bound(bound)).or_default() += more;
        }
        let all = *buckets.values().last()?;
        let wanted = all * quantile;
        let (mut lower, mut below) = (0.0, 0.0);
        for (Bound(bound), up_to) in buckets {
            if up_to >= wanted && all > 0.0 {
                let inside = up_to - below;
                return Some(match bound.is_finite() && inside > 0.0 {
                    true => lower + (bound - lower) * (wanted - below) / inside,
                    // There is no end to the last one.
                    false => lower,
                });
            }
            (lower, below) = (bound, up_to);
        }
        None
    }

    /// By how much each sample of a counter went up. What has gone down has begun again; a process that is new began at nothing
    /// that is known.
    fn increases(&self, name: &str) -> impl Iterator<Item = (&'a Sample, f64)> {
        let known = self.now.processes.iter().filter(|(url, _)| self.only.is_none_or(|only| only == *url));
        let known = known.filter_map(|(url, now)| Some((self.before.processes.get(url)?, now)));
        let pages: Vec<(&Page, &Page)> = known.map(|(before, now)| (&before.metrics, &now.metrics)).collect();
        let name = name.to_owned();
        pages.into_iter().flat_map(move |(before, now)| {
            let earlier: BTreeMap<_, f64> =
                before.0.iter().filter(|s| s.name == name).map(|s| (&s.labels, s.value)).collect();
            let wanted = now.0.iter().filter(|sample| sample.name == name);
            let increases = wanted.map(|sample| {
                let was = earlier.get(&sample.labels).copied().unwrap_or_default();
                (sample, if sample.value < was { sample.value } else { sample.value - was })
            });
            increases.collect::<Vec<_>>()
        })
    }
}

/// A bucket's bound, in order.
#[derive(Debug, Clone, Copy)]
struct Bound(f64);

impl PartialEq for Bound {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Bound {}

impl PartialOrd for Bound {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Bound {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}
