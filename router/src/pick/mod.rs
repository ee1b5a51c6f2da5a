//! Chooses the replica for a request: a pure function of what is known now, which also says why.

pub mod adapter;
pub mod health;
pub mod policy;
pub mod prefix;

use std::fmt;

use self::adapter::Residency;
pub use self::policy::Policy;

/// What is known of a replica that could take the request.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Requests that this router has open there.
    pub in_flight: u32,
    /// Requests inside its engine and waiting in it, as it last reported: those of all routers.
    pub running: u32,
    pub waiting: u32,
    /// Share of its KV cache in use, 0 to 1.
    pub kv_cache_usage: f32,
    /// Tokens of the prompt that it need not read again, as far as this router knows.
    pub cached_tokens: u32,
    /// Where it has the adapter that is asked for, if one is and it says so.
    pub adapter: Option<Residency>,
    /// Decides where a session stays: the same on every router, whatever else is there.
    pub rank: u64,
    /// It takes one more without letting it wait.
    pub has_room: bool,
}

/// What a request in work costs others, in tokens of prompt that could be read meanwhile. A decoding request takes a
/// small share of each of the engine's steps.
const RUNNING: f32 = 48.0;

/// The same for one that waits: it will be read first.
const WAITING: f32 = 512.0;

/// A cache that is full to the brim makes an engine give up what it has begun: it counts like so many tokens.
const FULL_CACHE: f32 = 2048.0;

/// From which share of its KV cache on a replica is avoided.
const NEARLY_FULL: f32 = 0.9;

impl Candidate {
    /// Requests it is busy with. Its own report is late by up to a tenth of a second, what this router sent is known at
    /// once.
    pub fn busy_with(&self) -> u32 {
        self.in_flight.max(self.running.saturating_add(self.waiting))
    }

    /// Those that wait, and those that it has not reported yet.
    fn in_line(&self) -> u32 {
        let reported = self.running.saturating_add(self.waiting);
        self.waiting.saturating_add(self.in_flight.saturating_sub(reported))
    }

    /// What taking a prompt of so many tokens would cost here, in tokens of prompt.
    #[expect(clippy::cast_precision_loss, reason = "a figure to compare")]
    fn cost(&self, prompt_tokens: u32) -> f32 {
        let to_read = prompt_tokens.saturating_sub(self.cached_tokens) as f32;
        let in_line = self.in_line();
        let running = self.busy_with().saturating_sub(in_line);
        let over = (self.kv_cache_usage - NEARLY_FULL).max(0.0) / (1.0 - NEARLY_FULL);
        let adapter = self.adapter.map_or(0.0, Residency::cost);
        to_read + adapter + running as f32 * RUNNING + in_line as f32 * WAITING + over.min(1.0) * FULL_CACHE
    }
}

/// What is to be placed.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    pub policy: Policy,
    pub prompt_tokens: u32,
    /// Changes with every call: decides among equals, so that idle replicas share the work.
    pub turn: usize,
    pub candidates: &'a [Candidate],
}

/// The replica that was chosen, and why.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    pub index: usize,
    pub why: Why,
}

/// Why a replica was chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Why {
    pub policy: Policy,
    pub candidates: usize,
    /// What taking it costs there, in tokens of prompt.
    pub score: f32,
    /// Requests that it is busy with.
    pub busy_with: u32,
    /// Tokens of the prompt that it need not read again.
    pub cached_tokens: u32,
    pub prompt_tokens: u32,
    /// Where it has the adapter that is asked for.
    pub adapter: Option<Residency>,
    /// The one that the policy alone would have chosen has no room.
    pub yielded: bool,
}

impl fmt::Display for Why {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { policy, candidates, score: _, busy_with, cached_tokens, prompt_tokens, adapter, yielded } = self;
        write!(out, "policy={policy} candidates={candidates} busy={busy_with}")?;
        write!(out, " cached={cached_tokens}/{prompt_tokens} yielded={yielded}")?;
        adapter.map_or(Ok(()), |adapter| write!(out, " adapter={adapter}"))
    }
}

