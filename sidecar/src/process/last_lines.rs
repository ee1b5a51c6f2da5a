//! What an engine says last, kept for the case that it dies, and passed on to the log.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt};
use tracing::info;

/// How many lines are kept: a Python trace of two processes.
const KEPT: usize = 500;

/// How long a line may be, in bytes; the rest of it is left out.
const MAX_LINE: usize = 2048;

/// How much is read at a time, in bytes.
const READ: usize = 8 * 1024;

/// The last lines of an engine.
#[derive(Debug, Default)]
pub(super) struct LastLines {
    lines: Mutex<VecDeque<String>>,
}

impl LastLines {
    /// Reads lines to the end of `from`.
    pub(super) async fn read(&self, from: Option<impl AsyncRead + Unpin>, replica: &str) {
        let Some(mut from) = from else { return };
        let mut line = Vec::new();
        let mut bytes = vec![0; READ];
        while let Ok(count @ 1..) = from.read(&mut bytes).await {
            for &byte in &bytes[..count] {
                if byte == b'\n' {
                    self.take(&line, replica);
                    line.clear();
                } else if line.len() < MAX_LINE {
                    line.push(byte);
                }
            }
        }
        self.take(&line, replica);
    }

    /// The lines, oldest first.
    pub(super) fn kept(&self) -> Vec<String> {
        self.lines.lock().iter().cloned().collect()
    }

    fn take(&self, line: &[u8], replica: &str) {
        let line = String::from_utf8_lossy(line);
        let line = line.trim_end();
        if line.is_empty() {
            return;
        }
        info!(target: "engine", replica, "{line}");
        let mut lines = self.lines.lock();
        if lines.len() == KEPT {
            lines.pop_front();
        }
        lines.push_back(line.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_lines_are_kept_and_bounded() {
        let lines = LastLines::default();
        let mut text: Vec<u8> = (0..600).flat_map(|number| format!("line {number}\r\n\n").into_bytes()).collect();
        text.extend(std::iter::repeat_n(b'x', 100_000));
        text.extend(b"\n\xff no newline");
        lines.read(Some(text.as_slice()), "r").await;
        let kept = lines.kept();
        assert_eq!(kept.len(), KEPT);
        assert_eq!((kept[0].as_str(), kept[497].as_str()), ("line 102", "line 599"));
        assert_eq!(kept[498].len(), MAX_LINE);
        assert_eq!(kept[499], "\u{fffd} no newline");
    }
}
