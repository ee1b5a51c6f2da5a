//! Two builds of the gateway beside each other, on the same core and in turns: whether a change made it faster is seen in the
//! ratios of each turn, as the machine itself changes from minute to minute by more than most changes do. Or the gateway beside
//! HAProxy, which does nothing but pass on what comes: what that takes is the measure of the machine.

use std::path::PathBuf;

use anyhow::{Result, ensure};

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

impl Other {
    async fn start(&self, place: &Place) -> Result<Rig> {
        match self {
            Self::Build(folder) => {
                Rig::start(&Place { gateway: folder.clone(), ..place.clone() }, &Layout::PLAIN).await
            }
            Self::Haproxy => Rig::haproxy(place).await,
        }
    }

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
    let rigs = [Rig::start(place, &Layout::PLAIN).await?, other.start(place).await?];
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
