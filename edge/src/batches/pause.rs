//! How long a line waits that found no room, and whether it is asked again at all. Without I/O.

use std::time::Duration;

/// The first wait, which doubles, and the longest.
const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(60);

/// How often a line is asked that failed for what may pass, and is not a lack of room.
const MOST_FAULTS: u32 = 3;

/// What an answer says beside its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Said<'a> {
    pub status: u16,
    /// `x-should-retry`.
    pub should_retry: Option<bool>,
    /// How long to wait.
    pub after: Option<Duration>,
    /// The error's.
    pub code: Option<&'a str>,
}

/// What comes of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Completed,
    Failed,
    Later,
}

/// Whether the answer is the line's last. `faults`: how often it has failed before for what may pass.
pub fn verdict(said: &Said<'_>, faults: u32) -> Verdict {
    match said.status {
        200..300 => Verdict::Completed,
        // No limit is ever as high as what this one asks for.
        429 if said.code == Some("rate_limit_exceeded") && said.should_retry == Some(false) && said.after.is_none() => {
            Verdict::Failed
        }
        429 | 503 => Verdict::Later,
        _ if said.should_retry == Some(true) && faults < MOST_FAULTS => Verdict::Later,
        _ => Verdict::Failed,
    }
}

/// How long to wait after so many tries in vain. `chance`, any number, keeps lines apart that failed together.
pub fn pause(tries: u32, advised: Option<Duration>, chance: u8) -> Duration {
    let doubled = FIRST.saturating_mul(1 << tries.min(10));
    let whole = advised.unwrap_or_default().max(doubled).min(LONGEST);
    // From three quarters of it to all.
    whole.mul_f64(0.75 + f64::from(chance) / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUOTA: Option<&str> = Some("insufficient_quota");
    const RATE: Option<&str> = Some("rate_limit_exceeded");

    #[test]
    fn what_is_a_lack_of_room_is_asked_again() {
        use Verdict::{Completed, Failed, Later};
        for (status, should_retry, after, code, faults, expected) in [
            (200, None, None, None, 0, Completed),
            (400, None, None, Some("invalid_value"), 0, Failed),
            (404, None, None, Some("model_not_found"), 0, Failed),
            (429, Some(true), Some(2), RATE, 1000, Later),
            (429, Some(false), Some(9000), RATE, 0, Later),
            (429, Some(false), None, RATE, 0, Failed),
            (429, Some(false), None, QUOTA, 0, Later),
            (503, Some(true), Some(2), None, 1000, Later),
            (503, Some(false), None, None, 0, Later),
            (500, Some(true), Some(2), None, 2, Later),
            (500, Some(true), Some(2), None, 3, Failed),
            (500, Some(false), None, None, 0, Failed),
            (504, Some(false), None, None, 0, Failed),
            (413, None, None, None, 0, Failed),
        ] {
            let said = Said { status, should_retry, after: after.map(Duration::from_secs), code };
            assert_eq!(verdict(&said, faults), expected, "{said:?} {faults}");
        }
    }

    #[test]
    fn waits_double_up_to_a_minute() {
        let most = |tries, advised: Option<u64>| pause(tries, advised.map(Duration::from_secs), 255).as_secs_f64();
        assert!((0.49..=0.5).contains(&most(0, None)));
        assert!((3.9..=4.0).contains(&most(3, None)));
        assert!((4.9..=5.0).contains(&most(0, Some(5))));
        assert!((59.0..=60.0).contains(&most(10, None)) && (59.0..=60.0).contains(&most(u32::MAX, Some(9000))));
        assert!((pause(10, None, 0).as_secs_f64() - 45.0).abs() < 0.01);
    }
}
