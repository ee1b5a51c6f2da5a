//! `cloudach-edge --config FILE`

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use cloudach_service::process;

/// Serves the OpenAI API in front of a fleet.
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
    process::run(&arguments.config, cloudach_edge::run).await
}
