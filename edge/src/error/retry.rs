//! Whether sending the same request again may help, as the SDKs read it: `x-should-retry` goes before the status, and
//! `retry-after-ms` before `retry-after`. openai-python refuses to wait for more than two minutes, the Vercel SDK for
//! more than one, and openai-node waits for as long as it is told.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

/// What clients are told to wait for when nothing better is known.
pub const SOON: Duration = Duration::from_secs(2);

const LONGEST: Duration = Duration::from_secs(60);

/// The limits of a minute are refilled within two, whatever is owed.
const PATIENCE: Duration = Duration::from_secs(120);
const MILLISECONDS: HeaderName = HeaderName::from_static("retry-after-ms");
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// Whether sending the same request again may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The status says it: the client's mistake.
    Unsaid,
    /// After so long; a minute at most is told.
    After(Duration),
    /// After so long, which no program should wait for.
    Later(Duration),
    /// It would fail again, although SDKs retry this status.
    Never,
}

impl Retry {
    /// As the router or the engine advises.
    pub fn advised(retryable: bool, after_ms: u64) -> Self {
        match (retryable, after_ms) {
            (false, _) => Self::Never,
            (true, 0) => Self::After(SOON),
            (true, wait) => Self::After(Duration::from_millis(wait)),
        }
    }

    /// Once a limit is refilled. SDKs are not asked to wait for a day's: a person is told when.
    pub fn once_refilled(wait: Duration) -> Self {
        if wait <= PATIENCE { Self::After(wait) } else { Self::Later(wait) }
    }

    /// Writes it into the headers.
    pub fn write(self, headers: &mut HeaderMap) {
        match self {
            Self::Unsaid => {}
            Self::Never => {
                headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
            }
            Self::Later(wait) => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
                headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
            }
            Self::After(wait) => {
                let wait = wait.min(LONGEST);
                let milliseconds = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
                headers.insert(header::RETRY_AFTER, HeaderValue::from(milliseconds.div_ceil(1000)));
                headers.insert(MILLISECONDS, HeaderValue::from(milliseconds));
                headers.insert(SHOULD_RETRY, HeaderValue::from_static("true"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_rounded_up_and_bounded() {
        for (wait, seconds, milliseconds) in
            [(0, "1", "1"), (1, "1", "1"), (1000, "1", "1000"), (1001, "2", "1001"), (90_000, "60", "60000")]
        {
            let mut headers = HeaderMap::new();
            Retry::After(Duration::from_millis(wait)).write(&mut headers);
            assert_eq!(
                (&headers["retry-after"], &headers["retry-after-ms"]),
                (&seconds.parse().unwrap(), &milliseconds.parse().unwrap())
            );
            assert_eq!(headers["x-should-retry"], "true");
        }
        let mut headers = HeaderMap::new();
        Retry::once_refilled(Duration::from_secs(3601)).write(&mut headers);
        assert_eq!(
            (&headers["retry-after"], &headers["x-should-retry"]),
            (&"3601".parse().unwrap(), &"false".parse().unwrap())
        );
        let mut headers = HeaderMap::new();
        Retry::Unsaid.write(&mut headers);
        assert!(headers.is_empty());
        Retry::Never.write(&mut headers);
        assert_eq!((headers.len(), &headers["x-should-retry"]), (1, &HeaderValue::from_static("false")));
    }
}
