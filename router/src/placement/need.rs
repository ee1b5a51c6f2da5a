//! How many replicas of a model requests need, and how much each of them is needed.

use super::{plan::Rules, situation::Moment, spec::Spec};

/// What requests need of one model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Need {
    /// Replicas that they need now.
    pub now: u32,
    /// When the first, the second, ... replica was last needed.
    pub last: Vec<Moment>,
    /// Since when fewer are ready than are needed.
    pub unmet_since: Option<Moment>,
}

/// How much a replica is needed. One that is needed more may take the place of one that is needed less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// Nobody has needed it for the hold time.
    Idle,
    /// It is not needed now, and was within the hold time.
    Held,
    /// Requests need it, and the model has another.
    More,
    /// Requests need it, and the model has no other.
    First,
    /// It belongs to the model's minimum.
    Minimum,
}

/// What is counted of a model's requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asked {
    /// Requests that are open.
    pub open: u32,
    /// When a client last asked for it.
    pub last: Option<Moment>,
}

impl Need {
    /// Takes what was counted; `ready` replicas answer now.
    pub fn renew(&mut self, asked: Asked, ready: u32, spec: &Spec, rules: &Rules, now: Moment) {
        // A client that was sent away comes back in a moment, and finds its model on the way.
        let recently = asked.last.is_some_and(|last| now.saturating_sub(last) < rules.remembered);
        let needed = asked.open.div_ceil(spec.requests_per_replica.max(1)).max(u32::from(recently));
        self.now = needed.min(spec.max);
        let count = self.now as usize;
        if self.last.len() < count {
            self.last.resize(count, now);
        }
        self.last[..count].fill(now);
        if let (Some(last), Some(first)) = (asked.last, self.last.first_mut()) {
            *first = last.max(*first);
        }
        let unmet = ready < self.wanted(spec);
        self.unmet_since = if unmet { self.unmet_since.or(Some(now)) } else { None };
    }

    /// Replicas that are to be awake.
    pub fn wanted(&self, spec: &Spec) -> u32 {
        self.now.max(spec.min).min(spec.max)
    }

    /// How much the replica with this number, from 0, is needed.
    pub fn rank(&self, number: u32, spec: &Spec, rules: &Rules, now: Moment) -> Rank {
        if number < spec.min.min(spec.max) {
            return Rank::Minimum;
        }
        if number < self.now {
            return if number == 0 { Rank::First } else { Rank::More };
        }
        match self.last_needed(number) {
            Some(last) if now.saturating_sub(last) < rules.hold => Rank::Held,
            _ => Rank::Idle,
        }
    }

    /// When so many replicas and one more were last needed.
    pub fn last_needed(&self, number: u32) -> Option<Moment> {
        self.last.get(number as usize).copied()
    }
}
