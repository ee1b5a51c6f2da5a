//! The sidecar's configuration: one YAML file, every field with its unit and its reason.

use std::{collections::BTreeMap, fmt, net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use cloudach_service::{
    address::Address,
    admin_token::AdminAccess,
    logs::Level,
    reload::Settings,
    stop::Drain,
    tls::{TlsConfig, config::InvalidTls},
    trace::config::{InvalidTracing, Tracing},
};
use serde::{Deserialize, Deserializer};

/// Everything about one sidecar.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Unique in the fleet and stable over restarts. Default: the host's name and `listen`.
    #[serde(default)]
    pub replica: Option<String>,
    /// Where Inference is served: `host:port` or `unix:/path`.
    pub listen: Address,
    /// Where the routers reach it, when that is not `listen` (a pod's address instead of `0.0.0.0`).
    #[serde(default)]
    pub advertise: Option<Address>,
    /// Every router of the fleet: the sidecar stays connected to each. None: it is used without routers.
    #[serde(default)]
    pub routers: Vec<Address>,
    /// TLS with the routers, in both directions. Absent: none.
    #[serde(default)]
    pub tls: Option<TlsConfig>,
    /// How much is logged: `info`, `debug`, or `cloudach_sidecar=debug,info`. Taken anew while the sidecar runs. `CLOUDACH_LOG`, where
    /// it is set, goes before it.
    #[serde(default)]
    pub log: Option<Level>,
    /// Where `/livez`, `/readyz` and `/metrics` are served. Absent: nowhere.
    #[serde(default)]
    pub admin: Option<SocketAddr>,
    /// How what is not for everybody who reaches that address is entered: `/traces` and `/debug`. Absent: `/traces` is for
    /// everybody who does, and `/debug` for nobody.
    #[serde(default)]
    pub admin_api: Option<AdminAccess>,
    /// The catalogue's name of the model that this engine serves. Absent: routers say what it loads, within `managed`.
    #[serde(default)]
    pub model: Option<String>,
    /// What routers may load here. Either this or `model`.
    #[serde(default)]
    pub managed: Option<Managed>,
    /// The name by which the engine knows it. Default: the first one that the engine lists.
    #[serde(default)]
    pub served_name: Option<String>,
    /// The engine.
    pub engine: EngineConfig,
    /// How GPUs are watched.
    #[serde(default)]
    pub gpu: GpuWatch,
    /// What is held at the same time.
    #[serde(default)]
    pub limits: Limits,
    /// Traces of requests.
    #[serde(default)]
    pub tracing: Tracing,
    /// How the sidecar stops.
    #[serde(default)]
    pub drain: Drain,
}

impl Settings for Config {
    fn log(&self) -> Option<&Level> {
        self.log.as_ref()
    }

    fn problem(&self) -> Option<String> {
        self.check().err().map(|problem| problem.to_string())
    }

    fn fixed(&self) -> String {
        format!("{:?}", Self { log: None, ..self.clone() })
    }
}

/// A configuration that can be read and makes no sense.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {problem}")]
pub struct InvalidConfig {
    field: &'static str,
    problem: &'static str,
}