/// The best replica for a request, or none where there is none.
pub fn pick(ask: Ask<'_>) -> Option<Choice> {
    let with_room = ask.best(true);
    let index = with_room.or_else(|| ask.best(false))?;
    let candidate = &ask.candidates[index];
    // Where all have room, it makes no difference.
    let all_have_room = ask.candidates.iter().all(|candidate| candidate.has_room);
    let why = Why {
        policy: ask.policy,
        candidates: ask.candidates.len(),
        score: candidate.cost(ask.prompt_tokens),
        busy_with: candidate.busy_with(),
        cached_tokens: candidate.cached_tokens,
        prompt_tokens: ask.prompt_tokens,
        adapter: candidate.adapter,
        yielded: with_room.is_some() && !all_have_room && ask.best(false) != with_room,
    };
    Some(Choice { index, why })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn idle() -> Candidate {
        Candidate {
            in_flight: 0,
            running: 0,
            waiting: 0,
            kv_cache_usage: 0.0,
            cached_tokens: 0,
            adapter: None,
            rank: 0,
            has_room: true,
        }
    }

    fn chosen(policy: Policy, prompt_tokens: u32, turn: usize, candidates: &[Candidate]) -> Option<usize> {
        pick(Ask { policy, prompt_tokens, turn, candidates }).map(|choice| choice.index)
    }

    #[test]
    fn fewest_requests_then_emptiest_cache_then_turn() {
        let busy = |in_flight, running, kv_cache_usage| Candidate { in_flight, running, kv_cache_usage, ..idle() };
        let least = |candidates: &[Candidate]| chosen(Policy::LeastLoaded, 100, 0, candidates);
        assert_eq!(least(&[]), None);
        assert_eq!(least(&[busy(2, 0, 0.0), busy(1, 0, 0.9)]), Some(1));
        assert_eq!(least(&[busy(0, 5, 0.0), busy(4, 0, 0.0)]), Some(1));
        assert_eq!(least(&[busy(1, 1, 0.5), busy(1, 1, 0.2)]), Some(1));
        let turns = |policy| {
            (0..4).map(|turn| chosen(policy, 100, turn, &[idle(), idle(), idle()]).unwrap()).collect::<Vec<_>>()
        };
        for policy in [Policy::LeastLoaded, Policy::Prefix, Policy::RoundRobin] {
            assert_eq!(turns(policy), [0, 1, 2, 0], "{policy}");
        }
    }

    #[test]
    fn a_prompt_goes_where_it_was_read_unless_that_costs_more() {
        let warm = |busy| Candidate { cached_tokens: 900, running: busy, in_flight: busy, ..idle() };
        assert_eq!(chosen(Policy::Prefix, 1000, 1, &[warm(0), idle()]), Some(0));
        assert_eq!(chosen(Policy::Prefix, 1000, 1, &[warm(10), idle()]), Some(0), "ten more are worth 900 tokens");
        assert_eq!(chosen(Policy::Prefix, 1000, 1, &[warm(30), idle()]), Some(1));
        let waiting = Candidate { waiting: 3, ..warm(0) };
        assert_eq!(chosen(Policy::Prefix, 1000, 1, &[waiting, idle()]), Some(1));
        let full = Candidate { kv_cache_usage: 1.0, ..warm(0) };
        assert_eq!(chosen(Policy::Prefix, 1000, 1, &[full, idle()]), Some(1));
        let no_room = Candidate { has_room: false, ..warm(0) };
        let choice = pick(Ask { policy: Policy::Prefix, prompt_tokens: 1000, turn: 0, candidates: &[no_room, idle()] });
        assert_eq!(choice.map(|choice| (choice.index, choice.why.yielded)), Some((1, true)));
    }

    #[test]
    fn an_adapter_is_asked_where_it_lies_unless_that_costs_more() {
        use Residency::{Absent, Crowded, Resident};
        let with = |adapter, busy| Candidate { adapter: Some(adapter), running: busy, in_flight: busy, ..idle() };
        for (policy, candidates, expected) in [
            (Policy::Prefix, [with(Absent, 0), with(Resident, 0)], 1),
            (Policy::Prefix, [with(Crowded, 0), with(Absent, 0)], 1),
            (Policy::Prefix, [with(Absent, 0), with(Resident, 5)], 1),
            (Policy::Prefix, [with(Absent, 0), with(Resident, 6)], 0),
            (Policy::Prefix, [with(Crowded, 0), with(Resident, 20)], 1),
            (Policy::Prefix, [with(Crowded, 0), with(Resident, 30)], 0),
            // A prompt that was read elsewhere is worth more than a copy.
            (Policy::Prefix, [Candidate { cached_tokens: 900, ..with(Absent, 0) }, with(Resident, 0)], 0),
            (Policy::LeastLoaded, [with(Absent, 1), with(Resident, 1)], 1),
            (Policy::LeastLoaded, [with(Absent, 0), with(Resident, 1)], 0),
            // One that does not say is not held to be without it.
            (Policy::Prefix, [with(Absent, 0), idle()], 1),
        ] {
            for turn in 0..2 {
                assert_eq!(chosen(policy, 1000, turn, &candidates), Some(expected), "{policy} {candidates:?}");
            }
        }
    }

    #[test]
    fn a_session_stays_and_yields_only_to_a_full_replica() {
        let ranked = |rank, in_flight, has_room| Candidate { rank, in_flight, has_room, ..idle() };
        for turn in 0..5 {
            let candidates = [ranked(5, 0, true), ranked(9, 7, true), ranked(7, 0, true)];
            assert_eq!(chosen(Policy::Session, 100, turn, &candidates), Some(1));
            let full = [ranked(5, 0, true), ranked(9, 7, false), ranked(7, 0, true)];
            assert_eq!(chosen(Policy::Session, 100, turn, &full), Some(2), "and then to the same one each time");
        }
    }

    #[test]
    fn why_can_be_read() {
        let choice = pick(Ask { policy: Policy::Prefix, prompt_tokens: 10, turn: 0, candidates: &[idle()] }).unwrap();
        assert_eq!(choice.why.to_string(), "policy=prefix candidates=1 busy=0 cached=0/10 yielded=false");
        let adapter = Candidate { adapter: Some(Residency::Absent), ..idle() };
        let choice = pick(Ask { policy: Policy::Prefix, prompt_tokens: 10, turn: 0, candidates: &[adapter] }).unwrap();
        assert!(choice.why.to_string().ends_with(" yielded=false adapter=absent"), "{}", choice.why);
    }

    fn any_candidate() -> impl Strategy<Value = Candidate> {
        (0..20u32, 0..20u32, 0..5u32, 0.0..1.0f32, 0..2000u32, any::<u64>(), any::<bool>()).prop_map(
            |(in_flight, running, waiting, kv_cache_usage, cached_tokens, rank, has_room)| Candidate {
                in_flight,
                running,
                waiting,
                kv_cache_usage,
                cached_tokens,
                adapter: None,
                rank,
                has_room,
            },
        )
    }

    proptest! {
        /// Whatever the policy: somebody is chosen when somebody is there, and nobody who is full while another is not.
        #[test]
        fn nobody_full_is_chosen_while_there_is_room(
            candidates in prop::collection::vec(any_candidate(), 1..20), prompt_tokens in 0..4000u32, turn: usize,
        ) {
            for policy in Policy::ALL {
                let choice = pick(Ask { policy, prompt_tokens, turn, candidates: &candidates }).unwrap();
                let chosen = &candidates[choice.index];
                prop_assert!(chosen.has_room || candidates.iter().all(|other| !other.has_room));
                if policy == Policy::LeastLoaded {
                    let same = candidates.iter().filter(|other| other.has_room == chosen.has_room);
                    prop_assert!(same.map(Candidate::busy_with).min() == Some(chosen.busy_with()));
                }
            }
        }
    }
}
