//! `cloudach check FILE`

use std::{
    fmt::Display,
    io::{Write, stderr, stdout},
    path::{Path, PathBuf},
    process::ExitCode,
    str::FromStr,
};

use clap::{Args, ValueEnum};
use cloudach_model::{
    reading::{ReasoningFormat, ToolFormat},
    template::{ChatTemplate, Source as Template, families::Family},
};
use cloudach_router::{
    catalogue::{Catalogue, Names},
    config::Source,
};
use cloudach_service::{config, reload::Settings};
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
        let names = |source: &Source| match Names::load(source) {
            Ok(names) => prompting(&names).map_err(|error| text(&error)),
            Err(error) => Err(text(&error)),
        };
        match self.kind {
            Kind::Up => {
                let config: Config = load(file)?;
                if let Some(problem) = config.problem() {
                    return Err(text(&problem));
                }
                names(&config.services(Path::new("/")).router.catalogue)
            }
            Kind::Edge => load::<cloudach_edge::config::Config>(file)?.check().map_err(|error| text(&error)),
            Kind::Router => {
                let config = load::<cloudach_router::config::Config>(file)?;
                if let Some(problem) = config.problem() {
                    return Err(text(&problem));
                }
                names(&config.catalogue)
            }
            Kind::Sidecar => load::<cloudach_sidecar::Config>(file)?.check().map_err(|error| text(&error)),
            Kind::Catalogue => names(&Source::Here(load::<Catalogue>(file)?)),
        }
    }
}

/// What the router passes on, and only edges understand: how models are prompted and read.
fn prompting(names: &Names) -> Result<(), String> {
    fn known<T: FromStr<Err: Display>>(name: Option<&String>, nothing: &str) -> Result<(), String> {
        name.filter(|name| *name != nothing)
            .map_or(Ok(()), |name| name.parse::<T>().map(drop).map_err(|error| error.to_string()))
    }
    for (model, entry) in names.models() {
        let of = |key: &'static str| move |error: String| format!("`models.{model}.{key}`: {error}");
        if let Some(template) = &entry.chat_template {
            ChatTemplate::compile(&Template { template, bos_token: None, eos_token: None })
                .map_err(|error| of("chat_template")(error.to_string()))?;
        }
        known::<&Family>(entry.template_family.as_ref(), "").map_err(of("template_family"))?;
        known::<ToolFormat>(entry.tool_format.as_ref(), "none").map_err(of("tool_format"))?;
        known::<ReasoningFormat>(entry.reasoning_format.as_ref(), "none").map_err(of("reasoning_format"))?;
    }
    Ok(())
}

fn load<T: DeserializeOwned>(file: &Path) -> Result<T, String> {
    config::load(file).map_err(|error| error.to_string())
}