impl Config {
    /// Finds what its types cannot.
    ///
    /// # Errors
    /// The first field that makes no sense.
    pub fn check(&self) -> Result<(), InvalidConfig> {
        let problems = [
            ("model", self.model.as_ref().is_some_and(String::is_empty), "is empty"),
            ("model", self.model.is_none() && self.managed.is_none(), "is missing, and so is `managed`"),
            ("managed", self.model.is_some() && self.managed.is_some(), "is for sidecars without a `model`"),
            ("managed", self.managed.is_some() && self.served_name.is_some(), "goes without a `served_name`"),
            ("managed.sources", self.managed.as_ref().is_some_and(Managed::allows_nothing), "allows nothing, or all"),
            ("engine.command", self.managed.is_some() && !self.engine.takes_source(), "has no word with `{source}`"),
            ("replica", self.replica.as_ref().is_some_and(String::is_empty), "is empty; leave it out"),
            ("engine.command", self.engine.command.as_ref().is_some_and(Vec::is_empty), "is empty; leave it out"),
            (
                "engine.priority",
                self.engine.priority && self.engine.dialect != Dialect::Vllm,
                "is for vLLM; other engines have no priorities",
            ),
            ("engine.hung_after", self.engine.hung_after.is_zero(), "leaves no time"),
            ("gpu.every", self.gpu.every < Duration::from_secs(1), "is less than a second"),
            ("limits.max_requests", self.limits.max_requests == 0, "lets no request in"),
            ("limits.max_event", self.limits.max_event < 4096, "is too small for an engine's events"),
            ("limits.first_token_timeout", self.limits.first_token_timeout.is_zero(), "leaves no time"),
            ("limits.stall_timeout", self.limits.stall_timeout.is_zero(), "leaves no time"),
            ("limits.connect_timeout", self.limits.connect_timeout.is_zero(), "leaves no time"),
        ];
        if let Some((field, _, problem)) = problems.into_iter().find(|(_, wrong, _)| *wrong) {
            return Err(InvalidConfig { field, problem });
        }
        let tls = self.tls.as_ref().map_or(Ok(()), TlsConfig::check);
        tls.map_err(|InvalidTls { field, problem }| InvalidConfig { field, problem })?;
        self.tracing.check().map_err(|InvalidTracing { field, problem }| InvalidConfig { field, problem })
    }
}

/// What routers may load, and what there is to load it on. They never choose the program: they fill in its command.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Managed {
    /// What may be loaded, adapters too: folders with all that is in them (`/models/`), or the beginnings of names
    /// (`Qwen/`).
    pub sources: Vec<String>,
    /// Arguments that may be added to the engine's command, by their names (`--max-model-len`). Others are refused: some
    /// of an engine's arguments run programs, or open its files to everybody.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// The GPUs that the engine may use, in its order. Default: those that NVML finds and `CUDA_VISIBLE_DEVICES` names, each
    /// with all of its memory.
    #[serde(default)]
    pub gpus: Vec<Gpu>,
    /// The engine can sleep: vLLM with `--enable-sleep-mode` in its command and `VLLM_SERVER_DEV_MODE` in its environment.
    #[serde(default)]
    pub sleeps: bool,
    /// How long a sidecar that has just started is not ready, to be told what to load first; then it waits for that.
    #[serde(default = "Managed::default_first_order", with = "humantime_serde")]
    pub first_order: Duration,
}

/// A GPU that the engine may use.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gpu {
    /// Unique in the fleet, as its UUID is. Sidecars that name the same one share it.
    pub id: String,
    /// What engines may occupy of it, in MiB.
    pub memory_mib: u64,
}

impl Managed {
    /// Routers look at placement every second or so, and some seconds after they have begun to order.
    fn default_first_order() -> Duration {
        Duration::from_secs(30)
    }

    fn allows_nothing(&self) -> bool {
        self.sources.is_empty() || self.sources.iter().any(String::is_empty)
    }
}

