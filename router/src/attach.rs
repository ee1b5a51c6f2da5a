//! Fleet.Attach: takes the sidecars' reports into the fleet for as long as they stay connected.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use cloudach_proto::{
    session::client::Peer,
    v1::{Hello, RouterCommand, SidecarReport, fleet_server, sidecar_report::Report},
};
use cloudach_service::{address::Address, grpc::Dial, stop::Running, tls::Certificates};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout, timeout_at},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use tracing::info;

use crate::{
    fleet::{Fleet, Replica},
    placement::conduct::Placement,
};

/// A sidecar reports its load every second; one that is silent for this long is gone.
const SILENCE: Duration = Duration::from_secs(10);

/// Commands that may wait for a sidecar to read them.
const COMMANDS: usize = 16;

/// Serves Fleet.
#[derive(Debug)]
pub struct Attach {
    pub fleet: Arc<Fleet>,
    pub placement: Arc<Placement>,
    pub running: Running,
    /// For those that are dialled.
    pub certificates: Option<Arc<Certificates>>,
}

#[tonic::async_trait]
impl fleet_server::Fleet for Attach {
    type AttachStream = ReceiverStream<Result<RouterCommand, Status>>;

    async fn attach(&self, request: Request<Streaming<SidecarReport>>) -> Result<Response<Self::AttachStream>, Status> {
        let from = request.remote_addr();
        let mut reports = request.into_inner();
        let hello = first(&mut reports).await?;
        let (commands, stream) = mpsc::channel(COMMANDS);
        let replica = self.admit(hello, from, commands.clone())?;
        let (fleet, placement) = (self.fleet.clone(), self.placement.clone());
        let kill = self.running.kill.clone();
        self.running.background.spawn(async move {
            let following = follow(&fleet, &placement, &replica, reports);
            let why = kill.run_until_cancelled(following).await.unwrap_or_else(|| "this router stops".to_owned());
            info!(replica = replica.name, why, "replica left");
            fleet.leave(&replica);
            // The stream of commands ends, also while the replica serves requests that go on.
            let _ = commands.try_send(Err(Status::unavailable("the router no longer follows this replica")));
            drop(commands);
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

impl Attach {
    fn admit(
        &self,
        hello: Hello,
        from: Option<SocketAddr>,
        commands: mpsc::Sender<Result<RouterCommand, Status>>,
    ) -> Result<Arc<Replica>, Status> {
        if hello.replica.is_empty() {
            return Err(Status::invalid_argument("the hello names no replica"));
        }
        let address = reachable(&hello.address, from).map_err(Status::invalid_argument)?;
        let way = Dial::to(&address, self.certificates.as_ref());
        let way = way.map_err(|error| Status::invalid_argument(error.to_string()))?;
        info!(replica = hello.replica, %address, dialect = hello.dialect, version = hello.version, "replica attached");
        let peer = Peer::connect(|| way.lazily(), &self.running.background, &self.running.kill);
        let replica = Arc::new(Replica::new(hello, peer, commands));
        self.placement.left(&replica.name);
        self.fleet.join(replica.clone());
        Ok(replica)
    }
}

async fn first(reports: &mut Streaming<SidecarReport>) -> Result<Hello, Status> {
    let first = timeout(SILENCE, reports.message()).await;
    match first.map_err(|_| Status::deadline_exceeded("no hello came"))?? {
        Some(SidecarReport { report: Some(Report::Hello(hello)) }) => Ok(hello),
        _ => Err(Status::invalid_argument("the first report must be a hello")),
    }
}

/// Follows the reports until they end and says why they did.
async fn follow(
    fleet: &Fleet,
    placement: &Placement,
    replica: &Replica,
    mut reports: Streaming<SidecarReport>,
) -> String {
    let mut connection = replica.peer.changes();
    let mut silent_at = Instant::now() + SILENCE;
    loop {
        let report = tokio::select! {
            report = timeout_at(silent_at, reports.message()) => report,
            Ok(()) = connection.changed() => {
                fleet.connection_changed();
                continue;
            }
        };
        let report = match report {
            Ok(Ok(Some(report))) => report,
            Ok(Ok(None)) => return "it detached".to_owned(),
            Ok(Err(error)) => return error.message().to_owned(),
            Err(_) => return format!("it was silent for {SILENCE:?}"),
        };
        silent_at = Instant::now() + SILENCE;
        match report.report {
            Some(Report::Load(load)) => {
                replica.report(load);
                fleet.make_room();
            }
            Some(Report::Model(state)) => {
                info!(
                    replica = replica.name,
                    model = state.model,
                    phase = state.phase().as_str_name(),
                    detail = state.detail,
                    "model state"
                );
                fleet.model_state(replica, state);
            }
            Some(Report::Gpus(report)) => replica.report_gpus(report.gpus),
            Some(Report::Outcome(outcome)) => {
                placement.outcome(&replica.name, outcome);
                // Who waits for the model is to hear of it.
                fleet.command_ended();
            }
            // A second hello changes nothing; a report of a newer version is not understood.
            Some(Report::Hello(_)) | None => {}
        }
    }
}

/// Where the sidecar can be dialled. One that listens on all interfaces is reached where it came from.
fn reachable(advertised: &str, from: Option<SocketAddr>) -> Result<Address, String> {
    let address: Address = advertised.parse().map_err(|error| format!("{error}"))?;
    let Address::Tcp(text) = &address else { return Ok(address) };
    match (text.parse::<SocketAddr>(), from) {
        (Ok(wildcard), Some(from)) if wildcard.ip().is_unspecified() => {
            Ok(Address::Tcp(SocketAddr::new(from.ip(), wildcard.port()).to_string()))
        }
        _ => Ok(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_is_replaced_by_where_the_sidecar_came_from() {
        let from = Some("10.1.2.3:55555".parse().unwrap());
        let reached = |advertised: &str| reachable(advertised, from).map(|address| address.to_string());
        assert_eq!(reached("0.0.0.0:7002"), Ok("10.1.2.3:7002".to_owned()));
        assert_eq!(reached("[::]:7002"), Ok("10.1.2.3:7002".to_owned()));
        assert_eq!(reached("gpu-7:7002"), Ok("gpu-7:7002".to_owned()));
        assert_eq!(reached("unix:/run/s.sock"), Ok("unix:/run/s.sock".to_owned()));
        assert!(reached("nonsense").is_err());
    }
}
