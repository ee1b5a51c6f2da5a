//! Chooses the replica for a request: a pure function of what is known now.

/// What is known of a replica that could take the request.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Requests that this router has open there.
    pub in_flight: usize,
    /// Requests inside its engine, as it last reported: those of all routers.
    pub reported: usize,
    /// Share of its KV cache in use, 0 to 1.
    pub kv_cache_usage: f32,
}

impl Candidate {
    /// Requests it is busy with. Its own report is late by up to a second, what this router sent is known at once.
    fn busy_with(&self) -> usize {
        self.in_flight.max(self.reported)
    }
}

/// The index of the least loaded candidate: the fewest requests, then the emptiest KV cache. Among equals `turn`,
/// which should change with every call, decides, so that idle replicas share the work.
pub fn least_loaded(candidates: &[Candidate], turn: usize) -> Option<usize> {
    let count = candidates.len();
    (0..count).map(|offset| (turn % count + offset) % count).min_by(|&a, &b| {
        let (a, b) = (&candidates[a], &candidates[b]);
        a.busy_with().cmp(&b.busy_with()).then(a.kv_cache_usage.total_cmp(&b.kv_cache_usage))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn candidate(in_flight: usize, reported: usize, kv_cache_usage: f32) -> Candidate {
        Candidate { in_flight, reported, kv_cache_usage }
    }

    #[test]
    fn fewest_requests_then_emptiest_cache_then_turn() {
        assert_eq!(least_loaded(&[], 7), None);
        assert_eq!(least_loaded(&[candidate(2, 0, 0.0), candidate(1, 0, 0.9)], 0), Some(1));
        assert_eq!(least_loaded(&[candidate(0, 5, 0.0), candidate(4, 0, 0.0)], 0), Some(1));
        assert_eq!(least_loaded(&[candidate(1, 1, 0.5), candidate(1, 1, 0.2)], 0), Some(1));
        let equal = [candidate(0, 0, 0.0), candidate(0, 0, 0.0), candidate(0, 0, 0.0)];
        let turns: Vec<_> = (0..4).map(|turn| least_loaded(&equal, turn)).collect();
        assert_eq!(turns, [Some(0), Some(1), Some(2), Some(0)]);
    }

    proptest! {
        #[test]
        fn nobody_is_less_loaded_than_the_chosen(loads in prop::collection::vec((0..9usize, 0..9usize, 0..3u8), 1..20), turn: usize) {
            let candidates: Vec<_> = loads.iter().map(|&(a, b, kv)| candidate(a, b, f32::from(kv))).collect();
            let chosen = &candidates[least_loaded(&candidates, turn).unwrap()];
            prop_assert!(candidates.iter().all(|other| other.busy_with() >= chosen.busy_with()));
        }
    }
}
