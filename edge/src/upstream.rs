//! The routers: sends each request to one that is connected and has replicas for it.

mod answering;
pub mod generating;
mod spread;

use std::{sync::Arc, time::Duration};

use cloudach_proto::{
    session::{
        Refused,
        client::{Events, Peer},
    },
    v1::{ErrorCode, Failed, GenerateRequest},
};
use cloudach_service::{
    address::Address,
    grpc::Dial,
    stop::Running,
    trace::{Span, names},
};
use futures_util::future::select_all;
use parking_lot::Mutex;
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use self::spread::Router;
use crate::{catalog::Catalog, error::ApiError};

/// How long after the loss of the last router requests wait for another one. Who replaces routers one after the other may stop
/// the last before every edge has found the one before it again, which it tries every two seconds at the least. A fleet
/// that is away for longer is told of at once.
pub const WITHIN: Duration = Duration::from_secs(5);

/// The name of the condition that the edge's readiness waits for.
const CONNECTED: &str = "router connected";

/// All routers that this edge knows.
#[derive(Debug)]
pub struct Upstream {
    routers: Arc<[Peer]>,
    names: Vec<String>,
    /// Since when no router is connected, where that is so.
    alone: Arc<Mutex<Option<Instant>>>,
    kill: CancellationToken,
}

impl Upstream {
    /// Connects to every router, by the ways to their addresses, and stays connected.
    pub fn connect(addresses: &[Address], ways: &[Dial], running: &Running) -> Self {
        let connect = |way: &Dial| Peer::connect(|| way.lazily(), &running.background, &running.kill);
        let routers: Arc<[Peer]> = ways.iter().map(connect).collect();
        running.ready.set(CONNECTED, false);
        let alone = Arc::new(Mutex::new(Some(Instant::now())));
        let watching = watch(routers.clone(), alone.clone(), running.clone());
        running.background.spawn(running.kill.clone().run_until_cancelled_owned(watching));
        let names = addresses.iter().map(ToString::to_string).collect();
        Self { routers, names, alone, kill: running.kill.clone() }
    }

    /// How many routers take requests, whenever that is asked.
    pub fn count(&self) -> impl Fn() -> usize + use<> {
        let routers = self.routers.clone();
        move || routers.iter().filter(|router| router.takes_requests().is_ok()).count()
    }

    /// Waits until a router is connected, for as long as one may be on its way: where none is, what follows says so.
    pub async fn connected(&self) {
        if is_connected(&self.routers) {
            return;
        }
        let mut changes: Vec<_> = self.routers.iter().map(Peer::changes).collect();
        let connected = async { while !is_connected(&self.routers) && changed(&mut changes).await {} };
        let _ = timeout_at(self.expected(), self.kill.run_until_cancelled(connected)).await;
    }

    /// Until when another router may be on its way.
    fn expected(&self) -> Instant {
        self.alone.lock().unwrap_or_else(Instant::now) + WITHIN
    }

    /// Starts a generation at one router. Dropping the events ends it.
    ///
    /// A router that has just started knows no replicas yet and is idle; `catalog` tells it from one that is idle
    /// because nobody asks.
    ///
    /// # Errors
    /// No router takes it now, or it is too large for any.
    fn generate(&self, request: GenerateRequest, catalog: &Catalog, span: &mut Span) -> Result<Events, ApiError> {
        let beginning = spread::beginning(&request);
        let (index, router) = self.pick(&request.model, beginning, catalog, None)?;
        span.set_text(names::ROUTER, &self.names[index]);
        router.generate(request).map_err(|refused| match refused {
            Refused::TooLarge(_) => {
                ApiError::Upstream(Failed::new(ErrorCode::InvalidRequest, "The request is too large."))
            }
            Refused::Full => ApiError::Full,
            Refused::Broken | Refused::Draining => ApiError::NoRouter,
        })
    }

    /// One that is connected, with its place; not this one where there is another.
    fn pick(
        &self,
        model: &str,
        beginning: Option<u64>,
        catalog: &Catalog,
        but: Option<usize>,
    ) -> Result<(usize, &Peer), ApiError> {
        let connected = self.routers.iter().enumerate().filter(|(_, router)| router.takes_requests().is_ok());
        let mut connected: Vec<_> = connected.collect();
        if connected.len() > 1 {
            connected.retain(|(index, _)| but != Some(*index));
        }
        let seen: Vec<_> = connected
            .iter()
            .map(|(index, router)| Router {
                name: &self.names[*index],
                open_requests: router.open_requests(),
                serves: catalog.is_served_by(*index, model),
            })
            .collect();
        spread::choose(&seen, beginning).map(|at| connected[at]).ok_or(ApiError::NoRouter)
    }
}

/// Keeps the edge's readiness true to whether a router is connected.
async fn watch(routers: Arc<[Peer]>, alone: Arc<Mutex<Option<Instant>>>, running: Running) {
    let mut changes: Vec<_> = routers.iter().map(Peer::changes).collect();
    loop {
        let connected = is_connected(&routers);
        running.ready.set(CONNECTED, connected);
        {
            let mut since = alone.lock();
            *since = if connected { None } else { since.or_else(|| Some(Instant::now())) };
        }
        if !changed(&mut changes).await {
            return;
        }
    }
}

fn is_connected(routers: &[Peer]) -> bool {
    routers.iter().any(|router| router.takes_requests().is_ok())
}

/// Waits until a session to one of them connects or breaks. False: none ever will again.
async fn changed(changes: &mut [watch::Receiver<u64>]) -> bool {
    select_all(changes.iter_mut().map(|changes| Box::pin(changes.changed()))).await.0.is_ok()
}
