//! The sidecar's process.

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use cloudach_service::{config, logs, stop::Stop};
use tracing::error;

/// Drives one inference engine for the gateway.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The configuration file, in YAML.
    #[arg(long)]
    config: PathBuf,
}

fn main() -> ExitCode {
    cloudach_sidecar::supervise::main_if_asked();
    serve()
}

#[tokio::main]
async fn serve() -> ExitCode {
    let arguments = Arguments::parse();
    logs::start();
    match start(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            error!(%reason, "the sidecar has ended");
            ExitCode::FAILURE
        }
    }
}

async fn start(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let config = config::load(&arguments.config)?;
    let stop = Stop::default();
    stop.on_signals(cloudach_sidecar::run(config, stop.clone())).await??;
    Ok(())
}
