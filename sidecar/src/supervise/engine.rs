//! The process that becomes the engine: ties itself to its watchdog, and then is the engine's program.

use std::{ffi::OsString, os::unix::process::CommandExt, process::Command};

use rustix::process::getppid;

use super::number;

/// The program could not be started, as shells have it.
const CANNOT_START: i32 = 127;

/// Takes the watchdog's process id and the engine's command line. Returns only when it cannot become the engine.
pub(super) fn main(mut arguments: impl Iterator<Item = OsString>) -> i32 {
    let watchdog = number(arguments.next());
    let Some(program) = arguments.next() else { return CANNOT_START };
    tie_to_parent();
    if watchdog != getppid().map(|parent| parent.as_raw_nonzero().get().unsigned_abs().into()) {
        // The watchdog died before the kernel was told to tell.
        return CANNOT_START;
    }
    let error = Command::new(&program).args(arguments).exec();
    eprintln!("cannot start {}: {error}", program.display());
    CANNOT_START
}

/// From now on the kernel kills this process when its parent dies. That outlives becoming another program.
#[cfg(target_os = "linux")]
fn tie_to_parent() {
    // Without it the watchdog must not be killed; everything else holds.
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
}

#[cfg(not(target_os = "linux"))]
fn tie_to_parent() {}
