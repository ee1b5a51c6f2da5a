//! One process of a service: started, asked how it is, signalled, and its log kept.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::connection::Connection;
use crate::waiting::{eventually, holds_within};

/// How long a process may take to open its addresses and to get ready, on a machine that is busy compiling.
const START: Duration = Duration::from_secs(30);

/// How much of a log is shown, in lines.
const SHOWN: usize = 80;

/// A process of a service.
#[derive(Debug)]
pub struct Service {
    pub name: String,
    program: &'static str,
    folder: PathBuf,
    /// What it is told; written anew at every start.
    config: Value,
    starts: u32,
    state: Mutex<State>,
    /// Where it serves: `host:port` or `unix:/path`.
    pub listen: String,
    /// Where it says how it is.
    pub admin: SocketAddr,
}

#[derive(Debug)]
struct State {
    child: Child,
    exit: Option<Exit>,
    /// Its end is the test's own doing.
    meant: bool,
}

/// How a process has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    pub signal: Option<i32>,
}

impl Service {
    /// Starts `program` with `config`, which asks for free ports, and waits until its addresses are open.
    pub(crate) fn start(name: String, program: &'static str, folder: &Path, config: Value) -> Self {
        let child = spawn(&name, program, folder, &config, 0);
        let mut service = Self {
            name,
            program,
            folder: folder.to_owned(),
            config,
            starts: 0,
            state: Mutex::new(State { child, exit: None, meant: false }),
            listen: String::new(),
            admin: SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        service.learn_addresses();
        service
    }

    /// Starts it again, at the same address.
    ///
    /// # Panics
    /// When it still runs.
    pub(crate) fn restart(&mut self) {
        self.exit_within(Duration::from_secs(5)).expect("a process that runs is not started again");
        self.config["listen"] = self.listen.clone().into();
        self.starts += 1;
        let child = spawn(&self.name, self.program, &self.folder, &self.config, self.starts);
        *self.state() = State { child, exit: None, meant: false };
        self.learn_addresses();
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.state().child.id()
    }

    /// Ends it the hard way, like `kill -9`.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// Has it look at its files again.
    pub fn hang_up(&self) {
        self.send(Signal::HUP);
    }

    /// What its configuration was when it was started.
    pub fn config(&self) -> &Value {
        &self.config
    }

    /// Puts another text into the file of its configuration.
    ///
    /// # Panics
    /// When the folder takes no files.
    pub fn rewrite(&self, text: &str) {
        let path = self.folder.join(format!("{}.yaml", self.name));
        // As people and Kubernetes do: at once.
        let beside = path.with_extension("new");
        fs::write(&beside, text).and_then(|()| fs::rename(&beside, &path)).expect("the folder takes files");
    }

    /// Asks it to stop.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Whether it has not ended.
    pub fn runs(&self) -> bool {
        self.exit().is_none()
    }

    /// How it ended, if it did within `limit`.
    pub fn exit_within(&self, limit: Duration) -> Option<Exit> {
        holds_within(limit, || self.exit().is_some());
        self.exit()
    }

    /// Whether `/readyz` says that it may be sent work.
    pub fn is_ready(&self) -> bool {
        self.admin_answer("/readyz").is_some_and(|(status, _)| status == 200)
    }

    /// Status and body of a path of its admin address; `None` when nobody listens there.
    pub fn admin_answer(&self, path: &str) -> Option<(u16, String)> {
        let mut connection = Connection::open(self.admin).ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.admin);
        connection.send(request.as_bytes()).ok()?;
        let answer = connection.answer().ok()?;
        Some((answer.head.status, answer.text()))
    }

