//! Durations as Go prints them, which is how OpenAI's headers and texts do: `6ms`, `8.64s`, `1m0s`.

use std::{fmt, time::Duration};

/// Prints whole milliseconds; what is shorter than one is `0s`, as in OpenAI's headers.
#[derive(Debug, Clone, Copy)]
pub struct GoDuration(pub Duration);

impl fmt::Display for GoDuration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, milliseconds) = (self.0.as_secs(), self.0.subsec_millis());
        if seconds == 0 && milliseconds > 0 {
            return write!(formatter, "{milliseconds}ms");
        }
        let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
        if hours > 0 {
            write!(formatter, "{hours}h")?;
        }
        if seconds >= 60 {
            write!(formatter, "{minutes}m")?;
        }
        write!(formatter, "{}", seconds % 60)?;
        if milliseconds > 0 {
            let fraction = format!("{milliseconds:03}");
            write!(formatter, ".{}", fraction.trim_end_matches('0'))?;
        }
        formatter.write_str("s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All but the last are from the recordings.
    #[test]
    fn prints_as_go_does() {
        for (milliseconds, text) in [
            (0, "0s"),
            (6, "6ms"),
            (120, "120ms"),
            (1000, "1s"),
            (8640, "8.64s"),
            (33_119, "33.119s"),
            (60_000, "1m0s"),
            (71_339, "1m11.339s"),
            (111_595, "1m51.595s"),
            (3_600_050, "1h0m0.05s"),
        ] {
            assert_eq!(GoDuration(Duration::from_millis(milliseconds)).to_string(), text);
        }
        assert_eq!(GoDuration(Duration::from_micros(999)).to_string(), "0s");
    }
}
