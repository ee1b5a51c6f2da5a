//! What the gateway adds to a request when nothing else is going on.

use std::time::Instant;

use anyhow::Result;
use hdrhistogram::Histogram;

use super::BOTH;
use crate::{figure::Figures, rig::Rig};

const REQUESTS: usize = 1500;

/// Not counted: caches are filled, connections opened.
const WARM: usize = 100;

pub async fn measure(rig: &Rig, figures: &mut Figures) -> Result<()> {
    let mut medians = Vec::new();
    for (target, name) in BOTH {
        let request = rig.request(target, "What is the capital of France? [[tokens=1]]", false);
        let mut connection = rig.connect(target).await?;
        let mut times = Histogram::<u64>::new(3)?;
        for number in 0..WARM + REQUESTS {
            let begun = Instant::now();
            connection.ask(&request).await?.ok()?;
            if number >= WARM {
                times.record(u64::try_from(begun.elapsed().as_nanos())?)?;
            }
        }
        let at = |quantile| {
            #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
            let micros = times.value_at_quantile(quantile) as f64 / 1e3;
            micros
        };
        medians.push((at(0.5), at(0.99)));
        figures.note("latency", &format!("{name}, p50"), "us", at(0.5));
        figures.note("latency", &format!("{name}, p99"), "us", at(0.99));
    }
    figures.note("latency", "added, p50", "us", medians[1].0 - medians[0].0);
    figures.note("latency", "added, p99", "us", medians[1].1 - medians[0].1);
    Ok(())
}
