//! `cloudach-router --config FILE`

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use cloudach_service::process;

/// Routes the requests of edges to the replicas of a fleet.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The configuration file (YAML).
    #[arg(long)]
    config: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    process::run(&arguments.config, cloudach_router::run).await
}
