//! The watchdog's process: starts the engine in a process group of its own, and leaves nobody of it behind.

use std::{
    ffi::OsString,
    io::{Read, stdin},
    os::unix::process::CommandExt,
    process::{Command, Stdio, id},
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, kill_process_group, wait};

use super::{
    ENGINE,
    children::{adopt_descendants, children},
    number, this_program,
};

/// How long an engine may take to end when its sidecar has died: nobody waits for what it would still do.
const ORPHANED_GRACE: Duration = Duration::from_millis(500);

/// How long the watchdog tries to collect what the engine left behind.
const SWEEP: Duration = Duration::from_secs(2);

/// Pause between two looks at what is left.
const SWEEP_PAUSE: Duration = Duration::from_millis(5);

const FAILED: i32 = 126;

/// What the sidecar wants.
enum Wish {
    /// End the engine in peace.
    End,
    /// Nothing any more: it has gone.
    Gone,
}

/// Takes the grace time in milliseconds and the engine's command line; gives the engine's exit code, or 128 and the
/// signal that killed it.
pub(super) fn main(mut arguments: impl Iterator<Item = OsString>) -> i32 {
    let Some(grace) = number(arguments.next()).map(Duration::from_millis) else { return FAILED };
    adopt_descendants();
    let engine = Command::new(this_program())
        .arg(ENGINE)
        .arg(id().to_string())
        .args(arguments)
        .stdin(Stdio::null())
        .process_group(0)
        .spawn();
    let engine = match engine {
        Ok(child) => Pid::from_child(&child),
        Err(error) => {
            eprintln!("cannot start the engine: {error}");
            return FAILED;
        }
    };
    let (wishes, heard) = sync_channel(2);
    thread::spawn(move || listen(&wishes));
    thread::spawn(move || obey(&heard, engine, grace));
    let code = until_end_of(engine);
    sweep(engine);
    code
}

/// Reads the sidecar's wishes. The pipe closes when the sidecar does, however that came.
fn listen(wishes: &SyncSender<Wish>) {
    let mut byte = [0];
    while let Ok(1) = stdin().read(&mut byte) {
        let _ = wishes.try_send(Wish::End);
    }
    let _ = wishes.send(Wish::Gone);
}

/// Ends the engine when that is wished for. The process ends in `main`, when the engine has.
fn obey(wishes: &Receiver<Wish>, engine: Pid, grace: Duration) {
    let grace = match wishes.recv() {
        Ok(Wish::End) => grace,
        Ok(Wish::Gone) | Err(_) => ORPHANED_GRACE,
    };
    let _ = kill_process_group(engine, Signal::TERM);
    let deadline = Instant::now() + grace;
    loop {
        match wishes.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(Wish::End) => {}
            // Nobody listens any more: both have gone, and the time is as short as for an orphan.
            Ok(Wish::Gone) | Err(RecvTimeoutError::Disconnected) => {
                thread::sleep(ORPHANED_GRACE.min(deadline.saturating_duration_since(Instant::now())));
                break;
            }
            Err(RecvTimeoutError::Timeout) => break,
        }
    }
    let _ = kill_process_group(engine, Signal::KILL);
}

/// Collects children until it was the engine's turn.
fn until_end_of(engine: Pid) -> i32 {
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == engine => return code(status),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return FAILED,
        }
    }
}

fn code(status: WaitStatus) -> i32 {
    status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal)).unwrap_or(FAILED)
}

/// Ends what the engine has left: its group, and what left its group.
fn sweep(engine: Pid) {
    let deadline = Instant::now() + SWEEP;
    while Instant::now() < deadline {
        let _ = kill_process_group(engine, Signal::KILL);
        for child in children() {
            let _ = kill_process(child.pid, Signal::KILL);
        }
        match wait(WaitOptions::NOHANG) {
            Ok(Some(_)) => {}
            Ok(None) => thread::sleep(SWEEP_PAUSE),
            // There are none.
            Err(_) => return,
        }
    }
}