    /// The value of a metric without labels.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let (_, metrics) = self.admin_answer("/metrics")?;
        metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    }

    /// The memory that it occupies, in KiB.
    ///
    /// # Panics
    /// When it has ended.
    pub fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux tells it");
        line.trim().trim_end_matches(" kB").parse().expect("it is a number")
    }

    /// The processor's time that it has taken.
    ///
    /// # Panics
    /// When it has ended.
    pub fn processor_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id())).expect("it runs");
        let (_, fields) = stat.rsplit_once(") ").expect("its name is in parentheses");
        let ticks: u64 = fields.split(' ').skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        // A hundredth of a second each, on every Linux.
        Duration::from_millis(ticks * 10)
    }

    /// What it has logged since its last start.
    pub fn log(&self) -> String {
        fs::read_to_string(log_path(&self.folder, &self.name, self.starts)).unwrap_or_default()
    }

    /// The log's lines with one of these messages.
    pub fn logged(&self, messages: &[&str]) -> Vec<Value> {
        let log = self.log();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| messages.iter().any(|message| line["message"] == *message)).collect()
    }

    /// Waits until it is ready.
    pub(crate) fn wait_until_ready(&self) {
        self.wait(|| self.is_ready(), "it is ready");
    }

    /// Waits for something that happens while it starts.
    pub(crate) fn wait(&self, mut condition: impl FnMut() -> bool, what: &str) {
        eventually(START, &format!("{}: {what}\n{}", self.name, self.admin), || {
            assert!(self.exit().is_none(), "{} ended at its start:\n{}", self.name, self.log());
            condition()
        });
    }

    /// What is wrong with it; `None`: nothing.
    pub(crate) fn complaint(&self) -> Option<String> {
        if let Some(exit) = self.exit().filter(|_| !self.state().meant) {
            return Some(format!("{} has ended: {exit:?}", self.name));
        }
        self.log().contains("panicked").then(|| format!("{} has panicked", self.name))
    }

    /// Shows the end of its log.
    pub(crate) fn show_log(&self) {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        eprintln!("---- {} (process {})", self.name, self.id());
        for line in &lines[lines.len().saturating_sub(SHOWN)..] {
            eprintln!("{line}");
        }
    }

    fn learn_addresses(&mut self) {
        let serving = if self.program == "cloudach-edge" { "listening for clients" } else { "listening for gRPC" };
        self.listen = self.opened(serving);
        self.admin = self.opened("admin port open").parse().expect("the admin address is one of TCP");
    }

    /// The address that a line of its log names.
    fn opened(&self, message: &str) -> String {
        let mut address = None;
        self.wait(
            || {
                address = self.logged(&[message]).pop().and_then(|line| line["address"].as_str().map(str::to_owned));
                address.is_some()
            },
            message,
        );
        address.expect("it was waited for")
    }

    fn signal(&self, signal: Signal) {
        self.state().meant = true;
        self.send(signal);
    }

    fn send(&self, signal: Signal) {
        let state = self.state();
        let id = i32::try_from(state.child.id()).ok().and_then(Pid::from_raw).expect("process ids are small");
        // A process that has ended and was not waited for keeps its id, so this never hits another.
        if state.exit.is_none() {
            kill_process(id, signal).expect("our own child can be signalled");
        }
    }

    fn exit(&self) -> Option<Exit> {
        let mut state = self.state();
        if state.exit.is_none() {
            state.exit = state.child.try_wait().expect("it is our own child").map(Exit::from);
        }
        state.exit
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Self {
        Self { code: status.code(), signal: status.signal() }
    }
}

/// The path of a program that cargo has built in the same profile as this test, or of another version of it, where one of the
/// environment's `CLOUDACH_EDGE_BIN`, `CLOUDACH_ROUTER_BIN` and `CLOUDACH_SIDECAR_BIN` says so (tests/wire/run.sh).
///
/// # Panics
/// When it is not built.
pub fn program(name: &str) -> PathBuf {
    let variable = name.to_uppercase().replace('-', "_") + "_BIN";
    if let Some(path) = std::env::var_os(variable) {
        return path.into();
    }
    let test = std::env::current_exe().expect("a process knows its program");
    let path = test.ancestors().nth(2).expect("tests lie in a folder of the profile's folder").join(name);
    assert!(path.exists(), "{} is missing: run `cargo build --workspace --bins` first", path.display());
    path
}

fn spawn(name: &str, program_name: &str, folder: &Path, config: &Value, start: u32) -> Child {
    let path = folder.join(format!("{name}.yaml"));
    // JSON is YAML.
    fs::write(&path, config.to_string()).expect("the folder takes files");
    let log = File::create(log_path(folder, name, start)).expect("the folder takes files");
    let began = Instant::now();
    let child = Command::new(program(program_name))
        .arg("--config")
        .arg(path)
        .env("RUST_BACKTRACE", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .process_group(0)
        .spawn()
        .unwrap_or_else(|error| panic!("{program_name} does not start: {error}"));
    assert!(began.elapsed() < START, "starting a process took {:?}", began.elapsed());
    child
}

fn log_path(folder: &Path, name: &str, start: u32) -> PathBuf {
    folder.join(format!("{name}.{start}.log"))
}