/// One engine: which language it speaks, where it is reached, and how it is started.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineConfig {
    /// The engine's language.
    pub dialect: Dialect,
    /// Where it listens: `http://host:port` or `unix:/path`. Keep it on loopback: engines know no keys.
    pub url: EngineUrl,
    /// The program and its arguments. Present: the sidecar starts, watches and ends the engine. Absent: it is there.
    /// In a managed sidecar `{source}`, `{model}` and `{gpus}` stand for what a router names: what is to be loaded, the
    /// catalogue's name of it, and over how many GPUs; its arguments come last.
    #[serde(default)]
    pub command: Option<Vec<String>>,
    /// Added to the environment of `command`.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// How long a start may take before it counts as failed. Large models take minutes to load.
    #[serde(default = "EngineConfig::default_startup_timeout", with = "humantime_serde")]
    pub startup_timeout: Duration,
    /// How long the engine may take to end once asked to, before it is killed. vLLM needs about 8 seconds.
    #[serde(default = "EngineConfig::default_stop_grace", with = "humantime_serde")]
    pub stop_grace: Duration,
    /// How long an engine that was ready may give no sign of life before it counts as hung: it has requests and no token
    /// comes, its figures do not move and it does not generate a token when asked to; or it does not answer at all. Its
    /// streams go on elsewhere, and where `command` is given it is killed and started again. No step of an engine takes
    /// minutes, and a GPU that hangs stays so.
    #[serde(default = "EngineConfig::default_hung_after", with = "humantime_serde")]
    pub hung_after: Duration,
    /// Where the model's `config.json`, `tokenizer_config.json` and `chat_template.jinja` lie.
    /// Default: what the engine says its model is, where that is a directory here.
    #[serde(default)]
    pub model_dir: Option<PathBuf>,
    /// Used instead of the model's own chat template.
    #[serde(default)]
    pub chat_template_file: Option<PathBuf>,
    /// Used instead of the model's own.
    #[serde(default)]
    pub bos_token: Option<String>,
    /// Used instead of the model's own.
    #[serde(default)]
    pub eos_token: Option<String>,
    /// The engine is vLLM and runs with `--scheduling-policy priority`: it works on requests by their class first, and within
    /// a class by what clients send as `priority`. Without, what clients send is handed on as it is.
    #[serde(default)]
    pub priority: bool,
}

impl EngineConfig {
    /// An engine that already runs at `url`.
    pub fn attach(dialect: Dialect, url: EngineUrl) -> Self {
        Self {
            dialect,
            url,
            command: None,
            env: BTreeMap::new(),
            startup_timeout: Self::default_startup_timeout(),
            stop_grace: Self::default_stop_grace(),
            hung_after: Self::default_hung_after(),
            model_dir: None,
            chat_template_file: None,
            bos_token: None,
            eos_token: None,
            priority: false,
        }
    }

    fn takes_source(&self) -> bool {
        self.command.iter().flatten().skip(1).any(|word| word.contains("{source}"))
    }

    fn default_startup_timeout() -> Duration {
        Duration::from_secs(15 * 60)
    }

    fn default_hung_after() -> Duration {
        Duration::from_secs(2 * 60)
    }

    fn default_stop_grace() -> Duration {
        Duration::from_secs(10)
    }
}

/// Whose HTTP surface the engine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// vLLM's OpenAI server, Python or Rust front end.
    Vllm,
    /// llama.cpp's server.
    LlamaCpp,
}

impl Dialect {
    /// The name in configurations and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vllm => "vllm",
            Self::LlamaCpp => "llama_cpp",
        }
    }
}

/// The name is no dialect.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no engine dialect: use `vllm` or `llama_cpp`")]
pub struct UnknownDialect(String);

impl FromStr for Dialect {
    type Err = UnknownDialect;

    fn from_str(text: &str) -> Result<Self, UnknownDialect> {
        [Self::Vllm, Self::LlamaCpp]
            .into_iter()
            .find(|dialect| dialect.name() == text)
            .ok_or_else(|| UnknownDialect(text.to_owned()))
    }
}

/// Where an engine's HTTP server is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineUrl(pub(crate) Address);

/// The text is no place of an engine.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no engine address: write `http://host:port` or `unix:/path/to/socket`")]
pub struct InvalidEngineUrl(String);

impl FromStr for EngineUrl {
    type Err = InvalidEngineUrl;

    fn from_str(text: &str) -> Result<Self, InvalidEngineUrl> {
        let invalid = || InvalidEngineUrl(text.to_owned());
        if text.starts_with("unix:") {
            return text.parse().map(Self).map_err(|_| invalid());
        }
        let authority = text.strip_prefix("http://").ok_or_else(invalid)?;
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        // The authority goes into a `Host` header.
        authority.parse::<http::uri::Authority>().map_err(|_| invalid())?;
        authority.parse().or_else(|_| format!("{authority}:80").parse()).map(Self).map_err(|_| invalid())
    }
}

