//! A store behind TLS. The servers that tests find are built without it, so TLS ends in front of them, in the test: for
//! the client it is the same.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::WebPkiClientVerifier,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use tracing::subscriber::DefaultGuard;

use super::*;
use servers::free_ports;

/// A CA and the files of what it has signed.
struct Authority {
    ca: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("ca.pem"), ca.pem()).unwrap();
        Self { ca, folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn issue(&self, name: &str) -> (CertificateDer<'static>, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let signed = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.ca).unwrap();
        (signed.der().clone(), key)
    }

    /// The files of a certificate that a client shows, and of its key.
    fn issue_client(&self) -> [PathBuf; 2] {
        let key = KeyPair::generate().unwrap();
        let signed = CertificateParams::new(vec!["edge".to_owned()]).unwrap().signed_by(&key, &self.ca).unwrap();
        std::fs::write(self.file("client.pem"), signed.pem()).unwrap();
        std::fs::write(self.file("client.key"), key.serialize_pem()).unwrap();
        [self.file("client.pem"), self.file("client.key")]
    }

    /// What a server for `name` speaks; it asks for a certificate of this CA where it should.
    fn server(&self, name: &str, asks: bool) -> TlsAcceptor {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
        let builder = if asks {
            let mut roots = RootCertStore::empty();
            roots.add(self.ca.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        let (certificate, key) = self.issue(name);
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        TlsAcceptor::from(Arc::new(builder.with_single_cert(vec![certificate], key).unwrap()))
    }
}

/// Ends TLS in front of a server. What is not TLS is passed on as it is: a Sentinel asks its server this way.
async fn terminate(listener: TcpListener, tls: TlsAcceptor, server: SocketAddr, sessions: Arc<AtomicUsize>) {
    const HANDSHAKE: u8 = 22;
    let mut connections = JoinSet::new();
    loop {
        let (mut outside, _) = listener.accept().await.unwrap();
        let (tls, sessions) = (tls.clone(), sessions.clone());
        connections.spawn(async move {
            let mut first = [0];
            let Ok(1) = outside.peek(&mut first).await else { return };
            let Ok(mut inside) = TcpStream::connect(server).await else { return };
            if first[0] == HANDSHAKE {
                let Ok(mut outside) = tls.accept(outside).await else { return };
                sessions.fetch_add(1, Ordering::Relaxed);
                let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
            } else {
                let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
            }
        });
    }
}

/// What ends TLS, for as long as it lives.
struct Front {
    port: u16,
    sessions: Arc<AtomicUsize>,
    _task: JoinSet<()>,
}

impl Front {
    /// In front of the server at this port.
    async fn of(port: &str, tls: TlsAcceptor) -> Self {
        Self::at("0", port, tls).await
    }

    /// The same at a port of its own.
    async fn at(own: &str, port: &str, tls: TlsAcceptor) -> Self {
        let listener = TcpListener::bind(format!("127.0.0.1:{own}")).await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let (sessions, mut task) = (Arc::<AtomicUsize>::default(), JoinSet::new());
        task.spawn(terminate(listener, tls, format!("127.0.0.1:{port}").parse().unwrap(), sessions.clone()));
        Self { port: own, sessions, _task: task }
    }

    /// How many sessions there were.
    fn sessions(&self) -> usize {
        self.sessions.load(Ordering::Relaxed)
    }
}

async fn open_at(url: String, ca: &Path, client: Option<&[PathBuf; 2]>) -> Store {
    let mut redis = json!({ "url": url, "deadline": "5s", "ca_file": ca });
    if let Some([cert, key]) = client {
        redis["client_cert_file"] = json!(cert);
        redis["client_key_file"] = json!(key);
    }
    open(json!({ "redis": redis, "pepper": "0123456789abcdef" })).await
}

/// It is asked and told, also by the connection for what is published.
async fn assert_serves(store: &Store) {
    let begun = Instant::now();
    while store.get(Collection::Keys, "k").await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(20), "no server");
        sleep(Duration::from_millis(5)).await;
    }
    let mut changes = store.changes();
    for number in 0.. {
        let old = store.get(Collection::Keys, "k").await.unwrap();
        assert!(store.put(&put("k", old.as_deref(), Some(&number.to_string()))).await.unwrap());
        let told = tokio::time::timeout(Duration::from_millis(200), async {
            while changes.recv().await.unwrap() != Change::Document(Collection::Keys, "k".to_owned()) {}
        });
        if told.await.is_ok() {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "nothing is told");
    }
    let ask = ask(&[scope("key", json!({ "tokens_per_minute": 1000 }))], 10, 1);
    assert_eq!(store.reserve(&"a".into(), &ask).await.unwrap().0.exceeded, None);
}

