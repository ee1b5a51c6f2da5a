//! How long to wait before an engine that died is started again. No clock of its own.

use std::time::Duration;

const FIRST: Duration = Duration::from_secs(1);
const MOST: Duration = Duration::from_secs(60);

/// An engine that ran for this long was well: its death says nothing about the next start.
const WELL: Duration = Duration::from_secs(5 * 60);

/// Doubles with every death that follows soon on a start.
#[derive(Debug)]
pub(super) struct Backoff {
    pause: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { pause: FIRST }
    }
}

impl Backoff {
    /// The pause after a run of this length.
    pub(super) fn next(&mut self, ran: Duration) -> Duration {
        if ran >= WELL {
            self.pause = FIRST;
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(MOST);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_until_an_engine_ran_well() {
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = (0..8).map(|_| backoff.next(Duration::ZERO).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(backoff.next(WELL).as_secs(), 1);
    }
}
