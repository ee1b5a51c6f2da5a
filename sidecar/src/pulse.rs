//! Whether an engine that lives is alive: it answers, or generates, or at least its figures move. No I/O, no clock.

use std::time::Duration;

use tokio::time::Instant;

/// What one look at an engine shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Signs {
    /// It answers when it is asked how it is.
    pub(crate) answers: bool,
    /// Something that changes whenever the engine does some work. None: it did not say.
    pub(crate) work: Option<u64>,
    /// Tokens that have come from it so far.
    pub(crate) tokens: u64,
    /// Requests that are in it.
    pub(crate) open: usize,
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Alive,
    /// It answers, has requests, and nothing comes of them: it is to be asked for a token, and has so long to answer.
    Suspect(Duration),
    /// There was no sign of life for this long.
    Hung(Duration),
}

/// What was seen of an engine, and when it last gave a sign of life.
#[derive(Debug)]
pub(crate) struct Pulse {
    limit: Duration,
    last: Instant,
    work: Option<u64>,
    tokens: u64,
    /// It was under suspicion since.
    suspected: bool,
}

impl Pulse {
    /// The pulse of an engine that is well now, and may be without for `limit`.
    pub(crate) fn new(limit: Duration, now: Instant, tokens: u64) -> Self {
        Self { limit, last: now, work: None, tokens, suspected: false }
    }

    pub(crate) fn look(&mut self, now: Instant, signs: Signs) -> Verdict {
        let works = signs.tokens != self.tokens || signs.work.is_some() && signs.work != self.work;
        self.tokens = signs.tokens;
        self.work = signs.work.or(self.work);
        if works || signs.answers && signs.open == 0 {
            self.is_well(now);
            return Verdict::Alive;
        }
        let silent = now.duration_since(self.last);
        match signs.answers {
            false if silent >= self.limit => Verdict::Hung(silent),
            true if silent >= self.limit && self.suspected => Verdict::Hung(silent),
            true if silent >= self.limit / 2 => {
                self.suspected = true;
                Verdict::Suspect(self.limit.saturating_sub(silent))
            }
            _ => Verdict::Alive,
        }
    }

    /// It has shown that it is well in another way.
    pub(crate) fn is_well(&mut self, now: Instant) {
        self.last = now;
        self.suspected = false;
    }

    /// How long it may still be without.
    pub(crate) fn patience(&self, now: Instant) -> Duration {
        self.limit.saturating_sub(now.duration_since(self.last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The second that it happens at, what it shows, and what follows.
    type Look = (u64, Signs, Verdict);

    const LIMIT: Duration = Duration::from_secs(100);

    #[test]
    fn what_is_silent_for_too_long_hangs() {
        let well = Signs { answers: true, work: Some(1), tokens: 5, open: 1 };
        let mute = Signs { answers: false, work: None, ..well };
        let suspect = |left| Verdict::Suspect(Duration::from_secs(left));
        let hung = |after| Verdict::Hung(Duration::from_secs(after));
        let cases: [(&str, &[Look]); 8] = [
            ("idle and answering", &[(0, well, Verdict::Alive), (500, Signs { open: 0, ..well }, Verdict::Alive)]),
            (
                "tokens come",
                &[
                    (0, mute, Verdict::Alive),
                    (99, Signs { tokens: 6, ..mute }, Verdict::Alive),
                    (150, Signs { tokens: 6, ..mute }, Verdict::Alive),
                ],
            ),
            ("figures move", &[(0, well, Verdict::Alive), (99, Signs { work: Some(2), ..well }, Verdict::Alive)]),
            (
                "answers and does nothing",
                &[
                    (0, well, Verdict::Alive),
                    (49, well, Verdict::Alive),
                    (60, well, suspect(40)),
                    (100, well, hung(100)),
                ],
            ),
            (
                "answers, and was not looked at for long",
                &[(0, well, Verdict::Alive), (300, well, suspect(0)), (301, well, hung(301))],
            ),
            ("answers nothing", &[(0, well, Verdict::Alive), (99, mute, Verdict::Alive), (101, mute, hung(101))]),
            (
                "answers nothing, and has nothing to do",
                &[(0, well, Verdict::Alive), (101, Signs { open: 0, ..mute }, hung(101))],
            ),
            (
                "comes back with the same figures",
                &[(0, well, Verdict::Alive), (70, mute, Verdict::Alive), (80, well, suspect(20))],
            ),
        ];
        for (name, looks) in cases {
            let begin = Instant::now();
            let mut pulse = Pulse::new(LIMIT, begin, 5);
            for (second, signs, expected) in looks {
                let verdict = pulse.look(begin + Duration::from_secs(*second), *signs);
                assert_eq!(verdict, *expected, "{name}, second {second}");
            }
        }
    }
}
