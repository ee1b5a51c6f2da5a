//! `cloudach check FILE`

use std::{
    fmt::Display,
    io::{Write, stderr, stdout},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, ValueEnum};
use cloudach_router::{
    catalogue::{Catalogue, Names},
    config::Source,
};
use cloudach_service::config;
use serde::de::DeserializeOwned;

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
        let file = &self.file;
        let text = |error: &dyn Display| format!("{}: {error}", file.display());
        let names = |source: &Source| Names::load(source).map(drop).map_err(|error| text(&error));
        match self.kind {
            Kind::Up => {
                let config: Config = load(file)?;
                if config.engines.is_empty() {
                    return Err(text(&"it names no engine"));
                }
                let services = config.services(Path::new("/"));
                services.edge.check().map_err(|error| text(&error))?;
                for sidecar in &services.sidecars {
                    sidecar.check().map_err(|error| text(&error))?;
                }
                names(&services.router.catalogue)
            }
            Kind::Edge => load::<cloudach_edge::config::Config>(file)?.check().map_err(|error| text(&error)),
            Kind::Router => names(&load::<cloudach_router::config::Config>(file)?.catalogue),
            Kind::Sidecar => load::<cloudach_sidecar::Config>(file)?.check().map_err(|error| text(&error)),
            Kind::Catalogue => names(&Source::Here(load::<Catalogue>(file)?)),
        }
    }
}

fn load<T: DeserializeOwned>(file: &Path) -> Result<T, String> {
    config::load(file).map_err(|error| error.to_string())
}
