//! `cloudach check FILE`

use std::{
    io::{Write, stderr, stdout},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, ValueEnum};
use cloudach_router::catalogue::{Catalogue, Names};
use cloudach_service::config;

use crate::config::Config;

/// What to check.
#[derive(Debug, Args)]
pub struct Check {
    /// The configuration file (YAML).
    file: PathBuf,
    /// Whose configuration it is.
    #[arg(long = "as", value_enum, default_value_t = Kind::Up)]
    kind: Kind,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    /// `cloudach up --config`
    Up,
    /// `cloudach-edge --config`
    Edge,
    /// `cloudach-router --config`, with the catalogue that it names
    Router,
    /// `cloudach-sidecar --config`
    Sidecar,
    /// The file of models that a router names
    Catalogue,
}

impl Check {
    /// Prints the verdict. The exit code is 0 when the file is valid.
    pub fn run(&self) -> ExitCode {
        match self.verdict() {
            Ok(()) => {
                let _ = writeln!(stdout(), "{} is valid", self.file.display());
                ExitCode::SUCCESS
            }
            Err(problem) => {
                let _ = writeln!(stderr(), "{problem}");
                ExitCode::FAILURE
            }
        }
    }

    fn verdict(&self) -> Result<(), String> {
        let text = |error: config::ConfigError| error.to_string();
        let names = |catalogue| Names::check(catalogue).map(drop).map_err(|error| error.to_string());
        match self.kind {
            Kind::Up => {
                let config: Config = config::load(&self.file).map_err(text)?;
                if config.engines.is_empty() {
                    return Err(format!("{} names no engine", self.file.display()));
                }
                names(config.catalogue)
            }
            Kind::Edge => config::load::<cloudach_edge::config::Config>(&self.file).map(drop).map_err(text),
            Kind::Router => {
                let config: cloudach_router::config::Config = config::load(&self.file).map_err(text)?;
                Names::load(&config.catalogue).map(drop).map_err(|error| error.to_string())
            }
            Kind::Sidecar => config::load::<cloudach_sidecar::config::Config>(&self.file).map(drop).map_err(text),
            Kind::Catalogue => names(config::load::<Catalogue>(&self.file).map_err(text)?),
        }
    }
}
