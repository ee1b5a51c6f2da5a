//! Runs one service as a process of its own: logs, configuration, signals, exit code.

use std::{fmt::Display, path::Path, process::ExitCode};

use serde::de::DeserializeOwned;
use tracing::error;

use crate::{config, descriptors, logs, stop::Stop};

/// Runs `service` with the configuration in `path` until a signal stops it.
pub async fn run<C, E>(path: &Path, service: impl AsyncFnOnce(C, Stop) -> Result<(), E>) -> ExitCode
where
    C: DeserializeOwned,
    E: Display,
{
    logs::start();
    descriptors::raise();
    let config: C = match config::load(path) {
        Ok(config) => config,
        Err(error) => {
            error!(%error, "cannot start");
            return ExitCode::FAILURE;
        }
    };
    let stop = Stop::default();
    match stop.on_signals(Box::pin(service(config, stop.clone()))).await {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            error!(%error, "stopped by an error");
            ExitCode::FAILURE
        }
        Err(error) => {
            error!(%error, "cannot listen for signals");
            ExitCode::FAILURE
        }
    }
}