#[test]
fn a_server_is_reached_by_tls() {
    let (authority, [port]) = (Authority::new("ours"), free_ports());
    let _server = Server::at(&port);
    Runtime::new().unwrap().block_on(async {
        let front = Front::of(&port, authority.server("localhost", false)).await;
        let store = open_at(format!("rediss://localhost:{}", front.port), &authority.file("ca.pem"), None).await;
        assert_serves(&store).await;
        assert!(front.sessions() >= 2, "calls, and what is published");
    });
}

#[test]
fn a_client_shows_its_certificate() {
    let (authority, [port]) = (Authority::new("ours"), free_ports());
    let _server = Server::at(&port);
    let client = authority.issue_client();
    Runtime::new().unwrap().block_on(async {
        let front = Front::of(&port, authority.server("localhost", true)).await;
        let url = format!("rediss://localhost:{}", front.port);
        let store = open_at(url, &authority.file("ca.pem"), Some(&client)).await;
        assert_serves(&store).await;
        assert!(front.sessions() >= 2);
    });
}

#[test]
fn a_cluster_is_reached_by_tls() {
    let (authority, [own]) = (Authority::new("ours"), free_ports());
    let (_server, port) = Server::cluster_behind(&own);
    Runtime::new().unwrap().block_on(async {
        let front = Front::at(&own, &port, authority.server("127.0.0.1", false)).await;
        let url = format!("rediss-cluster://127.0.0.1:{}", front.port);
        let store = open_at(url, &authority.file("ca.pem"), None).await;
        assert_serves(&store).await;
        assert!(front.sessions() >= 2);
    });
}

#[test]
fn sentinels_and_what_they_watch_are_reached_by_tls() {
    let (authority, [port]) = (Authority::new("ours"), free_ports());
    let _server = Server::at(&port);
    Runtime::new().unwrap().block_on(async {
        let front = Front::of(&port, authority.server("127.0.0.1", false)).await;
        let own = front.port.to_string();
        let watch = move || Server::sentinel_of(&own);
        let (_sentinel, watcher) = tokio::task::spawn_blocking(watch).await.unwrap();
        let watched = Front::of(&watcher, authority.server("127.0.0.1", false)).await;
        let url = format!("rediss-sentinel://127.0.0.1:{}/main", watched.port);
        let store = open_at(url, &authority.file("ca.pem"), None).await;
        assert_serves(&store).await;
        assert!(front.sessions() >= 2 && watched.sessions() >= 1);
    });
}

/// What the log says while there is no connection.
#[test]
fn what_is_wrong_with_tls_is_said() {
    let (authority, other, [port]) = (Authority::new("ours"), Authority::new("another"), free_ports());
    let (again, _server) = (Authority::new("ours"), Server::at(&port));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let front = Front::of(&port, authority.server("localhost", false)).await;
        let asking = Front::of(&port, authority.server("localhost", true)).await;
        let (right, asks) = (front.port, asking.port);
        let [own, others, anew] = [&authority, &other, &again].map(|authority| authority.file("ca.pem"));
        for (url, ca, expected) in [
            (
                format!("rediss://:secret@localhost:{right}"),
                &others,
                "name the CA's certificate in `store.redis.ca_file`",
            ),
            (format!("rediss://:secret@localhost:{right}"), &anew, "`store.redis.ca_file`"),
            (format!("rediss-cluster://:secret@localhost:{right}"), &others, "`store.redis.ca_file`"),
            (format!("rediss-sentinel://:secret@localhost:{right}/main"), &others, "`store.redis.ca_file`"),
            (format!("rediss://:secret@127.0.0.1:{right}"), &own, "for another name"),
            (format!("rediss://:secret@localhost:{asks}"), &own, "`store.redis.client_cert_file`"),
            (format!("rediss://:secret@127.0.0.1:{port}"), &own, "no connection"),
            (format!("redis://:secret@127.0.0.1:{port}"), &own, "is not one of TLS"),
        ] {
            let (log, _guard) = Log::listen();
            let redis = json!({ "url": url, "deadline": "500ms", "ca_file": ca });
            let config = serde_json::from_value(json!({ "redis": redis, "pepper": "0123456789abcdef" })).unwrap();
            let store = Store::open(&config, metrics(), &Running::default()).await;
            let begun = Instant::now();
            let text = || store.as_ref().err().map_or_else(|| log.text(), ToString::to_string);
            while !text().contains(expected) {
                assert!(begun.elapsed() < Duration::from_secs(20), "{url}: {}", text());
                sleep(Duration::from_millis(10)).await;
            }
            assert!(!text().contains("secret"), "{}", text());
        }
    });
}

/// What is logged on this thread.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn listen() -> (Self, DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
