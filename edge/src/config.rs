//! The edge's configuration: one YAML file.

use std::{net::SocketAddr, time::Duration};

use cloudach_openai::chat::ReasoningField;
use cloudach_service::{
    address::Address,
    logs::Level,
    reload::Settings,
    stop::Drain,
    tls::{TlsConfig, config::InvalidTls},
    trace::config::{InvalidTracing, Tracing},
};
use ipnet::IpNet;
use serde::Deserialize;

use crate::{
    access::{
        jwt::config::{self as issuers, InvalidIssuers, IssuerConfig},
        keys::KeyConfig,
        limits,
    },
    admin::AdminApi,
    batches::config::BatchesConfig,
    conversations::config::ConversationsConfig,
    files::config::FilesConfig,
    idempotency::config::IdempotencyConfig,
    metrics::MetricsConfig,
    responses::config::ResponsesConfig,
    store::config::StoreConfig,
    texts::config::{InvalidTexts, TraceTexts},
    usage::config::UsageConfig,
};

/// The longest time for which text is merged.
const MOST_MERGE: Duration = Duration::from_secs(5);

/// Everything the edge is told.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where clients reach this edge.
    pub listen: SocketAddr,
    /// Where `/livez`, `/readyz`, `/metrics` and the admin API are served. Absent: nowhere.
    pub admin: Option<SocketAddr>,
    /// The API for keys and tenants, on the admin address. Absent: there is none.
    #[serde(default)]
    pub admin_api: Option<AdminApi>,
    /// The routers. Requests go to the least busy one that is connected.
    pub routers: Vec<Address>,
    /// TLS towards the routers. Absent: none.
    #[serde(default)]
    pub tls: Option<TlsConfig>,
    /// How much is logged: `info`, `debug`, or `cloudach_edge=debug,info`. Taken anew while the edge runs. `CLOUDACH_LOG`, where it
    /// is set, goes before it.
    #[serde(default)]
    pub log: Option<Level>,
    /// Who may ask. Taken anew while the edge runs.
    pub keys: Vec<KeyConfig>,
    /// Identity providers whose tokens let callers in, beside the keys.
    #[serde(default)]
    pub issuers: Vec<IssuerConfig>,
    /// What each key may use that names no limits of its own. Where neither says anything, 600000 requests and a billion
    /// tokens a minute: high enough that nobody meets them unawares. Taken anew while the edge runs.
    #[serde(default)]
    pub rate_limits: limits::Limits,
    /// Where keys, tenants and what they have used are kept, beside the keys above.
    #[serde(default)]
    pub store: StoreConfig,
    /// Proxies whose `x-forwarded-for` is believed, as ranges such as `10.0.0.0/8`: for keys that are bound to addresses.
    #[serde(default)]
    pub trusted_proxies: Vec<IpNet>,
    /// What is kept of usage.
    #[serde(default)]
    pub usage: UsageConfig,
    /// How requests with an `Idempotency-Key` are treated.
    #[serde(default)]
    pub idempotency: IdempotencyConfig,
    /// What is kept of responses.
    #[serde(default)]
    pub responses: ResponsesConfig,
    /// What is kept of files.
    #[serde(default)]
    pub files: FilesConfig,
    /// How batches are run.
    #[serde(default)]
    pub batches: BatchesConfig,
    /// What is kept of conversations.
    #[serde(default)]
    pub conversations: ConversationsConfig,
    /// What tenants never share.
    #[serde(default)]
    pub isolation: Isolation,
    /// What one request and all of them may take.
    #[serde(default)]
    pub limits: Limits,
    /// Where the texts of errors send people.
    #[serde(default)]
    pub links: Links,
    /// How answers are streamed.
    #[serde(default)]
    pub stream: Stream,
    /// What metrics tell.
    #[serde(default)]
    pub metrics: MetricsConfig,
    /// Traces of requests.
    #[serde(default)]
    pub tracing: Tracing,
    /// Texts of conversations in them.
    #[serde(default)]
    pub trace_texts: TraceTexts,
    /// How the process stops.
    #[serde(default)]
    pub drain: Drain,
}

