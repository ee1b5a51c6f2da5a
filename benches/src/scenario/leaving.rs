//! Clients that leave in the middle of their streams: how long their work goes on in the engine.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use hdrhistogram::Histogram;

use super::BOTH;
use crate::{figure::Figures, rig::Rig, wire::Streamed};

const CLIENTS: usize = 50;

/// It should be milliseconds.
const MOST: Duration = Duration::from_secs(5);

pub async fn measure(rig: &Rig, figures: &mut Figures) -> Result<()> {
    for (target, name) in BOTH {
        let request = target.request("Count to 20,000. [[tokens=20000]][[delay=20ms]]", true);
        let mut times = Histogram::<u64>::new(3)?;
        for _ in 0..CLIENTS {
            let mut connection = rig.connect(target).await?;
            connection.begin(&request).await?;
            let mut streamed = Streamed::default();
            while streamed.events < 2 {
                connection.follow(&mut streamed).await?;
            }
            drop(connection);
            let left = Instant::now();
            while rig.engine_running().await? > 0 {
                ensure!(left.elapsed() < MOST, "the engine works on for a client that has left");
            }
            times.record(u64::try_from(left.elapsed().as_micros())?)?;
        }
        #[expect(clippy::cast_precision_loss, reason = "figures for people")]
        for (quantile, what) in [(0.5, "p50"), (1.0, "most")] {
            let millis = times.value_at_quantile(quantile) as f64 / 1e3;
            figures.note("leaving", &format!("{name}, engine idle after, {what}"), "ms", millis);
        }
    }
    Ok(())
}
