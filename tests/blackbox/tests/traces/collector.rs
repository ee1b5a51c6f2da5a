//! A collector of a test's own: takes spans by OTLP over gRPC and HTTP, slowly where it is told to, and can go away and
//! come back.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::HeaderMap;
use cloudach_blackbox::{eventually, runtime};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value as Any};
use opentelemetry_proto::tonic::trace::v1::{Span as Sent, status::StatusCode};
use prost::Message;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::time::sleep;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// What a busy machine needs to send spans.
const SOON: Duration = Duration::from_secs(20);

/// A span as it came.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    pub service: String,
    pub name: String,
    pub trace: String,
    pub id: String,
    /// Empty: it has none.
    pub parent: String,
    pub kind: i32,
    pub attributes: Value,
    /// Names and attributes, in order.
    pub events: Vec<(String, Value)>,
    /// Why it failed, if it did.
    pub error: Option<String>,
    pub sampled: bool,
    pub state: String,
    pub start: u64,
    pub end: u64,
}

#[derive(Debug, Default)]
struct Taken {
    spans: Vec<Span>,
    /// Of each call: what was sent beside the spans.
    headers: Vec<Vec<(String, String)>>,
    resources: Vec<Value>,
}

/// A collector, running or not.
#[derive(Debug, Clone)]
pub struct Collector {
    pub address: SocketAddr,
    taken: Arc<Mutex<Taken>>,
    /// How long each call takes, in milliseconds.
    delay: Arc<AtomicU64>,
    /// With all its connections; none while it is away.
    serving: Arc<Mutex<Option<Runtime>>>,
}

impl Collector {
    /// One that takes gRPC.
    pub fn start() -> Self {
        let collector = Self::nowhere();
        collector.clone().come_back_at(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// One that takes HTTP, at `/v1/traces`.
    pub fn start_http() -> Self {
        let mut collector = Self::nowhere();
        let listener = runtime().block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        collector.address = listener.local_addr().unwrap();
        let taking = collector.clone();
        let route = axum::routing::post(move |headers: HeaderMap, body: Bytes| async move {
            let named = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
            let headers =
                ["content-type", "x-tenant", "authorization"].map(|name| (name.to_owned(), named(name).to_owned()));
            taking.take(ExportTraceServiceRequest::decode(body).unwrap(), headers.to_vec()).await;
            ExportTraceServiceResponse::default().encode_to_vec()
        });
        let routes = axum::Router::new().route("/v1/traces", route);
        runtime().spawn(async move { axum::serve(listener, routes).await.unwrap() });
        collector
    }

    fn nowhere() -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        Self { address, taken: Arc::default(), delay: Arc::default(), serving: Arc::default() }
    }

    /// Takes nothing any more, until it comes back.
    pub fn go_away(&self) {
        self.serving.lock().unwrap().take().unwrap().shutdown_background();
        eventually(SOON, "nobody listens", || std::net::TcpStream::connect(self.address).is_err());
    }

    /// Takes gRPC again, where it did before.
    pub fn come_back(&self) {
        self.clone().come_back_at(self.address);
    }

    fn come_back_at(mut self, address: SocketAddr) -> Self {
        let own = Runtime::new().unwrap();
        let listener = own.block_on(TcpListener::bind(address)).unwrap();
        self.address = listener.local_addr().unwrap();
        let service = TraceServiceServer::new(self.clone());
        let serving = tonic::transport::Server::builder().add_service(service);
        let incoming = TcpListenerStream::new(listener);
        own.spawn(async move { serving.serve_with_incoming(incoming).await.unwrap() });
        *self.serving.lock().unwrap() = Some(own);
        self
    }

    /// From now on each call takes so long.
    pub fn slow_down(&self, delay: Duration) {
        self.delay.store(u64::try_from(delay.as_millis()).unwrap(), Relaxed);
    }

    /// All spans that have come.
    pub fn spans(&self) -> Vec<Span> {
        self.taken().spans.clone()
    }

    /// Those of one trace, once so many are there.
    pub fn trace(&self, trace: &str, spans: usize) -> Vec<Span> {
        let of = || self.spans().into_iter().filter(|span| span.trace == trace).collect::<Vec<_>>();
        let mut last = of();
        let all = cloudach_blackbox::holds_within(SOON, || {
            last = of();
            last.len() >= spans
        });
        assert!(all, "{spans} spans were to come of {trace}:\n{}", super::tree::draw(&last));
        last
    }

    /// What was sent beside the spans, and what processes said of themselves.
    pub fn beside(&self) -> (Vec<Vec<(String, String)>>, Vec<Value>) {
        let taken = self.taken();
        (taken.headers.clone(), taken.resources.clone())
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap()
    }

    async fn take(&self, request: ExportTraceServiceRequest, headers: Vec<(String, String)>) {
        sleep(Duration::from_millis(self.delay.load(Relaxed))).await;
        let mut taken = self.taken();
        taken.headers.push(headers);
        for sent in request.resource_spans {
            let resource = attributes(&sent.resource.unwrap_or_default().attributes);
            let service = resource["service.name"].as_str().unwrap_or_default().to_owned();
            let spans = sent.scope_spans.iter().flat_map(|scope| &scope.spans);
            taken.spans.extend(spans.map(|span| read(&service, span)));
            taken.resources.push(resource);
        }
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let named = |name: &str| request.metadata().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let headers = ["x-tenant", "authorization"].map(|name| (name.to_owned(), named(name).to_owned()));
        self.take(request.into_inner(), headers.to_vec()).await;
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn read(service: &str, span: &Sent) -> Span {
    let status = span.status.clone().unwrap_or_default();
    Span {
        service: service.to_owned(),
        name: span.name.clone(),
        trace: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        kind: span.kind,
        attributes: attributes(&span.attributes),
        events: span.events.iter().map(|event| (event.name.clone(), attributes(&event.attributes))).collect(),
        error: (status.code == i32::from(StatusCode::Error)).then_some(status.message),
        sampled: span.flags & 1 != 0,
        state: span.trace_state.clone(),
        start: span.start_time_unix_nano,
        end: span.end_time_unix_nano,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn attributes(list: &[KeyValue]) -> Value {
    list.iter().map(|entry| (entry.key.clone(), value(entry.value.as_ref()))).collect::<serde_json::Map<_, _>>().into()
}

fn value(value: Option<&AnyValue>) -> Value {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Any::StringValue(text)) => json!(text),
        Some(Any::BoolValue(flag)) => json!(flag),
        Some(Any::IntValue(number)) => json!(number),
        Some(Any::DoubleValue(number)) => json!(number),
        Some(Any::ArrayValue(list)) => list.values.iter().map(|entry| self::value(Some(entry))).collect(),
        other => json!(format!("{other:?}")),
    }
}
