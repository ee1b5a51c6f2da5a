//! Engines, and the gateway in front of them as processes of its own, with keys, limits, usage and metrics as in production.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::{
    machine,
    played::PlayedFleet,
    process::Process,
    wire::{Connection, Request},
};

/// The key of all requests, and its SHA-256.
const KEY: &str = "sk-bench-0123456789abcdef";
const KEY_SHA256: &str = "4544960adbf893386971435af98a39b6f3a29f78107fbe68a787ab2467ba27d9";

/// The name of one of the models.
pub fn model(number: usize) -> String {
    format!("bench-model-{number}")
}

pub const CHAT_TEMPLATE: &str = "{% for tool in tools or [] %}<|tool|>{{ tool | tojson }}\n{% endfor %}\
                                 {% for message in messages %}<|{{ message.role }}|>{{ message.content }}\n{% endfor %}\
                                 {% if add_generation_prompt %}<|assistant|>{% endif %}";

/// More than is ever answered.
const MAX_TOKENS: u32 = 20_000;

/// How long the gateway may take to serve.
const START: Duration = Duration::from_secs(30);

/// Who is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    Engine,
    Gateway,
}

/// How many of each there are.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    pub edges: usize,
    /// Models of the catalogue, those that are served included.
    pub models: usize,
    /// Those that nobody serves have a place, and would be loaded there.
    pub placed: bool,
    pub replicas: Replicas,
}

/// Who serves.
#[derive(Debug, Clone, Copy)]
pub enum Replicas {
    /// So many sidecars, each with an engine of its own, all of one model.
    Engines(usize),
    /// So many sidecars that this program plays, of so many models in turn.
    Played { replicas: usize, models: usize },
}

impl Layout {
    /// One of each.
    pub const PLAIN: Self = Self { edges: 1, models: 1, placed: false, replicas: Replicas::Engines(1) };

    fn engines(&self) -> usize {
        match self.replicas {
            Replicas::Engines(engines) => engines,
            Replicas::Played { .. } => 0,
        }
    }

    fn served(&self) -> usize {
        match self.replicas {
            Replicas::Engines(_) => 1,
            Replicas::Played { models, .. } => models,
        }
    }
}

/// Where it runs.
#[derive(Debug, Clone)]
pub struct Place {
    /// The folder of the gateway's programs.
    pub gateway: PathBuf,
    /// That of the engine's.
    pub engine: PathBuf,
    /// That of the gateway, and that of the load and the engines.
    pub cores: (usize, usize),
}

/// Everything that runs.
pub struct Rig {
    engine_addresses: Vec<SocketAddr>,
    pub edge_addresses: Vec<SocketAddr>,
    /// The edges, the router, the sidecars. Or HAProxy.
    pub gateway: Vec<Process>,
    is_haproxy: bool,
    /// From the start of the gateway's processes to their first answer.
    pub first_answer: Duration,
    _engines: Vec<Process>,
    /// Where the sidecars are played.
    pub played: Option<PlayedFleet>,
    router_admin: SocketAddr,
    next: AtomicUsize,
    folder: TempDir,
}

impl Rig {
    /// Starts the gateway on the first of the cores and the engines on the second, where this process stays, too.
    pub async fn start(place: &Place, layout: &Layout) -> Result<Self> {
        let folder = TempDir::with_prefix("cloudach-bench-")?;
        let mut free = free_addresses(2 + layout.edges + 2 * layout.engines())?;
        let router_address = free.pop().context("no address is free")?;
        let router_admin = free.pop().context("no address is free")?;
        let edge_addresses = free.split_off(free.len() - layout.edges);
        let sidecar_addresses = free.split_off(layout.engines());
        let engine_addresses = free;
        machine::pin(place.cores.1)?;
        let engine = |(number, address): (usize, &SocketAddr)| {
            let mut command = Command::new(place.engine.join("fake-engine"));
            command.args(["--listen", &address.to_string(), "--model", &model(0), "--max-model-len", "10000000"]);
            Process::start("engine", number, &mut command, folder.path())
        };
        let engines = engine_addresses.iter().enumerate().map(engine).collect::<Result<_>>()?;

        machine::pin(place.cores.0)?;
        let began = Instant::now();
        let start = |name, number, config: &Value| {
            let path = folder.path().join(format!("{name}-{number}.json"));
            fs::write(&path, config.to_string())?;
            let mut command = Command::new(place.gateway.join(format!("cloudach-{name}")));
            Process::start(name, number, command.arg("--config").arg(path).env("RUST_LOG", "info"), folder.path())
        };
        let mut gateway = Vec::new();
        for (number, address) in edge_addresses.iter().enumerate() {
            gateway.push(start("edge", number, &edge(*address, router_address, number, folder.path()))?);
        }
        gateway.push(start("router", 0, &router(router_address, router_admin, layout))?);
        fs::write(folder.path().join("chat_template.jinja"), CHAT_TEMPLATE)?;
        for (number, addresses) in sidecar_addresses.iter().zip(&engine_addresses).enumerate() {
            gateway.push(start("sidecar", number, &sidecar(number, addresses, router_address, folder.path()))?);
        }
        machine::pin(place.cores.1)?;
        let played = match layout.replicas {
            Replicas::Engines(_) => None,
            Replicas::Played { replicas, models } => Some(PlayedFleet::attach(router_address, replicas, models).await?),
        };
        let (first_answer, next) = (Duration::ZERO, AtomicUsize::new(0));
        let mut rig = Self {
            engine_addresses,
            edge_addresses,
            gateway,
            is_haproxy: false,
            first_answer,
            _engines: engines,
            played,
            router_admin,
            next,
            folder,
        };
        for _ in 0..layout.edges {
            while let Err(error) = rig.first().await {
                if began.elapsed() > START {
                    bail!("the gateway answers nothing after {START:?}: {error:#}; logs: {}", rig.keep().display());
                }
                sleep(Duration::from_millis(5)).await;
            }
        }
        rig.first_answer = began.elapsed();
        Ok(rig)
    }

