//! The policies: by what a replica is chosen. Selected per model in the catalogue.

use std::{cmp::Ordering, fmt};

use serde::Deserialize;

use super::{Ask, Candidate};

/// By what a replica is chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// What the prompt costs to read there, less what is still in its cache, and what the others cost that it works on.
    #[default]
    Prefix,
    /// The fewest requests, then the adapter in place, then the emptiest KV cache.
    LeastLoaded,
    /// The less loaded of two that are drawn.
    PowerOfTwo,
    /// One after the other.
    RoundRobin,
    /// Always the same for a session (the header `x-session-id`), while it is there and has room. Without one: `prefix`.
    Session,
}

impl Policy {
    #[cfg(test)]
    pub const ALL: [Self; 5] = [Self::Prefix, Self::LeastLoaded, Self::PowerOfTwo, Self::RoundRobin, Self::Session];
}

impl fmt::Display for Policy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Prefix => "prefix",
            Self::LeastLoaded => "least_loaded",
            Self::PowerOfTwo => "power_of_two",
            Self::RoundRobin => "round_robin",
            Self::Session => "session",
        })
    }
}

impl Ask<'_> {
    /// The best candidate, of those with room or of all.
    pub(super) fn best(&self, with_room: bool) -> Option<usize> {
        let count = self.candidates.len();
        let first = self.turn.checked_rem(count)?;
        let in_turn = (first..count).chain(0..first);
        let mut open = in_turn.filter(|&index| !with_room || self.candidates[index].has_room);
        let by = |order: fn(&Candidate, &Candidate) -> Ordering| {
            move |a: &usize, b: &usize| order(&self.candidates[*a], &self.candidates[*b])
        };
        match self.policy {
            Policy::Prefix => {
                let costs = open.map(|index| (index, self.candidates[index].cost(self.prompt_tokens)));
                costs.min_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(index, _)| index)
            }
            Policy::LeastLoaded => open.min_by(by(less_loaded)),
            Policy::PowerOfTwo => {
                let open: Vec<usize> = open.collect();
                let draw = spread(self.turn);
                let one = *open.get(remainder(draw, open.len())?)?;
                // Another one than the first, if there is one.
                let step = 1 + remainder(draw >> 32, open.len().saturating_sub(1).max(1))?;
                let at = open.iter().position(|&index| index == one)?;
                let two = open[(at + step) % open.len()];
                Some(if by(less_loaded)(&two, &one) == Ordering::Less { two } else { one })
            }
            Policy::RoundRobin => open.next(),
            Policy::Session => open.max_by_key(|&index| self.candidates[index].rank),
        }
    }
}

fn less_loaded(a: &Candidate, b: &Candidate) -> Ordering {
    a.busy_with()
        .cmp(&b.busy_with())
        .then(a.adapter.cmp(&b.adapter))
        .then(a.kv_cache_usage.total_cmp(&b.kv_cache_usage))
}

fn remainder(draw: u64, count: usize) -> Option<usize> {
    usize::try_from(draw.checked_rem(count as u64)?).ok()
}

/// Spreads a number over all 64 bits (the finisher of splitmix64).
fn spread(turn: usize) -> u64 {
    let mut mixed = (turn as u64).wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