impl fmt::Display for EngineUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Address::Tcp(authority) => write!(out, "http://{authority}"),
            unix @ Address::Unix(_) => unix.fmt(out),
        }
    }
}

impl<'de> Deserialize<'de> for EngineUrl {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

/// How the engine's GPUs are watched, by NVML. Where that is not there, nothing is said of GPUs.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GpuWatch {
    /// How often they are looked at: memory, use, temperature, errors. Not more often than once a second, for each look
    /// takes the driver's lock. Errors that the driver tells of itself (Xids) are heard at once.
    #[serde(with = "humantime_serde")]
    pub every: Duration,
    /// NVML. Default: the system's `libnvidia-ml.so.1`.
    pub library: Option<PathBuf>,
}

impl Default for GpuWatch {
    fn default() -> Self {
        Self { every: Duration::from_secs(5), library: None }
    }
}

/// What is held and waited for at most.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Requests at the same time, each with a connection to the engine. More are refused at once as overloaded.
    pub max_requests: usize,
    /// Idle connections kept to the engine: saves connecting anew for every request.
    pub idle_connections: usize,
    /// The largest event that the engine may send, in bytes. An event can hold the whole prompt.
    pub max_event: usize,
    /// How long connecting to the engine may take. It is on the same machine.
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
    /// How long the engine may be silent before the first token: queueing and reading a long prompt.
    #[serde(with = "humantime_serde")]
    pub first_token_timeout: Duration,
    /// How long the engine may be silent between tokens before it counts as lost.
    #[serde(with = "humantime_serde")]
    pub stall_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_requests: 4096,
            idle_connections: 256,
            max_event: 32 * 1024 * 1024,
            connect_timeout: Duration::from_secs(2),
            first_token_timeout: Duration::from_secs(10 * 60),
            stall_timeout: Duration::from_secs(2 * 60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engine_urls_are_read_and_written_back() {
        for text in ["http://127.0.0.1:8000", "unix:/run/vllm.sock", "http://[::1]:8000"] {
            assert_eq!(text.parse::<EngineUrl>().unwrap().to_string(), text);
        }
        assert_eq!("http://engine/".parse::<EngineUrl>().unwrap().to_string(), "http://engine:80");
        for text in ["", "127.0.0.1:8000", "https://a:1", "http://a:1/v1", "http://", "unix:relative", "http://a b:1"] {
            assert!(text.parse::<EngineUrl>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_example_is_a_valid_configuration() {
        let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/local/sidecar.yaml");
        let config: Config = cloudach_service::config::load(example.as_ref()).unwrap();
        assert!(config.engine.command.is_some());
        assert_eq!(config.check(), Ok(()));
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let mut config: Config = cloudach_service::config::parse(
            "{listen: 'unix:/s', model: m, engine: {dialect: vllm, url: 'http://127.0.0.1:1', command: []}}",
        )
        .unwrap();
        assert_eq!(config.check().unwrap_err().to_string(), "`engine.command` is empty; leave it out");
        config.engine.command = None;
        config.model = None;
        assert_eq!(config.check().unwrap_err().to_string(), "`model` is missing, and so is `managed`");
        config.managed = Some(Managed { sources: vec!["/models/".into()], ..Managed::default() });
        assert_eq!(config.check().unwrap_err().to_string(), "`engine.command` has no word with `{source}`");
        config.engine.command = Some(vec!["vllm".into(), "serve".into(), "{source}".into()]);
        config.check().unwrap();
        config.model = Some("m".into());
        assert_eq!(config.check().unwrap_err().to_string(), "`managed` is for sidecars without a `model`");
        config.managed = None;
        config.limits.max_requests = 0;
        assert_eq!(config.check().unwrap_err().to_string(), "`limits.max_requests` lets no request in");
    }
}
