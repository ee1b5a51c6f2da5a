//! The engine, and the gateway in front of it as three processes, with keys, limits, usage and metrics as in production.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::{
    machine,
    process::Process,
    wire::{Connection, Request},
};

/// The key of all requests, and its SHA-256.
const KEY: &str = "sk-bench-0123456789abcdef";
const KEY_SHA256: &str = "4544960adbf893386971435af98a39b6f3a29f78107fbe68a787ab2467ba27d9";

pub const MODEL: &str = "bench-model";

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

/// Everything that runs.
pub struct Rig {
    engine_address: SocketAddr,
    edge_address: SocketAddr,
    pub gateway: [Process; 3],
    /// From the start of the gateway's processes to their first answer.
    pub first_answer: Duration,
    _engine: Process,
    folder: TempDir,
}

impl Rig {
    /// Starts the gateway on the first of the cores and the engine on the second, where this process stays, too.
    pub async fn start(programs: &Path, (ours, others): (usize, usize)) -> Result<Self> {
        let folder = TempDir::with_prefix("cloudach-bench-")?;
        let [engine_address, sidecar_address, router_address, edge_address] = free_addresses()?;
        machine::pin(others)?;
        let mut command = Command::new(programs.join("fake-engine"));
        command.args(["--listen", &engine_address.to_string(), "--model", MODEL, "--max-model-len", "10000000"]);
        let engine = Process::start("engine", &mut command, folder.path())?;

        machine::pin(ours)?;
        let drain = json!({ "settle": "0s", "grace": "5s" });
        let template = "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}\n{% endfor %}\
                        {% if add_generation_prompt %}<|assistant|>{% endif %}";
        let router = json!({
            "listen": router_address, "admin": "127.0.0.1:0", "drain": drain,
            "catalogue": { "models": { MODEL: {} } },
        });
        let sidecar = json!({
            "replica": "bench", "listen": sidecar_address, "admin": "127.0.0.1:0", "drain": drain,
            "routers": [router_address], "model": MODEL,
            "limits": { "max_requests": 60_000 },
            "engine": {
                "dialect": "vllm", "url": format!("http://{engine_address}"),
                "chat_template_file": folder.path().join("chat_template.jinja"),
            },
        });
        let edge = json!({
            "listen": edge_address, "admin": "127.0.0.1:0", "drain": drain, "routers": [router_address],
            "keys": [{ "name": "bench", "sha256": KEY_SHA256, "tenant": "bench" }],
            "store": { "path": folder.path().join("store"), "pepper": "0123456789abcdef0123456789abcdef" },
        });
        fs::write(folder.path().join("chat_template.jinja"), template)?;
        let began = Instant::now();
        let start = |name, config: &Value| {
            let path = folder.path().join(format!("{name}.json"));
            fs::write(&path, config.to_string())?;
            let mut command = Command::new(programs.join(format!("cloudach-{name}")));
            Process::start(name, command.arg("--config").arg(path).env("RUST_LOG", "info"), folder.path())
        };
        let gateway = [start("edge", &edge)?, start("router", &router)?, start("sidecar", &sidecar)?];
        machine::pin(others)?;
        let mut rig =
            Self { engine_address, edge_address, gateway, first_answer: Duration::ZERO, _engine: engine, folder };
        while let Err(error) = rig.first().await {
            if began.elapsed() > START {
                bail!("the gateway answers nothing after {START:?}: {error}");
            }
            sleep(Duration::from_millis(5)).await;
        }
        rig.first_answer = began.elapsed();
        Ok(rig)
    }

    /// A new connection to whom is asked.
    pub async fn connect(&self, target: Target) -> Result<Connection> {
        let address = match target {
            Target::Engine => self.engine_address,
            Target::Gateway => self.edge_address,
        };
        Connection::open(address).await
    }

    /// Processor time of each of the three.
    pub fn each_cpu(&self) -> Result<[Duration; 3]> {
        let [edge, router, sidecar] = &self.gateway;
        Ok([edge.cpu()?, router.cpu()?, sidecar.cpu()?])
    }

    /// Processor time of all three.
    pub fn cpu(&self) -> Result<Duration> {
        Ok(self.each_cpu()?.iter().sum())
    }

    /// How many requests the engine has at work.
    pub async fn engine_running(&self) -> Result<u64> {
        let mut connection = self.connect(Target::Engine).await?;
        let text = connection.ask(&Request::get("/metrics")).await?.text()?;
        let line = text.lines().find(|line| line.starts_with("vllm:num_requests_running"));
        let value = line.and_then(|line| line.rsplit(' ').next()).context("the engine does not tell its load")?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small count")]
        Ok(value.parse::<f64>()? as u64)
    }

    /// Where its files stay, for who wants to know why a measurement failed.
    pub fn keep(self) -> PathBuf {
        self.folder.keep()
    }

    /// Ends the gateway in order.
    pub fn stop(self) -> Result<()> {
        self.gateway.into_iter().try_for_each(Process::stop)
    }

    async fn first(&self) -> Result<()> {
        let request = Target::Gateway.request("hello [[tokens=1]]", false);
        self.connect(Target::Gateway).await?.ask(&request).await?.ok().map(|_| ())
    }
}

impl Target {
    /// A question for the gateway, and its prompt for the engine, which is asked as the gateway asks it.
    pub fn request(self, text: &str, stream: bool) -> Request {
        match self {
            Self::Engine => {
                let body = json!({ "model": MODEL, "prompt": text, "max_tokens": MAX_TOKENS });
                Request::post("/v1/completions", KEY, &answered(body, stream).to_string())
            }
            Self::Gateway => messages(&json!([{ "role": "user", "content": text }]), stream),
        }
    }
}

/// A chat of these messages, answered whole or streamed.
pub fn messages(messages: &Value, stream: bool) -> Request {
    let body = json!({ "model": MODEL, "messages": messages, "max_tokens": MAX_TOKENS });
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

fn free_addresses<const N: usize>() -> Result<[SocketAddr; N]> {
    let listeners: Vec<_> = (0..N).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<Result<_, _>>()?;
    let mut addresses = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); N];
    for (address, listener) in addresses.iter_mut().zip(&listeners) {
        *address = listener.local_addr()?;
    }
    Ok(addresses)
}
