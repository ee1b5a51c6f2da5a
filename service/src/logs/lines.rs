//! Lines of the log on their way out: put down by whoever logs, written by a thread of its own. Who serves requests makes no
//! system call for a line, and a pipe that nobody reads holds none of them up.

use std::{
    io::{self, Write},
    mem,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
use tracing::warn;
use tracing_subscriber::fmt::MakeWriter;

/// What may wait, in bytes: about ten thousand lines. Lines that come beyond it are lost, and counted.
const MOST: usize = 4 * 1024 * 1024;

/// Between two writes: the first line after a silence is written at once, and what comes within this time together.
const PACE: Duration = Duration::from_millis(5);

/// Room that is kept for the next lines, in bytes.
const KEPT: usize = 64 * 1024;

/// Takes lines. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Lines(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    came: Condvar,
    written: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    /// Lines that found no room since the last write.
    lost: u64,
    /// Others are being written.
    is_writing: bool,
}

impl Lines {
    /// Writes them to `out`, for as long as the process runs.
    ///
    /// # Errors
    /// There can be no more threads.
    pub fn start(out: impl Write + Send + 'static) -> io::Result<Self> {
        let lines = Self::default();
        let shared = lines.0.clone();
        thread::Builder::new().name("logs".to_owned()).spawn(move || write_all(&shared, out))?;
        Ok(lines)
    }

    /// Waits until all is written, `within` this time.
    pub fn flush(&self, within: Duration) {
        let until = Instant::now() + within;
        let mut waiting = self.0.waiting.lock();
        while !waiting.bytes.is_empty() || waiting.is_writing {
            if self.0.written.wait_until(&mut waiting, until).timed_out() {
                return;
            }
        }
    }

    fn push(&self, line: &[u8]) {
        let mut waiting = self.0.waiting.lock();
        if waiting.bytes.len() + line.len() > MOST {
            waiting.lost += 1;
            return;
        }
        waiting.bytes.extend_from_slice(line);
        drop(waiting);
        self.0.came.notify_one();
    }
}

fn write_all(shared: &Shared, mut out: impl Write) {
    let mut bytes = Vec::new();
    loop {
        let lost = {
            let mut waiting = shared.waiting.lock();
            waiting.is_writing = false;
            shared.written.notify_all();
            while waiting.bytes.is_empty() {
                shared.came.wait(&mut waiting);
            }
            waiting.is_writing = true;
            mem::swap(&mut waiting.bytes, &mut bytes);
            mem::take(&mut waiting.lost)
        };
        // Nobody is left to be told that the log cannot be written.
        let _ = out.write_all(&bytes).and_then(|()| out.flush());
        bytes.clear();
        bytes.shrink_to(KEPT);
        if lost > 0 {
            warn!(lines = lost, "lines of the log were lost: nobody read it for a while");
        }
        thread::sleep(PACE);
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> &'a Self {
        self
    }
}

/// Whole lines.
impl Write for &Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Takes bytes only when it is let.
    struct Slow {
        let_through: mpsc::Receiver<()>,
        taken: mpsc::Sender<Vec<u8>>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.let_through.recv().map_err(io::Error::other)?;
            self.taken.send(bytes.to_vec()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn slow() -> (Lines, mpsc::Sender<()>, mpsc::Receiver<Vec<u8>>) {
        let ((open, let_through), (taken, told)) = (mpsc::channel(), mpsc::channel());
        (Lines::start(Slow { let_through, taken }).unwrap(), open, told)
    }

    #[test]
    fn lines_come_in_order_and_together_where_they_can() {
        let (lines, open, told) = slow();
        for number in 0..100 {
            lines.push(format!("{number}\n").as_bytes());
        }
        for _ in 0..101 {
            open.send(()).unwrap();
        }
        lines.flush(Duration::from_secs(20));
        let written: Vec<Vec<u8>> = told.try_iter().collect();
        let expected: String = (0..100).map(|number| format!("{number}\n")).collect();
        assert_eq!(String::from_utf8(written.concat()).unwrap(), expected);
        assert!(written.len() < 100, "what waits is written together");
    }

    #[test]
    fn who_logs_never_waits_for_who_reads() {
        let (lines, open, told) = slow();
        let line = [b'x'; 1024];
        for _ in 0..3 * MOST / line.len() {
            lines.push(&line);
        }
        lines.flush(Duration::from_millis(20));
        assert!(told.try_recv().is_err(), "nothing was let through");
        assert!(lines.0.waiting.lock().bytes.len() <= MOST);
        for _ in 0..4 {
            open.send(()).unwrap();
        }
        lines.flush(Duration::from_secs(20));
        let written: usize = told.try_iter().map(|bytes| bytes.len()).sum();
        assert!((MOST - line.len()..=2 * MOST).contains(&written), "{written}");
    }
}
