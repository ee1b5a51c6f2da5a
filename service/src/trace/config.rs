//! Where spans are sent, and which: the section `tracing` of every service's configuration.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;

use super::Recent;
use crate::secret::Secret;

const NO_URL: &str = "begins with neither `http://` nor `https://`";

/// It would stand in the log.
const IN_URL: &str = "has a password in it: say it in a header, `authorization`";

/// The most spans that may wait, whatever is asked for: about two gigabytes.
const MOST_QUEUE: usize = 1_000_000;

/// The most that is remembered, in bytes, whatever is asked for: it is looked through with each question.
const MOST_RECENT: usize = 1024 * 1024 * 1024;

/// Traces of requests, sent to an OpenTelemetry collector by OTLP. What is absent here is taken from OpenTelemetry's own
/// environment variables, where those are set.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tracing {
    /// The collector: `http://collector:4317` for gRPC, `http://collector:4318/v1/traces` for HTTP; `https` for TLS, with the
    /// system's roots. Absent: `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, or `OTEL_EXPORTER_OTLP_ENDPOINT`; if neither is set
    /// there are no traces, and they cost nothing.
    pub endpoint: Option<String>,
    /// How it is spoken to. Absent: `OTEL_EXPORTER_OTLP_TRACES_PROTOCOL`, `OTEL_EXPORTER_OTLP_PROTOCOL`, or gRPC.
    pub protocol: Option<Protocol>,
    /// Headers of each call, such as `authorization`; values are secrets. Those of `OTEL_EXPORTER_OTLP_TRACES_HEADERS`, or
    /// `OTEL_EXPORTER_OTLP_HEADERS`, are sent as well.
    pub headers: BTreeMap<String, Secret>,
    /// The name of this service. Absent: `OTEL_SERVICE_NAME`, or `cloudach-edge`, `cloudach-router` or `cloudach-sidecar`.
    pub service_name: Option<String>,
    /// What else is said of this process, such as `deployment.environment.name`. Beside `OTEL_RESOURCE_ATTRIBUTES`, and before
    /// them.
    pub attributes: BTreeMap<String, String>,
    /// The share of requests whose spans are sent, 0 to 1, where nobody has decided before. What fails or is slow is sent in
    /// any case. Absent: `OTEL_TRACES_SAMPLER_ARG`, or 1.
    pub ratio: Option<f64>,
    /// Whether a request that comes with a `traceparent` is sampled as that says, whatever `ratio` is. Turn it off at edges
    /// whose clients are not to decide on that; it is on for routers and sidecars, so that traces are whole.
    pub follow: bool,
    /// A request that takes longer is slow, and sent. Longer than usual answers are written for.
    #[serde(with = "humantime_serde")]
    pub slow: Duration,
    /// One that waits longer for its first token is, too.
    #[serde(with = "humantime_serde")]
    pub slow_first_token: Duration,
    /// So much time without a token within an answer is noted as a stall.
    #[serde(with = "humantime_serde")]
    pub stall: Duration,
    /// Spans that wait for the collector; further ones are dropped and counted. Each takes about a kilobyte.
    pub queue: usize,
    /// The most spans of one call. Collectors refuse more than four megabytes.
    pub batch: usize,
    /// How long spans wait for more to be sent with.
    #[serde(with = "humantime_serde")]
    pub every: Duration,
    /// How long one call may take, and the last spans of a process that stops. Absent: `OTEL_EXPORTER_OTLP_TRACES_TIMEOUT`
    /// or `OTEL_EXPORTER_OTLP_TIMEOUT`, in milliseconds, or 10 seconds.
    #[serde(with = "humantime_serde")]
    pub timeout: Option<Duration>,
    /// How long the same spans are sent again while the collector does not take them. They are given up after that, and
    /// counted. Longer than a collector takes to restart.
    #[serde(with = "humantime_serde")]
    pub retry_for: Duration,
    /// Spans that ended lately and that this process remembers itself, of all requests, for `cloudach trace`: so many
    /// bytes of them, of about 500 each. 0: none. Absent: none, but 4 MiB in `cloudach up`.
    pub recent_bytes: Option<usize>,
    /// Where they are remembered: services of one process that are given the same remember together.
    #[serde(skip)]
    pub(super) recent: Recent,
}

/// How a collector is spoken to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum Protocol {
    /// OTLP over gRPC, port 4317.
    #[default]
    #[serde(rename = "grpc")]
    Grpc,
    /// OTLP over HTTP, port 4318.
    #[serde(rename = "http/protobuf")]
    HttpProtobuf,
}

impl Default for Tracing {
    fn default() -> Self {
        Self {
            endpoint: None,
            protocol: None,
            headers: BTreeMap::new(),
            service_name: None,
            attributes: BTreeMap::new(),
            ratio: None,
            follow: true,
            slow: Duration::from_secs(60),
            slow_first_token: Duration::from_secs(10),
            stall: Duration::from_secs(5),
            queue: 8192,
            batch: 512,
            every: Duration::from_secs(1),
            timeout: None,
            retry_for: Duration::from_secs(60),
            recent_bytes: None,
            recent: Recent::default(),
        }
    }
}

/// What the configuration and the environment come to.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Settings {
    /// None: nothing is sent.
    pub endpoint: Option<String>,
    pub protocol: Protocol,
    pub service_name: String,
    pub attributes: Vec<(String, String)>,
    pub ratio: f64,
    pub timeout: Duration,
}

/// A setting of traces makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {problem}")]
pub struct InvalidTracing {
    pub field: &'static str,
    pub problem: &'static str,
}

