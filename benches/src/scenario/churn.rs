//! Clients that connect, ask one short streamed answer and go, and some that go in the middle: what a connection costs, and
//! whether anything of it is left behind.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use tokio::{task::JoinSet, time::sleep};

use super::{Measures, cost::Meter};
use crate::{
    figure::Figures,
    process::Process,
    rig::{Rig, Target},
    wire::{Connection, Request, Streamed},
};

/// Clients at once.
const AT_ONCE: usize = 32;

/// One of so many leaves in the middle.
const LEAVES: usize = 4;

/// How long what has been left may take to be gone.
const GONE: Duration = Duration::from_secs(5);

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
pub async fn measure(rig: &Rig, measures: &Measures, figures: &mut Figures) -> Result<()> {
    let mut note = figures.of("churn", "");
    // As many as are measured: allocators have then grown to what they need.
    come_and_go(rig, measures.time).await?;
    settle(rig, None).await?;
    let (sockets, before) = (each(rig, Process::sockets)?, each(rig, Process::resident)?);
    let meter = Meter::start(rig)?;
    let tally = come_and_go(rig, measures.time).await?;
    meter.note(rig, &mut note, "a connection", tally.connections as f64)?;
    settle(rig, Some(&sockets)).await?;
    note.figure("connections", "1/s", tally.connections as f64 / measures.time.as_secs_f64());
    note.figure("of them left in the middle", "%", tally.left as f64 / tally.connections.max(1) as f64 * 100.0);
    note.figure("failures", "", tally.failures as f64);
    let after = each(rig, Process::resident)?;
    for ((process, before), after) in rig.gateway.iter().zip(before).zip(after) {
        let each = (after - before) * 1024.0 / tally.connections as f64;
        note.figure(&format!("RSS of {}, more with each connection", process.name), "B", each);
    }
    for ((process, before), now) in rig.gateway.iter().zip(sockets).zip(each(rig, Process::sockets)?) {
        let more = now as f64 - before as f64;
        note.figure(&format!("sockets of {}, more than before", process.name), "", more);
        ensure!(more <= 0.0, "the {} has {more} more sockets open than before", process.name);
    }
    ensure!(tally.failures == 0, "{} of {} connections failed", tally.failures, tally.connections);
    Ok(())
}

/// What became of clients.
#[derive(Debug, Default)]
struct Tally {
    connections: usize,
    left: usize,
    failures: usize,
}

async fn come_and_go(rig: &Rig, time: Duration) -> Result<Tally> {
    let stays = Target::Gateway.request("What is the capital of France? [[tokens=4]]", true);
    let leaves = Target::Gateway.request("Count to 20,000. [[tokens=20000]][[delay=20ms]]", true);
    let (mut tally, mut clients) = (Tally::default(), JoinSet::new());
    let until = Instant::now() + time;
    loop {
        while clients.len() < AT_ONCE && Instant::now() < until {
            let leaves_early = tally.connections % LEAVES == LEAVES - 1;
            let request = if leaves_early { &leaves } else { &stays };
            clients.spawn(one(rig.edge_addresses[0], request.clone(), leaves_early));
            tally.connections += 1;
            tally.left += usize::from(leaves_early);
        }
        let Some(client) = clients.join_next().await else { return Ok(tally) };
        tally.failures += usize::from(client?.is_err());
    }
}

/// A client: it leaves after the second event, or reads to the end.
async fn one(edge: SocketAddr, request: Request, leaves_early: bool) -> Result<()> {
    let mut connection = Connection::open(edge).await?;
    connection.begin(&request).await?;
    let mut streamed = Streamed::default();
    let goes = |streamed: &Streamed| streamed.ended || leaves_early && streamed.events >= 2;
    while !goes(&streamed) {
        connection.follow(&mut streamed).await?;
    }
    ensure!(leaves_early || streamed.tokens >= Some(4), "a stream says that it had {:?} tokens", streamed.tokens);
    Ok(())
}

/// Waits until the engine is idle, and no more sockets are open than `before`.
async fn settle(rig: &Rig, before: Option<&Vec<usize>>) -> Result<()> {
    let begun = Instant::now();
    let fewer = |before: &Vec<usize>| {
        anyhow::Ok(each(rig, Process::sockets)?.iter().zip(before).all(|(now, before)| now <= before))
    };
    while begun.elapsed() < GONE {
        if rig.engine_running().await? == 0 && before.map_or(Ok(true), fewer)? {
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }
    ensure!(rig.engine_running().await? == 0, "the engine works on for clients that have left");
    // What a process closes a moment later is not of these.
    if before.is_none() {
        sleep(Duration::from_millis(500)).await;
    }
    Ok(())
}

fn each<T>(rig: &Rig, figure: impl Fn(&Process) -> Result<T>) -> Result<Vec<T>> {
    rig.gateway.iter().map(figure).collect()
}