/// The configuration can be read and makes no sense.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConfig {
    #[error("`routers` is empty: name at least one")]
    NoRouter,
    #[error("`{0}` must not be 0")]
    Zero(&'static str),
    #[error("`stream.merge` must not be more than {MOST_MERGE:?}: clients take a longer silence for a fault")]
    MergeTooLong,
    #[error(transparent)]
    Texts(#[from] InvalidTexts),
    #[error("{0}")]
    Store(&'static str),
    #[error("{0}")]
    Usage(&'static str),
    #[error("{0}")]
    Idempotency(&'static str),
    #[error("{0}")]
    Responses(&'static str),
    #[error("{0}")]
    Files(&'static str),
    #[error("{0}")]
    Batches(&'static str),
    #[error("{0}")]
    Conversations(&'static str),
    #[error("`admin_api` needs an address: set `admin`")]
    NoAdminAddress,
    #[error(transparent)]
    Issuers(#[from] InvalidIssuers),
    #[error(transparent)]
    Tracing(#[from] InvalidTracing),
    #[error(transparent)]
    Tls(#[from] InvalidTls),
}

impl Settings for Config {
    fn log(&self) -> Option<&Level> {
        self.log.as_ref()
    }

    fn problem(&self) -> Option<String> {
        self.check().err().map(|problem| problem.to_string())
    }

    fn fixed(&self) -> String {
        let (keys, rate_limits, log) = (Vec::new(), limits::Limits::default(), None);
        format!("{:?}", Self { keys, rate_limits, log, ..self.clone() })
    }
}

impl Config {
    /// Checks what the types cannot.
    ///
    /// # Errors
    /// Names the field.
    pub fn check(&self) -> Result<(), InvalidConfig> {
        if self.routers.is_empty() {
            return Err(InvalidConfig::NoRouter);
        }
        if self.stream.merge > MOST_MERGE {
            return Err(InvalidConfig::MergeTooLong);
        }
        if self.admin_api.is_some() && self.admin.is_none() {
            return Err(InvalidConfig::NoAdminAddress);
        }
        self.store.check().map_err(InvalidConfig::Store)?;
        self.usage.check().map_err(InvalidConfig::Usage)?;
        self.idempotency.check().map_err(InvalidConfig::Idempotency)?;
        self.responses.check().map_err(InvalidConfig::Responses)?;
        self.files.check().map_err(InvalidConfig::Files)?;
        self.batches.check().map_err(InvalidConfig::Batches)?;
        self.conversations.check().map_err(InvalidConfig::Conversations)?;
        issuers::check(&self.issuers)?;
        self.tracing.check()?;
        self.tls.as_ref().map_or(Ok(()), TlsConfig::check)?;
        self.trace_texts.check()?;
        let limits = &self.limits;
        let zero = [
            ("limits.connections", limits.connections == 0),
            ("limits.requests", limits.requests == 0),
            ("limits.body_bytes", limits.body_bytes == 0),
            ("limits.header_time", limits.header_time.is_zero()),
            ("limits.body_time", limits.body_time.is_zero()),
            ("limits.request_time", limits.request_time.is_zero()),
            ("limits.stall_time", limits.stall_time.is_zero()),
            ("stream.keep_alive", self.stream.keep_alive.is_zero()),
        ];
        match zero.iter().find(|(_, is_zero)| *is_zero) {
            Some((field, _)) => Err(InvalidConfig::Zero(field)),
            None => Ok(()),
        }
    }
}

/// What tenants never share. Keys of no tenant are one tenant.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Isolation {
    /// Engines read a prompt anew of which another tenant's request had them read the beginning: how long an answer takes
    /// would tell that it had. Where all tenants trust one another, without it they have the first token of prompts with a
    /// common beginning sooner.
    pub prefix_cache: bool,
}

impl Default for Isolation {
    fn default() -> Self {
        Self { prefix_cache: true }
    }
}

/// Where the texts of errors send people. The defaults are OpenAI's own, for tools that compare whole texts; whoever runs
/// the gateway puts pages of their own here.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Links {
    /// Where a key is found: with a key that is missing or wrong.
    pub api_keys: String,
    /// Where limits are explained: with one that is reached.
    pub rate_limits: String,
    /// Where a suspended key is explained.
    pub quota: String,
    /// Where the API is described: with a URL that does not exist.
    pub api_reference: String,
    /// Whom to ask: with errors of the server.
    pub help_center: String,
}

impl Default for Links {
    fn default() -> Self {
        Self {
            api_keys: "https://platform.openai.com/account/api-keys".to_owned(),
            rate_limits: "https://platform.openai.com/account/rate-limits".to_owned(),
            quota: "https://platform.openai.com/docs/guides/error-codes/api-errors".to_owned(),
            api_reference: "https://platform.openai.com/docs/api-reference/".to_owned(),
            help_center: "help.openai.com".to_owned(),
        }
    }
}

/// What one request and all of them may take.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Open connections. Further ones wait in the kernel's queue.
    pub connections: usize,
    /// Requests in progress. Further ones get a 503 at once.
    pub requests: usize,
    /// The largest request body, in bytes. A larger one gets a 413.
    pub body_bytes: usize,
    /// How long a client may take until it has sent its next request's head, the connection's rest between requests
    /// included. Longer than the pools of clients and load balancers (usually 60 seconds) keep a connection, so that
    /// they never send into one that is just being closed.
    #[serde(with = "humantime_serde")]
    pub header_time: Duration,
    /// How long a client may take to send its request's body.
    #[serde(with = "humantime_serde")]
    pub body_time: Duration,
    /// How long a request may take in all.
    #[serde(with = "humantime_serde")]
    pub request_time: Duration,
    /// How long a request waits for a model that is loaded for it for the first time since the routers started; from then
    /// on the routers know the model, and their `queue.wake` holds.
    #[serde(with = "humantime_serde")]
    pub load_time: Duration,
    /// How long a client may leave bytes unread before it is given up: a stalled client never holds a GPU.
    #[serde(with = "humantime_serde")]
    pub stall_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 60_000,
            requests: 50_000,
            body_bytes: 20 * 1024 * 1024,
            header_time: Duration::from_secs(75),
            body_time: Duration::from_secs(60),
            request_time: Duration::from_secs(30 * 60),
            load_time: Duration::from_secs(10 * 60),
            stall_time: Duration::from_secs(30),
        }
    }
}

/// How answers are streamed.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Stream {
    /// After this much silence a comment line is sent, so that proxies do not take a thinking model for a dead one.
    #[serde(with = "humantime_serde")]
    pub keep_alive: Duration,
    /// Text that follows text within this much time is sent together with it: fewer and longer chunks, for thrift.
    /// The first text of an answer never waits. 0: as the engine gives it.
    #[serde(with = "humantime_serde")]
    pub merge: Duration,
    /// Chat chunks are padded at random, so that who sees the length of packets learns nothing of the text: about 20
    /// bytes for each chunk. As at OpenAI, a client's own `stream_options.include_obfuscation` goes before it.
    pub obfuscation: bool,
    /// The field that tells a model's reasoning.
    pub reasoning: Reasoning,
}

/// Where clients find a model's reasoning: OpenAI's chats have no such field, and clients look for one or the other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reasoning {
    #[default]
    ReasoningContent,
    Reasoning,
    Both,
}

impl From<Reasoning> for ReasoningField {
    fn from(reasoning: Reasoning) -> Self {
        match reasoning {
            Reasoning::ReasoningContent => Self::ReasoningContent,
            Reasoning::Reasoning => Self::Reasoning,
            Reasoning::Both => Self::Both,
        }
    }
}

impl Default for Stream {
    fn default() -> Self {
        Self {
            keep_alive: Duration::from_secs(15),
            merge: Duration::ZERO,
            obfuscation: true,
            reasoning: Reasoning::default(),
        }
    }
}
