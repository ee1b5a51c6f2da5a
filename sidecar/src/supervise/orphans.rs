//! What an engine leaves behind when its watchdog could not see to it: killed, or too slow.
//!
//! The sidecar's process adopts it then, whatever process group or session it has moved to. Of its children those are
//! an engine's leftovers that are no watchdogs and were not there when the engine's watchdog came: what this process had
//! before, one that a shell started and then became, is left alone.

use std::{
    collections::BTreeSet,
    io, mem,
    process::ExitStatus,
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use tokio::{
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
    task::spawn_blocking,
};
use tracing::warn;

use super::children::{self, adopt_descendants, children};

/// How long what is left is collected. A process that does not end by then waits for a device.
const SWEEP: Duration = Duration::from_secs(5);

/// Pause between two looks at what is left.
const SWEEP_PAUSE: Duration = Duration::from_millis(5);

/// The watchdogs that this process has started and not waited for. Held while one is started, so that a new one is never
/// taken for a leftover.
static WATCHDOGS: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// A watchdog that runs, as its sidecar holds it.
#[derive(Debug)]
pub(crate) struct Watchdog {
    child: Child,
    pid: i32,
    /// The children that this process had before.
    before: Vec<children::Child>,
}

/// The pipes to a watchdog and to its engine.
pub(crate) type Pipes = (Option<ChildStdin>, Option<ChildStdout>, Option<ChildStderr>);

impl Watchdog {
    /// Starts it.
    pub(super) fn start(command: &mut Command) -> io::Result<Self> {
        adopt_descendants();
        let mut watchdogs = WATCHDOGS.lock();
        let before = children();
        let child = command.spawn()?;
        // Nobody has waited for it, so it has one.
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).unwrap_or_default();
        watchdogs.insert(pid);
        Ok(Self { child, pid, before })
    }

    pub(crate) fn pipes(&mut self) -> Pipes {
        (self.child.stdin.take(), self.child.stdout.take(), self.child.stderr.take())
    }

    pub(crate) async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    pub(crate) async fn kill(&mut self) {
        let _ = self.child.kill().await;
    }

    /// Ends what is left of the engine, now that its watchdog has ended. Another one may be started then.
    pub(crate) async fn sweep(mut self, replica: &str) {
        let before = mem::take(&mut self.before);
        drop(self);
        match spawn_blocking(move || sweep(&before)).await {
            Ok((0, _)) | Err(_) => {}
            Ok((killed, 0)) => warn!(replica, killed, "the engine left processes behind; they were killed"),
            Ok((killed, left)) => {
                warn!(replica, killed, left, "the engine left processes behind that do not end; they may hold its GPU");
            }
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        WATCHDOGS.lock().remove(&self.pid);
    }
}

/// Kills and collects what was not there `before`; gives how many there were, and how many have not ended.
fn sweep(before: &[children::Child]) -> (usize, usize) {
    let deadline = Instant::now() + SWEEP;
    let mut killed = BTreeSet::new();
    loop {
        let left = leftovers(before);
        for pid in &left {
            killed.insert(pid.as_raw_nonzero());
            let _ = kill_process(*pid, Signal::KILL);
            // Each by its name: the others' deaths are waited for elsewhere.
            let _ = waitpid(Some(*pid), WaitOptions::NOHANG);
        }
        if left.is_empty() || Instant::now() >= deadline {
            return (killed.len(), left.len());
        }
        thread::sleep(SWEEP_PAUSE);
    }
}

fn leftovers(before: &[children::Child]) -> Vec<Pid> {
    let watchdogs = WATCHDOGS.lock();
    let is_left =
        |child: &children::Child| !before.contains(child) && !watchdogs.contains(&child.pid.as_raw_nonzero().get());
    children().into_iter().filter(is_left).map(|child| child.pid).collect()
}
