//! The sidecar's side of `Fleet.Attach`: it dials every router, stays connected, reports, and obeys.

mod commands;
mod connection;
mod moves;

use std::{sync::Arc, time::Duration};

use cloudach_proto::v1::Hello;
use cloudach_service::{address::Address, backoff::Backoff, grpc::Dial};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

pub(crate) use self::commands::Commands;
use crate::sidecar::Sidecar;

/// Before a router is dialled again: one that is back is to be found within seconds.
const PAUSES: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(3), Duration::from_secs(5));

/// Stays attached to one router. Never returns.
pub(crate) async fn stay_attached(
    sidecar: Arc<Sidecar>,
    commands: Arc<Commands>,
    router: Address,
    way: Dial,
    hello: Hello,
) {
    let mut backoff = PAUSES;
    loop {
        let begun = Instant::now();
        match connection::run(&sidecar, &commands, &way, &router, hello.clone()).await {
            Ok(()) => info!(%router, "the router has closed the connection"),
            Err(error) => warn!(%router, %error, "not attached to the router"),
        }
        sleep(backoff.next_drawn(begun.elapsed(), random())).await;
    }
}

/// A draw from 0 to 1.
fn random() -> f64 {
    // Without randomness everybody comes back at the same time: a pity, not a failure.
    f64::from(getrandom::u32().unwrap_or(u32::MAX)) / f64::from(u32::MAX)
}
