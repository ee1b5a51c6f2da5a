//! A whole fleet on this machine: engines, routers, sidecars and edges, started in that order and ended together.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use cloudach_fake_engine::{Dialect, FakeEngine, Script};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::client::Client;
use crate::guardian::Guardian;
use crate::json::with;
use crate::plan::{Engine, Link, Plan, Replica};
use crate::redis::ADMIN_TOKEN;
use crate::service::{Service, program};

/// The key that every edge knows, and its SHA-256.
const KEY: &str = "sk-blackbox-0123456789abcdef";
const KEY_SHA256: &str = "5f1e1072241d652e154acbd66b66d4776ae18a8b85b9484184a5e5fbc8bc2be6";

/// A template that leaves the conversation readable, for engines that tell of none.
const CHAT_TEMPLATE: &str = "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}\n{% endfor %}\
                             {% if add_generation_prompt %}<|assistant|>{% endif %}";

/// Sessions that a router keeps open to each sidecar.
const SESSIONS: usize = 2;

/// Descriptors that a fleet under load needs, in every process.
const DESCRIPTORS: u64 = 16_384;

/// A running fleet. Dropping it ends all of it.
#[derive(Debug)]
pub struct Fleet {
    pub edges: Vec<Service>,
    pub routers: Vec<Service>,
    pub sidecars: Vec<Service>,
    /// Those in the test process, in the order of their replicas.
    pub engines: Vec<FakeEngine>,
    guardian: Guardian,
    pub folder: PathBuf,
}

/// What runs the engines, and whatever else a test does with sockets of its own.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("threads can be started"));
    &RUNTIME
}

impl Fleet {
    /// Starts everything and waits until all of it is ready; a replica without an engine is not waited for.
    pub fn start(plan: Plan) -> Self {
        raise_descriptor_limit();
        let folder = TempDir::with_prefix("cloudach-").expect("there is a folder for temporary files").keep();
        let mut fleet = Self {
            edges: Vec::new(),
            routers: Vec::new(),
            sidecars: Vec::new(),
            engines: Vec::new(),
            guardian: Guardian::over(&folder),
            folder,
        };
        fleet.start_routers(&plan);
        let present = plan.replicas.iter().map(|replica| !matches!(replica.engine, Engine::Absent)).collect::<Vec<_>>();
        fleet.start_sidecars(&plan);
        for (number, replica) in plan.replicas.iter().enumerate().filter(|(number, _)| present[*number]) {
            match replica.engine {
                Engine::Managed(_) => fleet.sidecars[number].wait_until_ready(),
                _ => fleet.wait_for_sidecar(number),
            }
        }
        fleet.start_edges(&plan);
        fleet
    }

    /// A client of the first edge.
    pub fn client(&self) -> Client {
        self.client_of(0)
    }

    /// A client of one edge.
    ///
    /// # Panics
    /// When there is no such edge.
    pub fn client_of(&self, edge: usize) -> Client {
        let address = self.edges[edge].listen.parse().expect("edges listen on TCP");
        Client { address, key: KEY.to_owned() }
    }

    /// A client of one edge's admin API.
    ///
    /// # Panics
    /// When there is no such edge.
    pub fn admin_of(&self, edge: usize) -> Client {
        Client { address: self.edges[edge].admin, key: ADMIN_TOKEN.to_owned() }
    }

    /// The first engine.
    ///
    /// # Panics
    /// When there is none in this process.
    pub fn engine(&self) -> &FakeEngine {
        &self.engines[0]
    }

    /// How many requests run in all engines of this process.
    pub fn running(&self) -> usize {
        self.engines.iter().map(FakeEngine::running).sum()
    }

    /// Starts a router again and waits until it knows every sidecar that runs.
    pub fn restart_router(&mut self, router: usize) {
        self.routers[router].restart();
        self.tell_guardian();
        for sidecar in (0..self.sidecars.len()).filter(|sidecar| self.sidecars[*sidecar].runs()) {
            self.wait_until_known(router, sidecar);
        }
    }

    /// Starts a sidecar again and waits until every router that runs knows it.
    pub fn restart_sidecar(&mut self, sidecar: usize) {
        let before: Vec<_> = self.routers.iter().filter(|router| router.runs()).map(attached).collect();
        self.sidecars[sidecar].restart();
        self.tell_guardian();
        for (router, before) in self.routers.iter().filter(|router| router.runs()).zip(before) {
            router.wait(|| attached(router) > before, "the sidecar attaches again");
        }
        self.wait_for_sidecar(sidecar);
    }

    /// Starts an edge again and waits until it is ready.
    pub fn restart_edge(&mut self, edge: usize) {
        self.edges[edge].restart();
        self.tell_guardian();
        self.edges[edge].wait_until_ready();
    }

    /// Starts one more edge, with settings laid over those of the plan's, and does not wait until it is ready. Its number.
    pub fn add_edge(&mut self, changes: Value) -> usize {
        let number = self.edges.len();
        let config = with(edge_config(&self.routers), changes);
        self.edges.push(Service::start(format!("edge{number}"), "cloudach-edge", &self.folder, config));
        self.tell_guardian();
        number
    }

    /// Every process of the services.
    pub fn services(&self) -> impl Iterator<Item = &Service> {
        self.edges.iter().chain(&self.routers).chain(&self.sidecars)
    }

    /// Fails when a process has ended that should not have, or has panicked.
    ///
    /// # Panics
    /// Then.
    pub fn assert_well(&self) {
        let complaints: Vec<_> = self.services().filter_map(Service::complaint).collect();
        assert!(complaints.is_empty(), "{complaints:?}");
    }

    /// Shows what all processes have logged.
    pub fn show_logs(&self) {
        self.services().for_each(Service::show_log);
    }

