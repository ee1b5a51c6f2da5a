//! A running fake engine: its listener, its connections, and their end.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use serde_json::Value;
use tokio::net::{TcpListener, TcpSocket, UnixListener};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::connection;
use crate::load::{Load, Recorded, TraceHeaders};
use crate::orders::LONGEST_WAIT;
use crate::reply::Whole;
use crate::script::{Dialect, Listen, Script};
use crate::socket::Socket;

/// How many connections wait in the kernel to be accepted: a load test opens thousands at once.
const BACKLOG: u32 = 16_384;
/// How long no connection is accepted after the process ran out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A running fake engine. Dropping it ends it.
#[derive(Debug)]
pub struct FakeEngine {
    shared: Arc<Shared>,
    address: Listen,
    tasks: TaskTracker,
    _end_on_drop: DropGuard,
}

/// What all connections of an engine share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) load: Arc<Load>,
    pub(crate) ready_at: Instant,
    script: RwLock<Arc<Script>>,
    recorded: Mutex<Recorded>,
    admin: Mutex<Admin>,
    figures: OnceLock<Whole>,
    numbers: AtomicU64,
    dead: Arc<AtomicBool>,
    end: CancellationToken,
}

/// What the administrative endpoints change.
#[derive(Debug, Default)]
pub(crate) struct Admin {
    pub(crate) sleep_level: Option<u8>,
    /// Adapter names and their paths.
    pub(crate) adapters: std::collections::BTreeMap<String, String>,
}

/// An address that is taken but not listened on: a client is refused there.
enum Unopened {
    Tcp(TcpSocket),
    Unix(PathBuf),
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl FakeEngine {
    /// Starts an engine on a free port of 127.0.0.1.
    pub async fn start(script: Script) -> Self {
        let free_port = Listen::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        Self::listen(script, &free_port).await.expect("loopback has a free port")
    }

    /// Starts an engine that listens there. Returns at once, also when the script says that starting takes time.
    pub async fn listen(script: Script, listen: &Listen) -> io::Result<Self> {
        let end = CancellationToken::new();
        let shared = Arc::new(Shared::new(script, end.clone()));
        let (unopened, address) = Unopened::new(listen)?;
        let tasks = TaskTracker::new();
        if shared.listens_late() {
            let shared = Arc::clone(&shared);
            tasks.spawn(async move {
                if shared.startup().await
                    && let Ok(listener) = unopened.open()
                {
                    accept(listener, shared).await;
                }
            });
        } else {
            tasks.spawn(accept(unopened.open()?, Arc::clone(&shared)));
        }
        tasks.close();
        Ok(Self { shared, address, tasks, _end_on_drop: end.drop_guard() })
    }

    /// The base URL: `http://127.0.0.1:PORT`, or `unix:PATH`.
    pub fn url(&self) -> String {
        match &self.address {
            Listen::Tcp(address) => format!("http://{address}"),
            Listen::Unix(path) => format!("unix:{}", path.display()),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> &Listen {
        &self.address
    }

    /// How many requests are running now.
    pub fn running(&self) -> usize {
        self.shared.load.running()
    }

    /// How many requests wait for their turn.
    pub fn waiting(&self) -> usize {
        self.shared.load.waiting()
    }

    /// How many tokens were generated since the start.
    pub fn generated_tokens(&self) -> u64 {
        self.shared.load.generated()
    }

    /// The bodies of the latest generation and embedding requests, oldest first.
    pub fn requests(&self) -> Vec<Value> {
        self.shared.recorded().bodies()
    }

    /// The trace headers of the latest requests to generate or to embed, oldest first; `None` for one that had none.
    pub fn traces(&self) -> Vec<Option<TraceHeaders>> {
        self.shared.recorded().traces()
    }

    /// Changes what is answered from the next request on. What is read at the start (`startup_delay`, `max_running`)
    /// stays as it was.
    pub fn set_script(&self, script: Script) {
        *self.shared.script.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(script);
    }

    /// The engine dies: nobody listens any more and all connections are reset, at once.
    pub fn kill(&self) {
        self.shared.kill();
    }

    /// Returns when the engine has ended, by itself or killed.
    pub async fn ended(&self) {
        self.tasks.wait().await;
    }

    /// Closes the listener and all connections and waits until that is done.
    pub async fn stop(self) {
        self.shared.end.cancel();
        self.tasks.wait().await;
    }
}

impl Shared {
    fn new(script: Script, end: CancellationToken) -> Self {
        Self {
            load: Arc::new(Load::new(script.max_running, script.kv_cache_tokens)),
            ready_at: Instant::now() + script.startup_delay.min(LONGEST_WAIT),
            script: RwLock::new(Arc::new(script)),
            recorded: Mutex::default(),
            admin: Mutex::default(),
            figures: OnceLock::new(),
            numbers: AtomicU64::new(0),
            dead: Arc::default(),
            end,
        }
    }

    /// The figures, or those of before when they do not change any more.
    pub(crate) fn figures(&self, script: &Script, now: impl FnOnce() -> Whole) -> Whole {
        if script.stale_figures { self.figures.get_or_init(now).clone() } else { now() }
    }

    pub(crate) fn script(&self) -> Arc<Script> {
        Arc::clone(&self.script.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn recorded(&self) -> MutexGuard<'_, Recorded> {
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn admin(&self) -> MutexGuard<'_, Admin> {
        self.admin.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number that no other request of this engine has.
    pub(crate) fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn kill(&self) {
        self.dead.store(true, Ordering::Relaxed);
        self.end.cancel();
    }

    fn listens_late(&self) -> bool {
        matches!(self.script().dialect, Dialect::Vllm(_)) && self.ready_at > Instant::now()
    }

    /// Waits until the engine is ready; false when it was ended before.
    async fn startup(&self) -> bool {
        self.end.run_until_cancelled(tokio::time::sleep_until(self.ready_at)).await.is_some()
    }
}

impl Unopened {
    /// Takes the address; returns it with the port that was free.
    fn new(listen: &Listen) -> io::Result<(Self, Listen)> {
        match listen {
            Listen::Tcp(address) => {
                let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
                socket.set_reuseaddr(true)?;
                socket.bind(*address)?;
                let address = Listen::Tcp(socket.local_addr()?);
                Ok((Self::Tcp(socket), address))
            }
            Listen::Unix(path) => Ok((Self::Unix(path.clone()), listen.clone())),
        }
    }

    fn open(self) -> io::Result<Listener> {
        match self {
            Self::Tcp(socket) => socket.listen(BACKLOG).map(Listener::Tcp),
            Self::Unix(path) => UnixListener::bind(path).map(Listener::Unix),
        }
    }
}

impl Listener {
    async fn accept(&self, dead: &Arc<AtomicBool>) -> io::Result<Socket> {
        match self {
            Self::Tcp(listener) => Socket::tcp(listener.accept().await?.0, Arc::clone(dead)),
            Self::Unix(listener) => Ok(Socket::unix(listener.accept().await?.0, Arc::clone(dead))),
        }
    }
}

/// Serves connections until the engine's end; leaving drops them all.
async fn accept(listener: Listener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = shared.end.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(&shared.dead) => match accepted {
                Ok(socket) => {
                    connections.spawn(connection::serve(socket, Arc::clone(&shared)));
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
        }
    }
    drop(listener);
    connections.shutdown().await;
}
