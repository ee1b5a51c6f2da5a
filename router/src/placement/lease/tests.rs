//! The lease in Kubernetes against an API server that guards its objects by version, as the real one does, and that refuses,
//! hangs and is written to by others.

#![expect(clippy::disallowed_methods, reason = "tasks of a test end with its runtime")]

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    routing::{get, post},
};
use parking_lot::Mutex;
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;

use super::{Keeper, Lease, kubernetes::Kubernetes};
use crate::config;

/// A quarter of it is slack, on a machine that is busy with other tests.
const TIME: Duration = Duration::from_secs(2);

/// How long anything may take there.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a token is worth.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Worth {
    Known,
    Hangs,
    Forbidden,
}

#[derive(Debug, Default)]
struct Server {
    lease: Option<Value>,
    version: u64,
    tokens: HashMap<String, Worth>,
    /// So many writes meet that of another, who was quicker.
    crossed: u32,
    conflicts: u32,
    /// Refused for their token.
    unauthorized: u32,
}

type Shared = Arc<Mutex<Server>>;
type Answer = Result<Json<Value>, StatusCode>;

impl Server {
    fn keep(&mut self, mut lease: Value) -> Json<Value> {
        self.version += 1;
        lease["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.lease = Some(lease.clone());
        Json(lease)
    }

    /// Somebody labels the Lease in this moment.
    fn cross(&mut self) {
        if self.crossed > 0
            && let Some(mut lease) = self.lease.clone()
        {
            self.crossed -= 1;
            lease["metadata"]["labels"] = json!({ "crossed": self.crossed.to_string() });
            drop(self.keep(lease));
        }
    }
}

async fn who(server: &Shared, headers: &HeaderMap) -> Result<(), StatusCode> {
    let token = headers.get("authorization").and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let worth = server.lock().tokens.get(token.unwrap_or_default()).copied();
    match worth {
        Some(Worth::Known) => Ok(()),
        Some(Worth::Forbidden) => Err(StatusCode::FORBIDDEN),
        Some(Worth::Hangs) => std::future::pending().await,
        None => {
            server.lock().unauthorized += 1;
            Err(StatusCode::UNAUTHORIZED)
        }
    }
}

async fn read(State(server): State<Shared>, headers: HeaderMap, Path((ns, name)): Path<(String, String)>) -> Answer {
    who(&server, &headers).await?;
    assert_eq!((&*ns, &*name), ("fleet", "cloudach-placement"));
    server.lock().lease.clone().map(Json).ok_or(StatusCode::NOT_FOUND)
}

async fn create(State(server): State<Shared>, headers: HeaderMap, Json(mut lease): Json<Value>) -> Answer {
    who(&server, &headers).await?;
    let mut server = server.lock();
    if server.lease.is_some() {
        server.conflicts += 1;
        return Err(StatusCode::CONFLICT);
    }
    assert_eq!((&lease["apiVersion"], &lease["kind"]), (&json!("coordination.k8s.io/v1"), &json!("Lease")));
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    lease["metadata"]["creationTimestamp"] = now.into();
    Ok(server.keep(lease))
}

async fn update(State(server): State<Shared>, headers: HeaderMap, Json(lease): Json<Value>) -> Answer {
    who(&server, &headers).await?;
    let mut server = server.lock();
    server.cross();
    let Some(kept) = &server.lease else { return Err(StatusCode::NOT_FOUND) };
    if kept["metadata"]["resourceVersion"] != lease["metadata"]["resourceVersion"] {
        server.conflicts += 1;
        return Err(StatusCode::CONFLICT);
    }
    Ok(server.keep(lease))
}

struct Cluster {
    url: String,
    server: Shared,
    folder: TempDir,
    ca_file: Option<PathBuf>,
    _serving: JoinHandle<()>,
}

/// Takes connections by TLS.
struct Secured(TcpListener, TlsAcceptor);

impl axum::serve::Listener for Secured {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, from) = self.0.accept().await.unwrap();
            // Who does not trust the certificate leaves.
            if let Ok(stream) = self.1.accept(stream).await {
                return (stream, from);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

/// A router that wants the lease.
struct Contender {
    epoch: watch::Receiver<Option<u64>>,
    end: CancellationToken,
    running: JoinHandle<()>,
    token_file: PathBuf,
}

impl Cluster {
    async fn start() -> Self {
        let (routes, server) = Self::routes();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { url, server, folder: TempDir::new().unwrap(), ca_file: None, _serving: serving }
    }

    /// By TLS, with a certificate of its own.
    async fn start_secured() -> Self {
        let (routes, server) = Self::routes();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let folder = TempDir::new().unwrap();
        let ca_file = folder.path().join("ca.crt");
        std::fs::write(&ca_file, made.cert.pem()).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
        let secured = Secured(listener, TlsAcceptor::from(Arc::new(config)));
        let serving = tokio::spawn(async move { axum::serve(secured, routes).await.unwrap() });
        Self { url, server, folder, ca_file: Some(ca_file), _serving: serving }
    }

    fn routes() -> (Router, Shared) {
        let server = Shared::default();
        let leases = "/apis/coordination.k8s.io/v1/namespaces/{ns}/leases";
        let routes = Router::new()
            .route(leases, post(create))
            .route(&format!("{leases}/{{name}}"), get(read).put(update))
            .with_state(server.clone());
        (routes, server)
    }

    fn set(&self, token: &str, worth: Worth) {
        self.server.lock().tokens.insert(token.to_owned(), worth);
    }

    /// One whose name and token this is.
    fn contender(&self, name: &str) -> Contender {
        self.set(name, Worth::Known);
        let token_file = self.folder.path().join(name);
        std::fs::write(&token_file, format!("{name}\n")).unwrap();
        let kubernetes = Kubernetes::of(&self.config(&token_file), name.to_owned(), TIME).unwrap();
        let lease = Lease::new(Keeper::Kubernetes(Box::new(kubernetes)), TIME);
        let (epoch, end) = (lease.epoch(), CancellationToken::new());
        let running = tokio::spawn(lease.keep(end.clone()));
        Contender { epoch, end, running, token_file }
    }

    fn config(&self, token_file: &std::path::Path) -> config::Kubernetes {
        config::Kubernetes {
            namespace: Some("fleet".to_owned()),
            url: Some(self.url.clone()),
            token_file: Some(token_file.to_owned()),
            ca_file: self.ca_file.clone(),
            ..config::Kubernetes::default()
        }
    }

    fn holder(&self) -> String {
        let server = self.server.lock();
        let holder = server.lease.as_ref().map(|lease| lease["spec"]["holderIdentity"].clone());
        holder.unwrap_or_default().as_str().unwrap_or_default().to_owned()
    }
}

impl Contender {
    fn now(&self) -> Option<u64> {
        *self.epoch.borrow()
    }

    async fn leads(&self) -> u64 {
        let mut epoch = self.epoch.clone();
        let led = timeout(PATIENCE, epoch.wait_for(Option::is_some)).await.expect("it leads").unwrap();
        led.unwrap()
    }

    async fn leads_no_more(&self) {
        let mut epoch = self.epoch.clone();
        timeout(PATIENCE, epoch.wait_for(Option::is_none)).await.expect("it leads no more").unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_leads_and_another_takes_over_when_it_is_gone() {
    let cluster = Cluster::start().await;
    let first = cluster.contender("a");
    let epoch = first.leads().await;
    let second = cluster.contender("b");
    sleep(TIME * 2).await;
    assert_eq!((first.now(), second.now(), &*cluster.holder()), (Some(epoch), None, "a"), "it is renewed");

    // Killed: nothing is given back.
    first.running.abort();
    let died = Instant::now();
    let next = second.leads().await;
    assert!(next > epoch && died.elapsed() > TIME * 3 / 4, "{next} after {:?}", died.elapsed());

    // Stopped: it is given back, and taken at once.
    let third = cluster.contender("c");
    sleep(TIME / 2).await;
    assert_eq!(third.now(), None);
    second.end.cancel();
    second.running.await.unwrap();
    assert_eq!(second.epoch.borrow().as_ref(), None);
    assert!(third.leads().await > next);

    // Somebody deletes it: it is made anew, and epochs go on rising.
    let before = third.now();
    cluster.server.lock().lease = None;
    let made = async {
        while cluster.holder().is_empty() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, made).await.expect("it is made anew");
    let mut told = third.epoch.clone();
    timeout(PATIENCE, told.wait_for(|epoch| *epoch > before)).await.expect("a higher epoch").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_refused_leads_no_more_and_comes_back_with_a_new_token() {
    let cluster = Cluster::start().await;
    let first = cluster.contender("a");
    let epoch = first.leads().await;
    // Tokens are exchanged while it runs: nothing happens.
    cluster.set("a2", Worth::Known);
    std::fs::write(&first.token_file, "a2").unwrap();
    cluster.server.lock().tokens.remove("a");
    sleep(TIME).await;
    assert_eq!((first.now(), cluster.server.lock().unauthorized <= 1), (Some(epoch), true));
    // The old one is refused.
    cluster.server.lock().tokens.remove("a2");
    first.leads_no_more().await;
    assert!(cluster.server.lock().unauthorized > 0);
    cluster.set("a3", Worth::Forbidden);
    std::fs::write(&first.token_file, "a3").unwrap();
    sleep(TIME / 2).await;
    assert_eq!(first.now(), None);
    cluster.set("a3", Worth::Known);
    assert_eq!(first.leads().await, epoch, "nobody else has had it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_server_that_hangs_is_not_waited_for() {
    let cluster = Cluster::start().await;
    let (first, second) = (cluster.contender("a"), cluster.contender("b"));
    let (leader, other, name) = tokio::select! {
        _ = first.leads() => (&first, &second, "a"),
        _ = second.leads() => (&second, &first, "b"),
    };
    let epoch = leader.now().unwrap();
    cluster.set(name, Worth::Hangs);
    // By the time that the other one may have it, this one has let go of it.
    let next = other.leads().await;
    assert_eq!(leader.now(), None);
    assert!(next > epoch);
    cluster.set(name, Worth::Known);
    sleep(TIME).await;
    assert_eq!((leader.now(), other.now()), (None, Some(next)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn never_two_at_once_whatever_happens() {
    let cluster = Cluster::start().await;
    let contenders: Vec<Contender> = ["a", "b", "c"].map(|name| cluster.contender(name)).into();
    let (mut last, mut leader, mut changes) = (0, None, 0);
    let begun = Instant::now();
    let mut trouble = begun + TIME / 2;
    while begun.elapsed() < TIME * 6 {
        let leading: Vec<(usize, u64)> =
            contenders.iter().enumerate().filter_map(|(at, contender)| Some((at, contender.now()?))).collect();
        assert!(leading.len() <= 1, "two lead: {leading:?}");
        if let Some(&(at, epoch)) = leading.first() {
            assert!(epoch > last || (epoch == last && leader == Some(at)), "{epoch} after {last}");
            changes += usize::from(leader != Some(at));
            (last, leader) = (epoch, Some(at));
        }
        if Instant::now() >= trouble {
            trouble += TIME * 3 / 2;
            cluster.server.lock().crossed = 3;
            // Who leads is cut off, the others are not.
            for (at, name) in ["a", "b", "c"].into_iter().enumerate() {
                cluster.set(name, if leader == Some(at) { Worth::Hangs } else { Worth::Known });
            }
        }
        sleep(Duration::from_millis(5)).await;
    }
    assert!(changes >= 2, "{changes} leaders");
    assert!(cluster.server.lock().conflicts > 0, "writes have crossed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_server_with_the_right_certificate_is_told_the_token() {
    let cluster = Cluster::start_secured().await;
    let first = cluster.contender("a");
    first.leads().await;
    first.end.cancel();
    first.running.await.unwrap();
    assert_eq!(cluster.holder(), "", "it was given back");
    // Another cluster's authority.
    let other = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(cluster.ca_file.as_ref().unwrap(), other.cert.pem()).unwrap();
    let second = cluster.contender("b");
    sleep(TIME).await;
    assert_eq!((second.now(), &*cluster.holder()), (None, ""));
}

#[test]
fn what_cannot_be_a_lease_is_refused() {
    let of = |config: config::Kubernetes| Kubernetes::of(&config, "me".to_owned(), TIME).map(drop);
    let fine = config::Kubernetes {
        url: Some("https://10.0.0.1:443".to_owned()),
        namespace: Some("fleet".to_owned()),
        ..config::Kubernetes::default()
    };
    assert!(of(fine.clone()).is_ok());
    for url in ["10.0.0.1", "ftp://x", "https://", "https://x/y", ""] {
        assert!(of(config::Kubernetes { url: Some(url.to_owned()), ..fine.clone() }).is_err(), "{url}");
    }
    for name in ["", "A", "a/b", "../x", "-a", &"a".repeat(254)] {
        assert!(of(config::Kubernetes { name: name.to_owned(), ..fine.clone() }).is_err(), "{name}");
        assert!(of(config::Kubernetes { namespace: Some(name.to_owned()), ..fine.clone() }).is_err(), "{name}");
    }
}
