//! One connection to one router: hello, then states and load as they change, and the outcomes of commands.

use std::{sync::Arc, time::Duration};

use cloudach_proto::v1::{GpuReport, Hello, Load, SidecarReport, fleet_client::FleetClient, sidecar_report::Report};
use cloudach_service::{address::Address, grpc::Dial};
use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tracing::info;

use super::Commands;
use crate::{gpu::Snapshot, metrics::Metrics, sidecar::Sidecar, state::States};

/// Reports on their way to a router. When they do not leave, newer ones replace them anyway.
const REPORTS_AHEAD: usize = 8;

/// Load is told at most this often,
const LOAD_AT_MOST_EVERY: Duration = Duration::from_millis(100);

/// and at least this often.
const LOAD_AT_LEAST_EVERY: Duration = Duration::from_secs(1);

/// Commands that are carried out at the same time, for one router. More are refused.
const COMMANDS_AT_ONCE: usize = 16;

#[derive(Debug, thiserror::Error)]
pub(super) enum Detached {
    #[error(transparent)]
    Unreachable(#[from] tonic::transport::Error),
    #[error("{}", .0.message())]
    Broken(#[from] Status),
}

/// Attaches to the router and reports until one side ends it.
pub(super) async fn run(
    sidecar: &Arc<Sidecar>,
    commands: &Commands,
    way: &Dial,
    router: &Address,
    hello: Hello,
) -> Result<(), Detached> {
    let mut fleet = FleetClient::new(way.now().await?);
    let (reports, outgoing) = mpsc::channel(REPORTS_AHEAD);
    let report = |report| SidecarReport { report: Some(report) };
    // The channel is empty: the router answers the call only after it has read this.
    let _ = reports.try_send(report(Report::Hello(hello)));

    let mut states = sidecar.states.subscribe();
    let first = States::report(&states.borrow_and_update());
    let _ = reports.try_send(report(Report::Model(first)));
    let _ = reports.try_send(report(Report::Load(sidecar.load())));

    let mut orders = fleet.attach(ReceiverStream::new(outgoing)).await?.into_inner();
    info!(%router, "attached to the router");
    let _attached = Attached::new(&sidecar.metrics);

    let mut open = sidecar.flights.open();
    let mut gpus = sidecar.gpus.subscribe();
    // Told now, if there are any.
    gpus.mark_changed();
    let mut figures = sidecar.figures.subscribe();
    let mut told = Told { load: sidecar.load(), at: Instant::now() };
    let mut carrying_out = FuturesUnordered::new();
    loop {
        let next = tokio::select! {
            order = orders.message() => match order? {
                Some(order) if carrying_out.len() < COMMANDS_AT_ONCE => {
                    carrying_out.push(commands.carry_out(sidecar, order));
                    continue;
                }
                Some(order) => Report::Outcome(Commands::refused(order.command_id, "too many commands at once")),
                None => return Ok(()),
            },
            Some(outcome) = carrying_out.next(), if !carrying_out.is_empty() => Report::Outcome(outcome),
            Ok(()) = states.changed() => Report::Model(States::report(&states.borrow_and_update())),
            Ok(()) = gpus.changed() => match gpu_report(&gpus.borrow_and_update()) {
                Some(report) => Report::Gpus(report),
                None => continue,
            },
            () = sleep_until(told.due(&sidecar.load())) => Report::Load(told.renew(sidecar.load())),
            // When load is due is another question now.
            Ok(()) = open.changed() => continue,
            Ok(()) = figures.changed() => continue,
        };
        // What came of a command is told before the command's outcome.
        if matches!(next, Report::Outcome(_)) && states.has_changed().unwrap_or(false) {
            let state = Report::Model(States::report(&states.borrow_and_update()));
            if reports.send(report(state)).await.is_err() {
                return Ok(());
            }
        }
        if reports.send(report(next)).await.is_err() {
            return Ok(());
        }
    }
}

/// Nothing is said of GPUs where there are none.
fn gpu_report(gpus: &[Snapshot]) -> Option<GpuReport> {
    (!gpus.is_empty()).then(|| GpuReport { gpus: gpus.iter().map(Snapshot::report).collect() })
}

/// What the router was told last.
struct Told {
    load: Load,
    at: Instant,
}

impl Told {
    /// When the router is to be told again, the load being this now.
    fn due(&self, now: &Load) -> Instant {
        let same = self.load == Load { completion_tokens: self.load.completion_tokens, ..now.clone() };
        self.at + if same { LOAD_AT_LEAST_EVERY } else { LOAD_AT_MOST_EVERY }
    }

    fn renew(&mut self, load: Load) -> Load {
        *self = Self { load: load.clone(), at: Instant::now() };
        load
    }
}

/// Counts a router as attached while it is.
struct Attached<'a>(&'a Metrics);

impl<'a> Attached<'a> {
    fn new(metrics: &'a Metrics) -> Self {
        metrics.routers_attached.inc();
        Self(metrics)
    }
}

impl Drop for Attached<'_> {
    fn drop(&mut self) {
        self.0.routers_attached.dec();
    }
}
