//! Two builds of the gateway beside each other, on the same core and in turns: whether a change made it faster is seen in the
//! ratios of each turn, as the machine itself changes from minute to minute by more than most changes do.

use std::path::PathBuf;

use anyhow::Result;

use crate::{
    figure::{Compared, Figures},
    report,
    rig::{Layout, Place, Rig},
    scenario::{Measures, Scenario},
};

/// Measures this build and the one in `other` so many times in turns, each with the same processes all the time.
pub async fn measure(
    place: &Place,
    other: PathBuf,
    scenarios: &[Scenario],
    measures: &Measures,
    rounds: u32,
) -> Result<Compared> {
    let other = Place { gateway: other, ..place.clone() };
    let rigs = [Rig::start(place, &Layout::PLAIN).await?, Rig::start(&other, &Layout::PLAIN).await?];
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
