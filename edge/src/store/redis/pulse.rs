//! The pulse: every second each edge says in a channel that it lives. Who hears it counts the edges, knows that what is
//! published reaches it, and makes the connections anew that have failed. Changes of documents come by the same channel.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use cloudach_service::backoff::Backoff;
use futures_util::StreamExt;
use redis::{RedisResult, aio::PubSub};
use tokio::{
    sync::broadcast,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};
use tracing::{debug, warn};

use super::{link::Link, topology::Topology, trouble};
use crate::{
    metrics::Call,
    store::{Change, Collection},
};

/// The channel.
pub const CHANNEL: &str = "cloudach:changes";

const BEAT: Duration = Duration::from_secs(1);

/// Who hears nothing for so long, not even itself, listens in vain.
const SILENCE: Duration = Duration::from_secs(3);

/// An edge that was not heard for so long is gone.
const GONE: Duration = Duration::from_secs(5);

/// More edges than this are not counted.
const MOST_EDGES: usize = 10_000;

const PAUSES: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1), Duration::from_secs(5));

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(2);

/// What the pulse keeps up to date. Clones share it.
#[derive(Debug, Clone)]
pub struct Heard {
    pub changes: broadcast::Sender<Change>,
    pub edges: Arc<AtomicU64>,
}

/// Keeps the connection: beats, and connects anew when it has failed.
pub async fn beat(topology: Arc<Topology>, link: Link, edge: String) {
    let mut backoff = PAUSES;
    let mut is_told = false;
    let message = format!("edge {edge}");
    loop {
        let begun = Instant::now();
        if !link.is_up() {
            let connected = match timeout(CONNECT, topology.connect(CONNECT)).await {
                Ok(connected) => connected.map_err(|error| trouble::why(&error)),
                Err(_) => Err("it takes too long".to_owned()),
            };
            match connected {
                Ok(wire) => {
                    link.connected(wire);
                    (backoff, is_told) = (PAUSES, false);
                }
                // Once for each time that it goes away.
                Err(error) if !is_told => {
                    warn!(error, "no connection to the store");
                    is_told = true;
                }
                Err(_) => {}
            }
        }
        if link.is_up() {
            // A failure is noted where it happens.
            let _ = link
                .call(Call::Pulse, |mut wire| {
                    let message = message.clone();
                    async move { redis::cmd("PUBLISH").arg(CHANNEL).arg(message).query_async::<()>(&mut wire).await }
                })
                .await;
        }
        if link.is_up() {
            tokio::select! {
                () = sleep(BEAT) => {}
                () = link.lost() => {}
            }
        } else {
            sleep(backoff.next(begun.elapsed())).await;
        }
    }
}

/// Listens, and listens anew when nothing is heard any more.
pub async fn listen(topology: Arc<Topology>, link: Link, heard: Heard) {
    let mut backoff = PAUSES;
    loop {
        let begun = Instant::now();
        match timeout(CONNECT, subscribe(&topology)).await {
            Ok(Ok(listening)) => {
                // What was published in between is lost.
                let _ = heard.changes.send(Change::Everything);
                hear(listening, &link, &heard).await;
            }
            Ok(Err(error)) => debug!(error = %error.category(), "cannot listen to the store"),
            Err(_) => debug!("listening to the store takes too long to begin"),
        }
        sleep(backoff.next(begun.elapsed())).await;
    }
}

async fn subscribe(topology: &Topology) -> RedisResult<PubSub> {
    let mut listening = topology.listen().await?;
    listening.subscribe(CHANNEL).await?;
    Ok(listening)
}

/// Returns when nothing is heard any more.
async fn hear(mut listening: PubSub, link: &Link, heard: &Heard) {
    let mut messages = listening.on_message();
    let mut edges: HashMap<String, Instant> = HashMap::new();
    let mut ticks = interval(BEAT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let begun = Instant::now();
    let mut last = begun;
    loop {
        tokio::select! {
            message = messages.next() => {
                let Some(message) = message else { return };
                last = Instant::now();
                let Ok(text) = message.get_payload::<String>() else { continue };
                match text.split_once(' ') {
                    Some(("edge", edge)) if edges.len() < MOST_EDGES || edges.contains_key(edge) => {
                        edges.insert(edge.to_owned(), last);
                    }
                    Some(("edge", _)) => {}
                    Some((name, id)) => {
                        let change = Collection::named(name).map(|named| Change::Document(named, id.to_owned()));
                        let _ = heard.changes.send(change.unwrap_or(Change::Everything));
                    }
                    None => {}
                }
            }
            now = ticks.tick() => {
                if now - last > SILENCE {
                    return;
                }
                // Its own beat is heard too, or the connection for calls has failed: then the last count stays. So it does
                // until everybody had the time to say something.
                if link.is_up() && now - begun > 2 * BEAT {
                    edges.retain(|_, beat| now - *beat < GONE);
                    let count = u64::try_from(edges.len()).unwrap_or(u64::MAX).max(1);
                    heard.edges.store(count, Ordering::Relaxed);
                    link.count_edges(count);
                }
            }
        }
    }
}
