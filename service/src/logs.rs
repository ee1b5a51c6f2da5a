//! Structured logs on standard error: pretty on a terminal, one JSON object per line elsewhere. How much is told can be changed
//! while the process runs, for a while.

mod json;
mod lines;

use std::{
    io::{IsTerminal, stderr},
    str::FromStr,
    sync::OnceLock,
    time::Duration,
};

use parking_lot::Mutex;
use serde::Deserialize;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tracing::{info, level_filters::LevelFilter, warn};
use tracing_subscriber::{
    EnvFilter,
    fmt::{self, writer::BoxMakeWriter},
};

use json::Json;
use lines::Lines;

/// The level when `CLOUDACH_LOG` is not set.
const DEFAULT_FILTER: &str = "info";

/// The longest that another level may hold: whoever forgets it does not fill a disk for ever.
pub const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// The logs of this process, once they have started.
static LOGS: OnceLock<Logs> = OnceLock::new();

struct Logs {
    lines: Option<Lines>,
    set: Box<dyn Fn(EnvFilter) + Send + Sync>,
    /// When the environment says it, no configuration does.
    is_given: bool,
    default: String,
    usual: Mutex<String>,
    now: Mutex<String>,
    /// When it is the usual one again. None: it is.
    until: watch::Sender<Option<Instant>>,
}

/// How much is told, as a configuration says it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Level(String);

impl TryFrom<String> for Level {
    type Error = NoLevel;

    fn try_from(level: String) -> Result<Self, NoLevel> {
        read(&level).map(|filter| Self(filter.to_string()))
    }
}

/// It says nothing of levels.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is neither a level (error, warn, info, debug, trace, off) nor TARGET=LEVEL, such as cloudach_router=debug"
)]
pub struct NoLevel(String);

/// Starts logging for this process. `CLOUDACH_LOG` sets the level, such as `debug` or `cloudach_router=debug,info`.
/// A second call does nothing.
pub fn start() {
    start_with_default(DEFAULT_FILTER);
}

/// As [`start`], with another level for when `CLOUDACH_LOG` is not set.
pub fn start_with_default(default: &str) {
    let given = EnvFilter::try_from_env("CLOUDACH_LOG").ok();
    let is_given = given.is_some();
    let filter = given.unwrap_or_else(|| EnvFilter::new(default));
    let usual = filter.to_string();
    // A person at a terminal sees each line at once. So does who has no thread left for them.
    let lines = if stderr().is_terminal() { None } else { Lines::start(stderr()).ok() };
    let writer = lines.clone().map_or_else(|| BoxMakeWriter::new(stderr), BoxMakeWriter::new);
    let (set, started) = subscribe(filter, writer);
    if started {
        let now = Mutex::new(usual.clone());
        let (default, usual) = (default.to_owned(), Mutex::new(usual));
        let _ = LOGS.set(Logs { lines, set, is_given, default, usual, now, until: watch::Sender::new(None) });
    }
}

/// Writes out what was logged, before the process ends.
pub fn flush() {
    const WITHIN: Duration = Duration::from_secs(1);
    if let Some(lines) = LOGS.get().and_then(|logs| logs.lines.as_ref()) {
        lines.flush(WITHIN);
    }
}

/// Tells usually so much from now on; `None`: as much as without a configuration. `CLOUDACH_LOG` goes before it, and so does
/// what was changed for a while until that is over.
pub fn usually(level: Option<&Level>) {
    let Some(logs) = LOGS.get().filter(|logs| !logs.is_given) else { return };
    let level = level.map_or(&logs.default, |Level(level)| level);
    let mut usual = logs.usual.lock();
    if *usual == *level {
        return;
    }
    usual.clone_from(level);
    if logs.until.borrow().is_none() {
        (logs.set)(EnvFilter::new(level));
        logs.now.lock().clone_from(level);
    }
    info!(level, "another usual log level");
}

/// What changes the level, and whether the process logs by it.
type Subscribed = (Box<dyn Fn(EnvFilter) + Send + Sync>, bool);

