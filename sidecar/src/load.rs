//! How busy this replica is: its own requests, known at once, and what the engine says once a second.

use cloudach_proto::v1::Load;

use crate::{engine::Figures, metrics::Tokens, sidecar::Sidecar};

impl Sidecar {
    /// The load as routers are told it.
    pub(crate) fn load(&self) -> Load {
        let open = u32::try_from(*self.flights.open().borrow()).unwrap_or(u32::MAX);
        let (resident_adapters, adapter_slots) = self.engine.resident();
        let completion_tokens = self.metrics.tokens(Tokens::Completion);
        Load {
            resident_adapters,
            adapter_slots,
            completion_tokens,
            ..load(open, self.engine.queued(), *self.figures.borrow())
        }
    }
}

/// `open`: requests that this sidecar has; `queued`: those of them that it holds back from the engine.
///
/// The engine's figures are up to a second old, so of them only the split is used where the sidecar knows better.
fn load(open: u32, queued: u32, figures: Figures) -> Load {
    let inside = open.saturating_sub(queued);
    let waiting = figures.waiting.min(inside);
    Load {
        running: inside - waiting,
        waiting: waiting.saturating_add(queued.min(open)),
        kv_cache_usage: figures.kv_cache_usage,
        ..Load::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_requests_are_split_as_the_engine_says() {
        let figures = |running, waiting| Figures { running, waiting, kv_cache_usage: 0.5, work: 0 };
        let cases = [
            ((0, 0, figures(0, 0)), (0, 0)),
            ((5, 0, figures(0, 0)), (5, 0)),
            ((5, 0, figures(3, 2)), (3, 2)),
            // The figures are of a second ago, when there were more.
            ((1, 0, figures(3, 2)), (0, 1)),
            ((6, 2, figures(4, 0)), (4, 2)),
            ((6, 2, figures(3, 1)), (3, 3)),
        ];
        for ((open, queued, figures), expected) in cases {
            let load = load(open, queued, figures);
            assert_eq!((load.running, load.waiting), expected);
        }
    }
}
