//! The admin port: `/livez`, `/readyz`, `/metrics` and `/log`, and what else a service has for operators, apart from the port that
//! clients use.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Query, State, rejection::QueryRejection},
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::{logs, metrics::Exposition, ready::Readiness};

/// The longest level that is read, in bytes.
const MOST_LEVEL: usize = 4096;

/// The content type of the OpenMetrics text that is served.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The admin port cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on the admin address {address}: {source}")]
pub struct AdminError {
    address: SocketAddr,
    source: std::io::Error,
}

/// Opens the admin port and returns its server, to be run on a task, with `more` beside what all services have.
///
/// # Errors
/// When the address cannot be bound.
pub async fn bind_with(
    address: SocketAddr,
    ready: Readiness,
    metrics: Exposition,
    more: Router,
    end: CancellationToken,
) -> Result<impl Future<Output = ()>, AdminError> {
    let failed = |source| AdminError { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    info!(address = %bound, "admin port open");
    let routes = Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(readyz).with_state(ready))
        .route("/metrics", get(show_metrics).with_state(Arc::new(metrics)))
        .route("/log", get(show_level).put(change_level).layer(DefaultBodyLimit::max(MOST_LEVEL)))
        .merge(more);
    Ok(async move {
        let serving = axum::serve(listener, routes).with_graceful_shutdown(end.clone().cancelled_owned());
        // A scraper that keeps its connection open does not hold up the end.
        tokio::select! {
            _ = serving => {}
            () = logs::go_back() => {}
            () = end.cancelled() => {}
        }
    })
}

async fn show_level() -> String {
    logs::level() + "\n"
}

/// How long another level holds: `?for=10m`, which is also what holds where nothing is said.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct For {
    #[serde(rename = "for", default = "ten_minutes", with = "humantime_serde")]
    time: Duration,
}

fn ten_minutes() -> Duration {
    Duration::from_secs(10 * 60)
}

/// The body is the level.
async fn change_level(time: Result<Query<For>, QueryRejection>, level: String) -> (StatusCode, String) {
    let Ok(Query(For { time })) = time else {
        return (StatusCode::BAD_REQUEST, "say for how long as in ?for=10m\n".to_owned());
    };
    match logs::change(level.trim(), time) {
        Ok(()) => (StatusCode::OK, logs::level() + "\n"),
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")),
    }
}

async fn readyz(State(ready): State<Readiness>) -> impl IntoResponse {
    let waits_for = ready.waits_for();
    if waits_for.is_empty() {
        (StatusCode::OK, "ready\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}\n", waits_for.join(", ")))
    }
}

async fn show_metrics(State(metrics): State<Arc<Exposition>>) -> impl IntoResponse {
    // It may be megabytes: not on the threads of streams.
    match tokio::task::spawn_blocking(move || metrics.show()).await {
        Ok(Ok(page)) => (StatusCode::OK, [(header::CONTENT_TYPE, OPEN_METRICS)], page),
        Ok(Err(_)) | Err(_) => {
            (StatusCode::INTERNAL_SERVER_ERROR, [(header::CONTENT_TYPE, OPEN_METRICS)], String::new())
        }
    }
}
