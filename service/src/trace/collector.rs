//! The way to the collector: OTLP by gRPC or HTTP, by OpenTelemetry's own exporter.

use std::{collections::HashMap, env, sync::Arc};

use opentelemetry::{KeyValue, Value};
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_otlp::{
    ExporterBuildError, RetryPolicy, SpanExporter, WithExportConfig, WithHttpConfig, WithTonicConfig,
};
use opentelemetry_sdk::{
    Resource,
    trace::{SpanData, SpanExporter as _},
};
use rustls::crypto::ring;
use tokio::sync::mpsc;
use tonic::metadata::{MetadataKey, MetadataMap, MetadataValue};
use tracing::info;

use super::{
    TraceMetrics, Tracer,
    config::{InvalidTracing, Protocol, Settings, Tracing},
    queue::Queue,
    ratio::bound,
    recorder::Recorder,
};
use crate::{secret::SecretError, stop::Running};

/// Why there are no traces although some are wanted.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    #[error(transparent)]
    Invalid(#[from] InvalidTracing),
    #[error("the header `{name}` of `tracing.headers` has no value: {source}")]
    Secret { name: String, source: SecretError },
    #[error("`tracing.headers` has `{0}`, which is no header")]
    Header(String),
    #[error("the system's roots of trust cannot be read: {0}")]
    Roots(std::io::Error),
    #[error("`tracing` is of no use: {0}")]
    Exporter(#[from] ExporterBuildError),
}

impl Tracer {
    /// Begins to send spans for a service of this name, or to remember them; `more` is said of the process beside what is
    /// configured. Where neither is wanted, one that records nothing.
    ///
    /// # Errors
    /// Names the setting. That the collector is away is none.
    pub fn start(
        tracing: &Tracing,
        service: &str,
        more: &[(&'static str, String)],
        metrics: &TraceMetrics,
        running: &Running,
    ) -> Result<Self, TraceError> {
        let Some(settings) = tracing.settings(service, |name| env::var(name).ok())? else { return Ok(Self::off()) };
        let out = match &settings.endpoint {
            Some(endpoint) => {
                info!(endpoint, ratio = settings.ratio, service = settings.service_name, "traces are sent");
                Some(send(tracing, endpoint, &settings, more, metrics, running)?)
            }
            None => None,
        };
        let recent = (tracing.remembered() > 0).then(|| {
            info!(bytes = tracing.remembered(), service = settings.service_name, "traces are remembered");
            tracing.recent.hold(tracing.remembered());
            (tracing.recent.clone(), Arc::from(settings.service_name.as_str()))
        });
        Ok(Self(Some(Arc::new(Recorder {
            out,
            recent,
            metrics: metrics.clone(),
            bound: bound(settings.ratio),
            follow: tracing.follow,
            slow: tracing.slow,
            slow_first_token: tracing.slow_first_token,
            stall: tracing.stall,
        }))))
    }
}

/// Begins to send what comes to the queue.
fn send(
    tracing: &Tracing,
    endpoint: &str,
    settings: &Settings,
    more: &[(&'static str, String)],
    metrics: &TraceMetrics,
    running: &Running,
) -> Result<mpsc::Sender<SpanData>, TraceError> {
    let mut exporter = exporter(tracing, endpoint, settings)?;
    exporter.set_resource(&resource(settings, more));
    let (out, spans) = mpsc::channel(tracing.queue);
    let queue = Queue {
        batch: tracing.batch,
        every: tracing.every,
        timeout: settings.timeout,
        retry_for: tracing.retry_for,
        metrics: metrics.clone(),
    };
    let (requests, kill) = (running.requests.clone(), running.kill.clone());
    let stopping = async move {
        kill.cancelled().await;
        // The last ones end with the spans that say so.
        requests.wait().await;
    };
    running.background.spawn(queue.run(spans, exporter, stopping));
    Ok(out)
}

fn resource(settings: &Settings, more: &[(&'static str, String)]) -> Resource {
    let own = [("service.version", env!("CARGO_PKG_VERSION").to_owned())];
    let own = own.into_iter().chain(more.iter().cloned()).map(|(key, value)| KeyValue::new(key, Value::from(value)));
    // What is configured goes before what the process says of itself.
    let configured = settings.attributes.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    Resource::builder_empty()
        .with_attributes(own.chain(configured))
        .with_service_name(settings.service_name.clone())
        .build()
}

fn exporter(tracing: &Tracing, endpoint: &str, settings: &Settings) -> Result<SpanExporter, TraceError> {
    let headers = tracing.headers.iter().map(|(name, secret)| match secret.reveal() {
        Ok(value) => Ok((name.to_ascii_lowercase(), value)),
        Err(source) => Err(TraceError::Secret { name: name.clone(), source }),
    });
    let headers: HashMap<String, String> = headers.collect::<Result<_, _>>()?;
    // Trying again is the queue's: for longer, and within its bounds.
    let once = RetryPolicy::disabled();
    Ok(match settings.protocol {
        Protocol::Grpc => SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .with_protocol(opentelemetry_otlp::Protocol::Grpc)
            .with_timeout(settings.timeout)
            .with_metadata(metadata(headers)?)
            .with_retry_policy(once)
            .build()?,
        Protocol::HttpProtobuf => SpanExporter::builder()
            .with_http()
            .with_endpoint(endpoint)
            .with_protocol(opentelemetry_otlp::Protocol::HttpBinary)
            .with_timeout(settings.timeout)
            .with_headers(checked(headers)?)
            .with_http_client(HyperClient::new(connector()?, settings.timeout, None))
            .with_retry_policy(once)
            .build()?,
    })
}

type Connector = hyper_rustls::HttpsConnector<hyper_util::client::legacy::connect::HttpConnector>;

fn connector() -> Result<Connector, TraceError> {
    Ok(hyper_rustls::HttpsConnectorBuilder::new()
        .with_provider_and_native_roots(ring::default_provider())
        .map_err(TraceError::Roots)?
        .https_or_http()
        .enable_http1()
        .build())
}

fn metadata(headers: HashMap<String, String>) -> Result<MetadataMap, TraceError> {
    let mut metadata = MetadataMap::new();
    for (name, value) in headers {
        let (Ok(key), Ok(value)) = (MetadataKey::from_bytes(name.as_bytes()), MetadataValue::try_from(value)) else {
            return Err(TraceError::Header(name));
        };
        metadata.insert(key, value);
    }
    Ok(metadata)
}

/// The exporter would leave out what is no header.
fn checked(headers: HashMap<String, String>) -> Result<HashMap<String, String>, TraceError> {
    metadata(headers.clone()).map(|_| headers)
}