impl Tracing {
    /// What it comes to with these environment variables, for a service of this name. None: there are no traces.
    ///
    /// # Errors
    /// Names the field or the variable.
    pub(super) fn settings(
        &self,
        service: &str,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Settings>, InvalidTracing> {
        let variable = |name| variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let either = |first, second| variable(first).or_else(|| variable(second));
        let is = |name, value: &str| variable(name).is_some_and(|found| found.eq_ignore_ascii_case(value));
        self.check()?;
        let protocol = match self.protocol {
            Some(protocol) => protocol,
            None => match either("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL").as_deref() {
                None | Some("grpc") => Protocol::Grpc,
                Some("http/protobuf") => Protocol::HttpProtobuf,
                Some(_) => return Err(wrong("OTEL_EXPORTER_OTLP_PROTOCOL", "is neither `grpc` nor `http/protobuf`")),
            },
        };
        let endpoint = match &self.endpoint {
            Some(endpoint) => Some(endpoint.clone()),
            None if is("OTEL_SDK_DISABLED", "true") || is("OTEL_TRACES_EXPORTER", "none") => None,
            None => match (variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), variable("OTEL_EXPORTER_OTLP_ENDPOINT")) {
                (Some(endpoint), _) => Some(endpoint),
                // The one for all signals is where their paths begin.
                (None, Some(endpoint)) if protocol == Protocol::HttpProtobuf => {
                    Some(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
                }
                (None, endpoint) => endpoint,
            },
        };
        if endpoint.is_none() && self.remembered() == 0 {
            return Ok(None);
        }
        if endpoint.iter().any(|url| url.contains('@')) {
            return Err(wrong("OTEL_EXPORTER_OTLP_ENDPOINT", IN_URL));
        }
        if !endpoint.iter().all(|url| is_url(url)) {
            return Err(wrong("OTEL_EXPORTER_OTLP_ENDPOINT", NO_URL));
        }
        let ratio = match (self.ratio, variable("OTEL_TRACES_SAMPLER_ARG")) {
            (Some(ratio), _) => ratio,
            (None, Some(text)) => text.parse().map_err(|_| wrong("OTEL_TRACES_SAMPLER_ARG", "is no number"))?,
            (None, None) => 1.0,
        };
        if !(0.0..=1.0).contains(&ratio) {
            return Err(wrong("OTEL_TRACES_SAMPLER_ARG", "is not between 0 and 1"));
        }
        let millis = either("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT");
        let timeout = match (self.timeout, millis) {
            (Some(timeout), _) => timeout,
            (None, Some(text)) => {
                Duration::from_millis(text.parse().map_err(|_| wrong("OTEL_EXPORTER_OTLP_TIMEOUT", "is no number"))?)
            }
            (None, None) => Duration::from_secs(10),
        };
        if timeout.is_zero() {
            return Err(wrong("tracing.timeout", "leaves no time"));
        }
        let mut attributes: BTreeMap<String, String> = variable("OTEL_RESOURCE_ATTRIBUTES")
            .iter()
            .flat_map(|list| list.split(','))
            .filter_map(|entry| entry.split_once('='))
            .map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()))
            .collect();
        attributes.extend(self.attributes.clone());
        let named = attributes.remove("service.name");
        let service_name = self.service_name.clone().or_else(|| variable("OTEL_SERVICE_NAME")).or(named);
        Ok(Some(Settings {
            endpoint,
            protocol,
            service_name: service_name.unwrap_or_else(|| service.to_owned()),
            attributes: attributes.into_iter().collect(),
            ratio,
            timeout,
        }))
    }

    /// How many bytes of spans this process remembers.
    pub(super) fn remembered(&self) -> usize {
        self.recent_bytes.unwrap_or_default()
    }

    /// Checks what the types cannot, without the environment.
    ///
    /// # Errors
    /// Names the field.
    pub fn check(&self) -> Result<(), InvalidTracing> {
        let problems = [
            ("tracing.endpoint", self.endpoint.iter().any(|url| !is_url(url)), NO_URL),
            ("tracing.endpoint", self.endpoint.iter().any(|url| url.contains('@')), IN_URL),
            ("tracing.ratio", !self.ratio.iter().all(|ratio| (0.0..=1.0).contains(ratio)), "is not between 0 and 1"),
            ("tracing.queue", self.queue == 0, "must not be 0"),
            ("tracing.queue", self.queue > MOST_QUEUE, "is more than a million"),
            ("tracing.recent_bytes", self.remembered() > MOST_RECENT, "is more than a GiB"),
            ("tracing.batch", self.batch == 0, "must not be 0"),
            ("tracing.batch", self.batch > self.queue, "is more than `tracing.queue`"),
            ("tracing.every", self.every.is_zero(), "must not be 0"),
            ("tracing.slow", self.slow.is_zero(), "would make every request slow"),
            ("tracing.slow_first_token", self.slow_first_token.is_zero(), "would make every request slow"),
            ("tracing.stall", self.stall.is_zero(), "would make every token a stall"),
        ];
        match problems.into_iter().find(|(_, is_wrong, _)| *is_wrong) {
            Some((field, _, problem)) => Err(wrong(field, problem)),
            None => Ok(()),
        }
    }
}

fn is_url(url: &str) -> bool {
    url.starts_with("http://") || url.starts_with("https://")
}

fn wrong(field: &'static str, problem: &'static str) -> InvalidTracing {
    InvalidTracing { field, problem }
}