    /// HAProxy in the gateway's place, in front of one engine.
    pub async fn haproxy(place: &Place) -> Result<Self> {
        let folder = TempDir::with_prefix("cloudach-bench-")?;
        let [address, engine_address, router_admin] =
            free_addresses(3)?.try_into().map_err(|_| anyhow!("no address is free"))?;
        machine::pin(place.cores.1)?;
        let mut command = Command::new(place.engine.join("fake-engine"));
        command.args(["--listen", &engine_address.to_string(), "--model", &model(0), "--max-model-len", "10000000"]);
        let engine = Process::start("engine", 0, &mut command, folder.path())?;
        machine::pin(place.cores.0)?;
        let path = folder.path().join("haproxy.cfg");
        let config = format!(
            "global\n nbthread 1\n maxconn 4000\ndefaults\n mode http\n timeout connect 5s\n timeout client 1h\n \
             timeout server 1h\n http-reuse always\nlisten all\n bind {address}\n server engine {engine_address}\n"
        );
        fs::write(&path, config)?;
        let mut command = Command::new("haproxy");
        let haproxy = Process::start("haproxy", 0, command.arg("-db").arg("-f").arg(&path), folder.path())?;
        machine::pin(place.cores.1)?;
        let rig = Self {
            engine_addresses: vec![engine_address],
            edge_addresses: vec![address],
            gateway: vec![haproxy],
            is_haproxy: true,
            first_answer: Duration::ZERO,
            _engines: vec![engine],
            played: None,
            router_admin,
            next: AtomicUsize::new(0),
            folder,
        };
        let began = Instant::now();
        while let Err(error) = rig.first().await {
            if began.elapsed() > START {
                bail!("HAProxy answers nothing after {START:?}: {error:#}; logs: {}", rig.keep().display());
            }
            sleep(Duration::from_millis(5)).await;
        }
        Ok(rig)
    }

    /// A short request to whom is asked. HAProxy passes on what the engine understands.
    pub fn request(&self, target: Target, text: &str, stream: bool) -> Request {
        if self.is_haproxy { Target::Engine.request(text, stream) } else { target.request(text, stream) }
    }

