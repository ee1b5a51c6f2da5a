//! Streams that are open and say nothing, as most are at most times: what each holds of memory. All finish in the end.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::{
    task::JoinSet,
    time::{sleep, sleep_until},
};

use super::Measures;
use crate::{
    figure::Figures,
    rig::{Rig, Target},
    wire::Streamed,
};

/// Opened at once: as many as a listening socket lets wait.
const TOGETHER: usize = 64;

/// How long a stream lasts: longer than it takes to open all of them.
fn lasts(streams: usize) -> Duration {
    Duration::from_secs(10) + Duration::from_millis(streams as u64)
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
pub async fn measure(rig: &Rig, measures: &Measures, figures: &mut Figures) -> Result<()> {
    let time = lasts(measures.idle);
    let request = Target::Gateway
        .request(&format!("Think it over. [[tokens=2]][[eos=false]][[delay={}ms]]", time.as_millis()), true);
    let before = residents(rig)?;
    let begun = Instant::now();
    let mut streams = Vec::with_capacity(measures.idle);
    while streams.len() < measures.idle {
        let mut opening = JoinSet::new();
        for _ in 0..TOGETHER.min(measures.idle - streams.len()) {
            let (mut connection, request) = (rig.connect(Target::Gateway).await?, request.clone());
            opening.spawn(async move {
                connection.begin(&request).await?;
                let mut streamed = Streamed::default();
                while streamed.events < 1 {
                    connection.follow(&mut streamed).await?;
                }
                anyhow::Ok((connection, streamed))
            });
        }
        while let Some(opened) = opening.join_next().await {
            streams.push(opened??);
        }
    }
    ensure!(begun.elapsed() < time, "the first streams ended before the last was open: {:?}", begun.elapsed());
    sleep(Duration::from_secs(1)).await;
    for ((process, before), after) in rig.gateway.iter().zip(before).zip(residents(rig)?) {
        let each = (after - before).max(0.0) / measures.idle as f64;
        figures.note("idle", &format!("{}, of each stream", process.name), "KiB", each);
        figures.note("idle", &format!("{}, RSS with all", process.name), "MiB", after / 1024.0);
    }
    let cpu = rig.cpu()?;
    let quiet = Duration::from_secs(2);
    sleep(quiet).await;
    let used = rig.cpu()?.saturating_sub(cpu).as_secs_f64() / quiet.as_secs_f64();
    figures.note("idle", "processor time, of a core", "%", used * 100.0);
    sleep_until((begun + time).into()).await;
    for (mut connection, mut streamed) in streams {
        while !streamed.ended {
            connection.follow(&mut streamed).await?;
        }
        ensure!(streamed.tokens >= Some(2), "a stream of 2 tokens says that it had {:?}", streamed.tokens);
    }
    Ok(())
}

fn residents(rig: &Rig) -> Result<Vec<f64>> {
    rig.gateway.iter().map(crate::process::Process::resident).collect()
}
