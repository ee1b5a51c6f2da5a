//! What makes an engine end with its sidecar, however the sidecar ends: a watchdog between the two.
//!
//! A sidecar that is killed can do nothing for its engine any more, and an engine that outlives it holds the GPU. So
//! the sidecar starts this same program once more as a watchdog, which holds the reading end of a pipe: when the pipe
//! closes, whatever the reason, the watchdog ends the engine with everything that it has started. The engine in turn
//! is told by the kernel when its watchdog dies, and what the engine had started comes to the sidecar, which ends it
//! before it starts another ([`orphans`]).
//!
//! Every binary that runs sidecars calls [`main_if_asked`] first thing in `main`, before there are threads.

mod children;
mod engine;
mod orphans;
mod watchdog;

use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    io,
    path::PathBuf,
    process::Stdio,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use tokio::process::Command;

pub(crate) use self::orphans::Watchdog;

/// What the program is asked for when it is started as a watchdog, and as what becomes the engine.
const WATCHDOG: &str = "__engine-watchdog";
const ENGINE: &str = "__engine";

/// Written to a watchdog's input: end the engine, and give it the time that it was promised.
pub(crate) const END: &[u8] = b".";

/// Set by [`main_if_asked`].
static ABLE: AtomicBool = AtomicBool::new(false);

/// This program has no watchdog in it.
#[derive(Debug, thiserror::Error)]
#[error("this program cannot start engines: its `main` does not begin with `supervise::main_if_asked()`")]
pub struct Unable;

/// Does not return when this process was started as an engine's watchdog.
pub fn main_if_asked() {
    let mut arguments = env::args_os().skip(1);
    match arguments.next().as_deref().and_then(|first| first.to_str()) {
        Some(WATCHDOG) => std::process::exit(watchdog::main(arguments)),
        Some(ENGINE) => std::process::exit(engine::main(arguments)),
        _ => ABLE.store(true, Ordering::Relaxed),
    }
}

/// Whether this program can be started as a watchdog.
pub(crate) fn able() -> Result<(), Unable> {
    if ABLE.load(Ordering::Relaxed) { Ok(()) } else { Err(Unable) }
}

/// Starts a watchdog with an engine that gets `grace` to end once asked to, and `env` beside this process's environment.
/// Its input is to be kept open; its outputs are the engine's.
pub(crate) fn start(engine: &[String], env: &BTreeMap<String, String>, grace: Duration) -> io::Result<Watchdog> {
    let mut command = Command::new(this_program());
    command
        .arg0("cloudach-engine-watchdog")
        .arg(WATCHDOG)
        .arg(grace.as_millis().to_string())
        .args(engine)
        .envs(env)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Ctrl-C in a terminal is for the sidecar alone, which ends its engine in order.
        .process_group(0);
    Watchdog::start(&mut command)
}

/// This same program, also when its file was replaced meanwhile.
fn this_program() -> PathBuf {
    const SELF: &str = "/proc/self/exe";
    let linked = PathBuf::from(SELF);
    if linked.exists() { linked } else { env::current_exe().unwrap_or(linked) }
}

/// The next argument as a number.
fn number(argument: Option<OsString>) -> Option<u64> {
    argument?.to_str()?.parse().ok()
}
