//! Structured logs on standard error: pretty on a terminal, one JSON object per line elsewhere.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::{EnvFilter, fmt};

/// The level when `CLOUDACH_LOG` is not set.
const DEFAULT_FILTER: &str = "info";

/// Starts logging for this process. `CLOUDACH_LOG` sets the level, such as `debug` or `cloudach_router=debug,info`.
/// A second call does nothing.
pub fn start() {
    start_with_default(DEFAULT_FILTER);
}

/// As [`start`], with another level for when `CLOUDACH_LOG` is not set.
pub fn start_with_default(default: &str) {
    let filter = EnvFilter::try_from_env("CLOUDACH_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let logs = fmt().with_env_filter(filter).with_writer(stderr);
    let _ = if stderr().is_terminal() {
        logs.with_target(false).try_init()
    } else {
        logs.json().flatten_event(true).try_init()
    };
}
