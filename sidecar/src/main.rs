//! The sidecar's process: `cloudach-sidecar --config FILE`

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use cloudach_service::process;

/// Drives one inference engine for the gateway.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The configuration file (YAML).
    #[arg(long)]
    config: PathBuf,
}

fn main() -> ExitCode {
    // This binary is also the watchdog that it starts beside its engine.
    cloudach_sidecar::supervise::main_if_asked();
    serve()
}

#[tokio::main]
async fn serve() -> ExitCode {
    let arguments = Arguments::parse();
    process::run(&arguments.config, cloudach_sidecar::run).await
}
