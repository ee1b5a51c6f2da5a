//! Two builds of the gateway beside each other, on the same core and in turns: whether a change made it faster is seen in the
//! ratios of each turn, as the machine itself changes from minute to minute by more than most changes do. Or the gateway beside
//! HAProxy, which does nothing but pass on what comes: what that takes is the measure of the machine.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::{
    figure::{Compared, Figures},
    report,
    rig::{Layout, Place, Rig},
    scenario::{Measures, Scenario},
};

/// What this build is measured beside.
#[derive(Debug)]
pub enum Other {
    /// The build in this folder.
    Build(PathBuf),
    Haproxy,
}

/// A build whose programs were copied just now. Those that the kernel has read back from the disk are up to a tenth slower than
/// the same that were just written.
struct Copied(TempDir);

impl Copied {
    fn of(build: &Path) -> Result<Self> {
        let folder = TempDir::with_prefix("cloudach-build-")?;
        for program in ["cloudach-edge", "cloudach-router", "cloudach-sidecar"] {
            let from = build.join(program);
            fs::copy(&from, folder.path().join(program)).with_context(|| format!("cannot copy {}", from.display()))?;
        }
        Ok(Self(folder))
    }

    async fn start(&self, place: &Place) -> Result<Rig> {
        Rig::start(&Place { gateway: self.0.path().to_owned(), ..place.clone() }, &Layout::PLAIN).await
    }
}

impl Other {
    fn knows(&self, scenario: Scenario) -> bool {
        match self {
            Self::Build(_) => true,
            Self::Haproxy => {
                matches!(scenario, Scenario::Latency | Scenario::Unary | Scenario::Streams | Scenario::Flood)
            }
        }
    }
}

/// Measures this build and the other so many times in turns, each with the same processes all the time.
pub async fn measure(
    place: &Place,
    other: &Other,
    scenarios: &[Scenario],
    measures: &Measures,
    rounds: u32,
) -> Result<Compared> {
    for scenario in scenarios {
        ensure!(other.knows(*scenario), "{scenario:?} cannot be measured beside HAProxy: name others with `--only`");
    }
    let this = Copied::of(&place.gateway)?;
    let build = match other {
        Other::Build(folder) => Some(Copied::of(folder)?),
        Other::Haproxy => None,
    };
    let beside = match &build {
        Some(build) => build.start(place).await?,
        None => Rig::haproxy(place).await?,
    };
    let rigs = [this.start(place).await?, beside];
    let mut figures = [Figures::default(), Figures::default()];
    for round in 1..=rounds {
        for scenario in scenarios {
            report::progress(round, rounds, *scenario);
            // Who is first has the warmer or the colder machine: each is, every other time.
            for turn in [round, round + 1] {
                let one = (turn % 2) as usize;
                scenario.measure(&rigs[one], measures, &mut figures[one]).await?;
            }
        }
    }
    rigs.into_iter().try_for_each(Rig::stop)?;
    let [this, other] = figures;
    Ok(Compared { this, other })
}
