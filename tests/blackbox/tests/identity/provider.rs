//! An identity provider of a test's own: keys that sign tokens, and a server that publishes them, or behaves badly.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

/// How it answers.
#[derive(Debug, Clone)]
pub enum Mode {
    /// With this document at every path, or with one by path.
    Says(String),
    Documents(Vec<(String, Value)>),
    /// With bytes that are no HTTP, or more of them than anybody wants.
    Bytes(Vec<u8>),
    /// Never.
    Hangs,
    /// By closing the connection.
    Closes,
}

/// A running provider.
#[derive(Debug)]
pub struct Provider {
    pub address: SocketAddr,
    mode: Arc<Mutex<Mode>>,
    fetches: Arc<AtomicUsize>,
}

/// A private key with its name.
pub struct Signer {
    id: &'static str,
    pair: Ed25519KeyPair,
}

impl Provider {
    /// One that speaks plain HTTP.
    pub fn start(mode: Mode) -> Self {
        Self::serve(TcpListener::bind("127.0.0.1:0").unwrap(), mode, None)
    }

    /// One that speaks TLS, with a certificate of `authority.pem`.
    pub fn start_tls(mode: Mode) -> Self {
        let certificate = CertificateDer::from_pem_slice(include_bytes!("server.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_slice(include_bytes!("server.key")).unwrap();
        let tls = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        Self::serve(TcpListener::bind("127.0.0.1:0").unwrap(), mode, Some(Arc::new(tls)))
    }

    /// From now on it answers so.
    pub fn now(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }

    /// From now on it publishes the keys of these signers.
    pub fn publishes(&self, signers: &[&Signer]) {
        self.now(Mode::Says(keys(signers).to_string()));
    }

    /// How often it was asked for anything.
    pub fn fetches(&self) -> usize {
        self.fetches.load(Relaxed)
    }

    fn serve(listener: TcpListener, mode: Mode, tls: Option<Arc<ServerConfig>>) -> Self {
        let address = listener.local_addr().unwrap();
        let provider = Self { address, mode: Arc::new(Mutex::new(mode)), fetches: Arc::default() };
        let (mode, fetches) = (provider.mode.clone(), provider.fetches.clone());
        // As long as the test's process: connections that hang are kept open.
        thread::spawn(move || {
            let mut hanging = Vec::new();
            for stream in listener.incoming().flatten() {
                let mode = mode.lock().unwrap().clone();
                fetches.fetch_add(1, Relaxed);
                match mode {
                    Mode::Hangs => hanging.push(stream),
                    Mode::Closes => {}
                    mode => drop(answer(stream, tls.clone(), &mode)),
                }
            }
        });
        provider
    }
}

fn answer(stream: TcpStream, tls: Option<Arc<ServerConfig>>, mode: &Mode) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    match tls {
        Some(tls) => say(StreamOwned::new(ServerConnection::new(tls).unwrap(), stream), mode),
        None => say(stream, mode),
    }
}

fn say(mut stream: impl Read + Write, mode: &Mode) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte)? == 1 {
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default();
    let text = match mode {
        Mode::Bytes(bytes) => return stream.write_all(bytes).and_then(|()| stream.flush()),
        Mode::Says(text) => text.clone(),
        Mode::Documents(documents) => match documents.iter().find(|(known, _)| known == path) {
            Some((_, document)) => document.to_string(),
            None => return stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"),
        },
        Mode::Hangs | Mode::Closes => unreachable!("nothing is said"),
    };
    stream.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len()).as_bytes())?;
    stream.flush()
}

/// A set of the keys of these signers.
pub fn keys(signers: &[&Signer]) -> Value {
    let jwk = |signer: &&Signer| {
        let x = encoded(signer.pair.public_key().as_ref());
        json!({ "kid": signer.id, "use": "sig", "alg": "EdDSA", "kty": "OKP", "crv": "Ed25519", "x": x })
    };
    json!({ "keys": signers.iter().map(jwk).collect::<Vec<_>>() })
}

pub fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

impl Signer {
    pub fn new(id: &'static str) -> Self {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self { id, pair: Ed25519KeyPair::from_pkcs8(key.as_ref()).unwrap() }
    }

    /// A token of these claims, good for ten minutes unless they say otherwise.
    pub fn token(&self, claims: &Value) -> String {
        self.named(self.id, claims)
    }

    /// The same by a key of another name.
    pub fn named(&self, id: &str, claims: &Value) -> String {
        let mut all = json!({ "iss": "https://sso.test", "aud": "gateway", "iat": now(), "exp": now() + 600 });
        all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        let header = json!({ "alg": "EdDSA", "kid": id });
        let signed = format!("{}.{}", encoded(header.to_string()), encoded(all.to_string()));
        format!("{signed}.{}", encoded(self.pair.sign(signed.as_bytes())))
    }
}