#[cfg(not(feature = "console"))]
fn subscribe(filter: EnvFilter, writer: BoxMakeWriter) -> Subscribed {
    let logs = fmt::fmt().with_env_filter(filter).with_writer(writer);
    // What cannot be changed any more belongs to a process that ends.
    if stderr().is_terminal() {
        let logs = logs.with_target(false).with_filter_reloading();
        let handle = logs.reload_handle();
        (Box::new(move |filter| drop(handle.reload(filter))), logs.try_init().is_ok())
    } else {
        let logs = logs.json().flatten_event(true).map_event_format(|usual| Json { usual }).with_filter_reloading();
        let handle = logs.reload_handle();
        (Box::new(move |filter| drop(handle.reload(filter))), logs.try_init().is_ok())
    }
}

/// The same beside what `tokio-console` is told of the runtime's tasks, which no level keeps from it.
#[cfg(feature = "console")]
fn subscribe(filter: EnvFilter, writer: BoxMakeWriter) -> Subscribed {
    use tracing_subscriber::{Layer, layer::SubscriberExt, reload, util::SubscriberInitExt};

    #[cfg(not(tokio_unstable))]
    compile_error!("the feature `console` needs RUSTFLAGS=\"--cfg tokio_unstable\"");

    let (filter, handle) = reload::Layer::new(filter);
    let logs = match stderr().is_terminal() {
        true => fmt::layer().with_writer(writer).with_target(false).boxed(),
        false => {
            let json = fmt::layer().with_writer(writer).json().flatten_event(true);
            json.map_event_format(|usual| Json { usual }).boxed()
        }
    };
    let console = console_subscriber::ConsoleLayer::builder().with_default_env().spawn();
    let started = tracing_subscriber::registry().with(console).with(logs.with_filter(filter)).try_init();
    (Box::new(move |filter| drop(handle.reload(filter))), started.is_ok())
}

/// What is told now.
pub fn level() -> String {
    LOGS.get().map(|logs| logs.now.lock().clone()).unwrap_or_default()
}

/// Tells so much from now on, and as much as before after `time`, [`LONGEST`] at most.
///
/// # Errors
/// It says nothing of levels.
pub fn change(level: &str, time: Duration) -> Result<(), NoLevel> {
    let filter = read(level)?;
    let Some(logs) = LOGS.get() else { return Ok(()) };
    let time = time.min(LONGEST);
    *logs.now.lock() = filter.to_string();
    warn!(level, ?time, "another log level");
    (logs.set)(filter);
    logs.until.send_replace(Some(Instant::now() + time));
    Ok(())
}

/// Goes back to the usual level when it is time, for as long as this runs.
pub async fn go_back() {
    let Some(logs) = LOGS.get() else { return std::future::pending().await };
    let mut until = logs.until.subscribe();
    loop {
        let at = *until.borrow_and_update();
        let time = async { if let Some(at) = at { sleep_until(at).await } else { std::future::pending().await } };
        tokio::select! {
            changed = until.changed() => if changed.is_err() {
                return std::future::pending().await;
            },
            () = time => {
                let level = logs.usual.lock().clone();
                (logs.set)(EnvFilter::new(&level));
                logs.now.lock().clone_from(&level);
                logs.until.send_replace(None);
                info!(level, "the usual log level again");
            }
        }
    }
}

/// A word that is no level would be a target, and everything else would be silent.
fn read(level: &str) -> Result<EnvFilter, NoLevel> {
    let wrong = || NoLevel(level.chars().take(100).collect());
    let is_level = |word: &str| {
        let level = word.rsplit('=').next().unwrap_or_default();
        // Nothing would be `error`.
        !level.is_empty() && LevelFilter::from_str(level).is_ok()
    };
    let words: Vec<_> = level.split(',').map(str::trim).collect();
    if !words.iter().all(|word| is_level(word)) {
        return Err(wrong());
    }
    EnvFilter::try_new(words.join(",")).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_told_from_what_is_none() {
        for level in ["info", "debug", "off", "WARN", "cloudach_router=debug,info", "info, cloudach_edge::http=trace"] {
            assert!(read(level).is_ok(), "{level}");
        }
        for other in
            ["", "debgu", "cloudach_router", "cloudach_router=loud", "cloudach_router=", "info,", "[{=debug", "=x"]
        {
            assert_eq!(read(other).err(), Some(NoLevel(other.to_owned())), "{other}");
        }
    }
}