    fn start_routers(&mut self, plan: &Plan) {
        let mut models = json!({});
        for replica in plan.replicas.iter().filter(|replica| !matches!(replica.engine, Engine::Managed(_))) {
            models[replica.model] = json!({});
        }
        for number in 0..plan.routers {
            let name = format!("router{number}");
            let config = json!({
                "listen": listen(plan.link, &self.folder, &name),
                "admin": "127.0.0.1:0",
                "catalogue": { "models": with(models.clone(), plan.models.clone()) },
                "drain": drain(),
            });
            let config = with(config, plan.router.clone());
            self.routers.push(Service::start(name, "cloudach-router", &self.folder, config));
            self.tell_guardian();
        }
    }

    fn start_sidecars(&mut self, plan: &Plan) {
        let template = self.folder.join("chat_template.jinja");
        fs::write(&template, CHAT_TEMPLATE).expect("the folder takes files");
        for (number, replica) in plan.replicas.iter().enumerate() {
            let name = format!("sidecar{number}");
            let mut engine = self.engine_settings(&name, replica);
            engine["chat_template_file"] = template.display().to_string().into();
            let config = json!({
                "replica": name,
                "listen": listen(plan.link, &self.folder, &name),
                "admin": "127.0.0.1:0",
                "routers": addresses(&self.routers),
                "model": replica.model,
                "engine": engine,
                "drain": drain(),
            });
            let mut config = with(config, plan.sidecar.clone());
            if let Engine::Managed(_) = replica.engine {
                config["model"] = Value::Null;
            }
            self.sidecars.push(Service::start(name, "cloudach-sidecar", &self.folder, config));
            self.tell_guardian();
        }
    }

    fn engine_settings(&mut self, name: &str, replica: &Replica) -> Value {
        let socket = format!("unix:{}", self.folder.join(format!("{name}-engine.sock")).display());
        match &replica.engine {
            Engine::Fake(script) => {
                let engine = runtime().block_on(FakeEngine::start(Script::clone(script)));
                let url = engine.url();
                self.engines.push(engine);
                json!({ "dialect": dialect(script), "url": url })
            }
            Engine::Child(words) | Engine::Managed(words) => {
                let word = |word: &&str| match *word {
                    "fake-engine" => program(word).display().to_string(),
                    word => word.to_owned(),
                };
                let mut command: Vec<_> = words.iter().map(word).collect();
                command.extend(["--listen".to_owned(), socket.clone()]);
                json!({ "dialect": "vllm", "url": socket, "command": command })
            }
            Engine::Absent => json!({ "dialect": "vllm", "url": socket }),
        }
    }

    fn start_edges(&mut self, plan: &Plan) {
        for number in 0..plan.edges {
            let config = with(edge_config(&self.routers), plan.edge.clone());
            self.edges.push(Service::start(format!("edge{number}"), "cloudach-edge", &self.folder, config));
            self.tell_guardian();
        }
        self.edges.iter().for_each(Service::wait_until_ready);
    }

    fn wait_for_sidecar(&self, sidecar: usize) {
        self.sidecars[sidecar].wait_until_ready();
        for router in (0..self.routers.len()).filter(|router| self.routers[*router].runs()) {
            self.wait_until_known(router, sidecar);
        }
    }

    /// Waits until the router was told that the sidecar's model is ready, and can send requests to it.
    fn wait_until_known(&self, router: usize, sidecar: usize) {
        let router = &self.routers[router];
        let replica = &self.sidecars[sidecar].name;
        let is_told = || {
            let told = router.logged(&["replica attached", "model state"]);
            let last = told.iter().rfind(|line| line["replica"] == replica.as_str());
            last.is_some_and(|line| line["phase"] == "MODEL_PHASE_READY")
        };
        router.wait(is_told, &format!("{replica} is ready"));
        let sessions = || router.logged(&["session open"]).len();
        router.wait(|| sessions() >= SESSIONS * attached(router), "sessions to all sidecars");
    }

    fn tell_guardian(&mut self) {
        let groups: Vec<_> = self.services().map(Service::id).collect();
        self.guardian.groups(groups.into_iter());
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.show_logs();
        } else {
            self.assert_well();
        }
    }
}

/// How often a sidecar has attached to this router.
fn attached(router: &Service) -> usize {
    router.logged(&["replica attached"]).len()
}

fn listen(link: Link, folder: &Path, name: &str) -> String {
    match link {
        Link::UnixSockets => format!("unix:{}", folder.join(format!("{name}.sock")).display()),
        Link::Tcp => "127.0.0.1:0".to_owned(),
    }
}

fn edge_config(routers: &[Service]) -> Value {
    json!({
        "listen": "127.0.0.1:0",
        "admin": "127.0.0.1:0",
        "routers": addresses(routers),
        "keys": [{ "name": "test", "sha256": KEY_SHA256, "tenant": "blackbox" }],
        "drain": drain(),
    })
}

fn addresses(services: &[Service]) -> Vec<&str> {
    services.iter().map(|service| service.listen.as_str()).collect()
}

/// No load balancer has to notice anything here.
fn drain() -> Value {
    json!({ "settle": "0s", "grace": "10s" })
}

fn dialect(script: &Script) -> &'static str {
    match script.dialect {
        Dialect::Vllm(_) => "vllm",
        Dialect::LlamaCpp => "llama_cpp",
    }
}

/// As a service manager does for the services: the usual limit is far below what a load test opens.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(DESCRIPTORS, |most| most.min(DESCRIPTORS));
    if limit.current.is_some_and(|current| current < wanted) {
        let raised = Rlimit { current: Some(wanted), maximum: limit.maximum };
        setrlimit(Resource::Nofile, raised).expect("a limit can be raised up to its maximum");
    }
}