    /// A new connection to whom is asked: to each of several in turn.
    pub async fn connect(&self, target: Target) -> Result<Connection> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let addresses = match target {
            Target::Engine => &self.engine_addresses,
            Target::Gateway => &self.edge_addresses,
        };
        Connection::open(addresses[turn % addresses.len()]).await
    }

    /// Processor time of all processes of the gateway.
    pub fn cpu(&self) -> Result<Duration> {
        self.gateway.iter().map(Process::cpu).sum()
    }

    /// How many requests the engine has at work.
    pub async fn engine_running(&self) -> Result<u64> {
        metric(&mut self.connect(Target::Engine).await?, "vllm:num_requests_running").await
    }

    /// Waits until so many replicas are ready.
    pub async fn all_ready(&self, replicas: u64) -> Result<()> {
        let begun = Instant::now();
        loop {
            let ready =
                metric(&mut Connection::open(self.router_admin).await?, "cloudach_router_replicas_ready").await?;
            if ready == replicas {
                return Ok(());
            }
            ensure!(begun.elapsed() < START, "{ready} of {replicas} replicas are ready after {START:?}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Where its files stay, for who wants to know why a measurement failed.
    pub fn keep(self) -> PathBuf {
        self.folder.keep()
    }

    /// Ends the gateway in order.
    pub fn stop(self) -> Result<()> {
        // HAProxy says of any signal that it was one.
        if self.is_haproxy {
            return Ok(());
        }
        self.gateway.into_iter().try_for_each(Process::stop)
    }

    /// A first answer of the edge whose turn it is; where there is none, its turn comes again.
    async fn first(&self) -> Result<()> {
        let turn = self.next.load(Ordering::Relaxed);
        let request = self.request(Target::Gateway, "hello [[tokens=1]]", false);
        let asked = async { self.connect(Target::Gateway).await?.ask(&request).await?.ok() };
        asked.await.inspect_err(|_| self.next.store(turn, Ordering::Relaxed)).map(|_| ())
    }
}

impl Target {
    /// A question for the gateway, and its prompt for the engine, which is asked as the gateway asks it.
    pub fn request(self, text: &str, stream: bool) -> Request {
        match self {
            Self::Engine => {
                let body = json!({ "model": model(0), "prompt": text, "max_tokens": MAX_TOKENS });
                Request::post("/v1/completions", KEY, &answered(body, stream).to_string())
            }
            Self::Gateway => messages(&json!([{ "role": "user", "content": text }]), stream),
        }
    }
}

/// A chat of these messages, answered whole or streamed.
pub fn messages(messages: &Value, stream: bool) -> Request {
    chat(json!({ "messages": messages }), stream)
}

/// A chat with this and what is missing of it.
pub fn chat(mut body: Value, stream: bool) -> Request {
    body["max_tokens"] = MAX_TOKENS.into();
    if body.get("model").is_none() {
        body["model"] = model(0).into();
    }
    Request::post("/v1/chat/completions", KEY, &answered(body, stream).to_string())
}

/// Streams tell their usage, so that it can be seen that nothing is missing.
fn answered(mut body: Value, stream: bool) -> Value {
    if stream {
        body["stream"] = true.into();
        body["stream_options"] = json!({ "include_usage": true });
    }
    body
}

/// A count that a process tells.
async fn metric(connection: &mut Connection, name: &str) -> Result<u64> {
    let text = connection.ask(&Request::get("/metrics")).await?.text()?;
    let line = text.lines().find(|line| line.starts_with(name));
    let value = line.and_then(|line| line.rsplit(' ').next()).with_context(|| format!("{name} is not told"))?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small count")]
    Ok(value.parse::<f64>()? as u64)
}

fn drain() -> Value {
    json!({ "settle": "0s", "grace": "5s" })
}

fn edge(listen: SocketAddr, router: SocketAddr, number: usize, folder: &Path) -> Value {
    json!({
        "listen": listen, "admin": "127.0.0.1:0", "drain": drain(), "routers": [router],
        "keys": [{ "name": "bench", "sha256": KEY_SHA256, "tenant": "bench" }],
        "store": { "path": folder.join(format!("store-{number}")), "pepper": "0123456789abcdef0123456789abcdef" },
    })
}

fn router(listen: SocketAddr, admin: SocketAddr, layout: &Layout) -> Value {
    let entry = |number| match layout.placed && number >= layout.served() {
        true => json!({ "placement": { "source": "/models/one", "memory_mib": 1000 } }),
        false => json!({ "tool_format": "hermes" }),
    };
    let models: serde_json::Map<_, _> = (0..layout.models).map(|number| (model(number), entry(number))).collect();
    json!({ "listen": listen, "admin": admin, "drain": drain(), "catalogue": { "models": models } })
}

fn sidecar(number: usize, (listen, engine): (&SocketAddr, &SocketAddr), router: SocketAddr, folder: &Path) -> Value {
    json!({
        "replica": format!("bench-{number}"), "listen": listen, "admin": "127.0.0.1:0", "drain": drain(),
        "routers": [router], "model": model(0),
        "limits": { "max_requests": 60_000, "stall_timeout": "10m" },
        "engine": {
            "dialect": "vllm", "url": format!("http://{engine}"),
            "chat_template_file": folder.join("chat_template.jinja"),
        },
    })
}

fn free_addresses(count: usize) -> Result<Vec<SocketAddr>> {
    let listeners: Vec<_> =
        (0..count).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<Result<_, _>>()?;
    listeners.iter().map(|listener| Ok(listener.local_addr()?)).collect()
}
