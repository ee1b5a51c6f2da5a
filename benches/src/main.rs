//! `bench`: what the gateway adds to an engine. All three of its processes run on one core; the load and a scripted engine on
//! another one. Every scenario is run in front of the engine alone and of the gateway in turn, so that each figure has its
//! counterpart from the same minutes of the same machine.

mod against;
mod figure;
mod machine;
mod played;
mod process;
mod report;
mod rig;
mod scenario;
mod wire;

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context, Result, ensure};
use clap::Parser;

use crate::{
    against::Other,
    figure::Figures,
    rig::{Layout, Place, Rig},
    scenario::{Measures, Scenario},
};

/// Measures the gateway's processes, which are expected beside this program.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Only these, comma separated. Absent: all.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Scenario>,
    /// How often each is measured; the medians are shown.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// How long each measurement takes that is not bounded otherwise.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Streams that are open and quiet, in the scenario `idle`. Each takes a descriptor of each process.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(100..=60_000))]
    idle: u32,
    /// Of the sizes of the scenario `scaling` those alone whose name has this in it. Absent: all.
    #[arg(long)]
    size: Option<String>,
    /// The folder of another build of the gateway's programs, which is measured beside this one, in turns.
    #[arg(long, conflicts_with = "json")]
    against: Option<PathBuf>,
    /// Measures HAProxy, where it is installed, beside the gateway: between the same load and the same engine, with one thread on
    /// the gateway's core. What machines differ by is not in the ratios. `latency`, `unary`, `streams` and `flood` only.
    #[arg(long, conflicts_with_all = ["against", "json"])]
    beside_haproxy: bool,
    /// Writes all that was measured to this file, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    machine::raise_descriptor_limit()?;
    let (machine, cores) = (machine::description(), machine::cores()?);
    ensure!(cores.len() >= 2, "two cores are needed: one for the gateway, one for the load and the engine");
    let programs = std::env::current_exe()?.parent().context("this program is in no folder")?.to_owned();
    let scenarios = if arguments.only.is_empty() { Scenario::all() } else { arguments.only };
    let (alone, together): (Vec<_>, Vec<_>) = scenarios.into_iter().partition(|scenario| scenario.is_alone());
    let place = Place { gateway: programs.clone(), engine: programs, cores: (cores[0], cores[1]) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut figures = Figures::default();
    let time = Duration::from_secs(arguments.seconds.into());
    let measures = Measures { time, idle: arguments.idle as usize, size: arguments.size.unwrap_or_default() };
    let other = match arguments.beside_haproxy {
        true => Some(Other::Haproxy),
        false => arguments.against.map(Other::Build),
    };
    if let Some(other) = other {
        ensure!(alone.is_empty(), "{alone:?} cannot be measured beside another one");
        let compared = against::measure(&place, &other, &together, &measures, arguments.rounds);
        report::compared(&machine, &runtime.block_on(compared)?);
        return Ok(());
    }
    let measured = runtime.block_on(async {
        for round in 1..=arguments.rounds {
            let begin = |scenario: Scenario| report::progress(round, arguments.rounds, scenario);
            measure_together(&place, &together, &measures, &mut figures, begin).await?;
            for scenario in &alone {
                begin(*scenario);
                let measured = scenario.measure_alone(&place, &measures, &mut figures).await;
                measured.with_context(|| format!("{scenario:?}"))?;
            }
        }
        anyhow::Ok(())
    });
    // Also what was measured before something failed.
    report::table(&machine, &figures);
    if let Some(path) = arguments.json {
        let text = serde_json::to_string_pretty(&report::json(&machine, arguments.rounds, &figures))?;
        fs::write(&path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    }
    measured
}

/// Measures those that need one of each process, with the same ones.
async fn measure_together(
    place: &Place,
    scenarios: &[Scenario],
    measures: &Measures,
    figures: &mut Figures,
    begin: impl Fn(Scenario),
) -> Result<()> {
    if scenarios.is_empty() {
        return Ok(());
    }
    let rig = Rig::start(place, &Layout::PLAIN).await?;
    figures.note("at rest", "first 200 after start", "ms", rig.first_answer.as_secs_f64() * 1e3);
    for process in &rig.gateway {
        figures.note("at rest", &format!("RSS of {}", process.name), "MiB", process.resident()? / 1024.0);
    }
    for scenario in scenarios {
        begin(*scenario);
        if let Err(error) = scenario.measure(&rig, measures, figures).await {
            return Err(error.context(format!("{scenario:?}; logs are in {}", rig.keep().display())));
        }
    }
    rig.stop()
}
