//! Streams that are open and say nothing, as most are at most times: what each holds of memory. All finish in the end.

use std::{
    net::SocketAddr,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use rustix::thread::UnshareFlags;
use tokio::{
    task::JoinSet,
    time::{sleep, sleep_until},
};

use super::{Measures, cost};
use crate::{
    figure::Figures,
    rig::{Layout, Place, Replicas, Rig, Target},
    wire::{Connection, Request, Streamed},
};

/// Opened at once: as many as a listening socket lets wait.
const TOGETHER: usize = 64;

/// In which a mostly idle gateway is looked at.
const QUIET: Duration = Duration::from_secs(2);

/// The scenario with more of them than one process may have descriptors: so many, over so many edges and as many sidecars.
const MANY: usize = 50_000;
const WIDE: usize = 3;

/// How long a stream lasts: longer than it takes to open all of them, so much for each, on a machine with other work too.
const EACH: Duration = Duration::from_millis(1);
const EACH_OF_MANY: Duration = Duration::from_millis(2);

#[expect(clippy::cast_precision_loss, reason = "some ten thousands")]
fn lasts(streams: usize, each: Duration) -> Duration {
    Duration::from_secs(10) + each.mul_f64(streams as f64)
}

fn request(time: Duration) -> Request {
    let text = format!("Think it over. [[tokens=2]][[eos=false]][[delay={}ms]]", time.as_millis());
    Target::Gateway.request(&text, true)
}

/// So many streams, of which each process holds all.
pub async fn measure(rig: &Rig, measures: &Measures, figures: &mut Figures) -> Result<()> {
    let time = lasts(measures.idle, EACH);
    let before = residents(rig)?;
    let begun = Instant::now();
    let streams = open(rig.edge_addresses[0], measures.idle, &request(time)).await?;
    ensure!(begun.elapsed() < time, "the first streams ended before the last was open: {:?}", begun.elapsed());
    look(rig, "idle", measures.idle, &before, figures).await?;
    finish(streams, begun + time).await
}

/// More of them than a process may open descriptors. Each of the edges, sidecars and engines has its part; and so have threads
/// of this process, each with a table of descriptors of its own.
pub async fn measure_many(place: &Place, figures: &mut Figures) -> Result<()> {
    let replicas = Replicas::Engines(WIDE);
    let rig = Rig::start(place, &Layout { edges: WIDE, replicas, ..Layout::PLAIN }).await?;
    match many(&rig, figures).await {
        Ok(()) => rig.stop(),
        Err(error) => Err(error.context(format!("logs are in {}", rig.keep().display()))),
    }
}

async fn many(rig: &Rig, figures: &mut Figures) -> Result<()> {
    rig.all_ready(WIDE as u64).await?;
    let (time, before) = (lasts(MANY, EACH_OF_MANY), residents(rig)?);
    let (begun, (opened, all_opened)) = (Instant::now(), mpsc::channel());
    let holders: Vec<_> = rig
        .edge_addresses
        .iter()
        .enumerate()
        .map(|(number, edge)| {
            let streams = MANY / WIDE + usize::from(number < MANY % WIDE);
            let (edge, opened) = (*edge, opened.clone());
            thread::spawn(move || hold(edge, streams, begun + time, &opened))
        })
        .collect();
    // A holder that fails drops its end.
    drop(opened);
    let all_open = tokio::task::spawn_blocking(move || all_opened.iter().take(WIDE).sum::<usize>()).await?;
    if all_open == MANY {
        ensure!(begun.elapsed() < time, "the first streams ended before the last was open: {:?}", begun.elapsed());
        look(rig, "idle-50k", MANY, &before, figures).await?;
    }
    for holder in holders {
        let joined = tokio::task::spawn_blocking(|| holder.join()).await?;
        joined.map_err(|_| anyhow::anyhow!("a thread of streams panicked"))??;
    }
    Ok(())
}

/// Opens streams, says so, and reads them when they are over.
fn hold(edge: SocketAddr, streams: usize, until: Instant, opened: &mpsc::Sender<usize>) -> Result<()> {
    #[expect(
        deprecated,
        reason = "what is opened from here on is used by this thread alone, and the other way needs `unsafe`"
    )]
    rustix::thread::unshare(UnshareFlags::FILES).context("no table of descriptors of its own")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let time = until.saturating_duration_since(Instant::now());
        let streams = open(edge, streams, &request(time)).await?;
        opened.send(streams.len())?;
        finish(streams, until).await
    })
}

async fn open(edge: SocketAddr, count: usize, request: &Request) -> Result<Vec<(Connection, Streamed)>> {
    let mut streams = Vec::with_capacity(count);
    while streams.len() < count {
        let mut opening = JoinSet::new();
        for _ in 0..TOGETHER.min(count - streams.len()) {
            let (mut connection, request) = (Connection::open(edge).await?, request.clone());
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
    Ok(streams)
}

/// Notes what all that are open hold, and what they cost while they say nothing.
#[expect(clippy::cast_precision_loss, reason = "figures for people")]
async fn look(rig: &Rig, scenario: &str, streams: usize, before: &[Resident], figures: &mut Figures) -> Result<()> {
    sleep(Duration::from_secs(1)).await;
    for ((service, after), (_, before)) in residents(rig)?.iter().zip(before) {
        let each = (after - before).max(0.0) / streams as f64;
        figures.note(scenario, &format!("{service}, of each stream"), "KiB", each);
        figures.note(scenario, &format!("{service}, RSS with all"), "MiB", after / 1024.0);
    }
    let cpu = rig.cpu()?;
    sleep(QUIET).await;
    let used = rig.cpu()?.saturating_sub(cpu).as_secs_f64() / QUIET.as_secs_f64();
    figures.note(scenario, "processor time, of a core", "%", used * 100.0);
    Ok(())
}

/// Each is to have come to its end, whole.
async fn finish(streams: Vec<(Connection, Streamed)>, until: Instant) -> Result<()> {
    sleep_until(until.into()).await;
    for (mut connection, mut streamed) in streams {
        while !streamed.ended {
            connection.follow(&mut streamed).await?;
        }
        ensure!(streamed.tokens >= Some(2), "a stream of 2 tokens says that it had {:?}", streamed.tokens);
    }
    Ok(())
}

/// KiB of a service's processes together.
type Resident = (&'static str, f64);

fn residents(rig: &Rig) -> Result<Vec<Resident>> {
    cost::by_service(rig, crate::process::Process::resident)
}
