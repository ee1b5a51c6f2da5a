//! Runs one service as a process of its own: logs, configuration, signals, exit code.

use std::{fmt::Display, path::Path, process::ExitCode};

use tracing::error;

use crate::{
    config::{self, ConfigError},
    descriptors, logs,
    reload::{self, Live, Settings},
    stop::Stop,
};

/// Runs `service` with the configuration in `path`, and what becomes of it, until a signal stops it.
pub async fn run<C, E>(path: &Path, service: impl AsyncFnOnce(Live<C>, Stop) -> Result<(), E>) -> ExitCode
where
    C: Settings,
    E: Display,
{
    logs::start();
    let code = run_logged(path, service).await;
    logs::flush();
    code
}

async fn run_logged<C, E>(path: &Path, service: impl AsyncFnOnce(Live<C>, Stop) -> Result<(), E>) -> ExitCode
where
    C: Settings,
    E: Display,
{
    descriptors::raise();
    let (text, config) = match read::<C>(path) {
        Ok(read) => read,
        Err(error) => {
            error!(%error, "cannot start");
            return ExitCode::FAILURE;
        }
    };
    logs::usually(config.log());
    let stop = Stop::default();
    let (follow, live) = reload::follow(path.to_owned(), text, config);
    let service = Box::pin(service(live, stop.clone()));
    let service = async {
        tokio::select! {
            ended = service => ended,
            never = follow => match never {},
        }
    };
    match stop.on_signals(Box::pin(service)).await {
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

fn read<C: Settings>(path: &Path) -> Result<(String, C), ConfigError> {
    let text = config::text(path)?;
    match config::parse(&text) {
        Ok(config) => Ok((text, config)),
        Err(reason) => Err(ConfigError::Invalid { path: path.to_owned(), reason }),
    }
}
