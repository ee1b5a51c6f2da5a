//! The certificates that hold now, and how others take their place.

use std::{fmt, sync::Arc, time::SystemTime};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::{
    ClientConfig, ServerConfig,
    client::Resumption,
    crypto::{CryptoProvider, ring},
    sign::SingleCertAndKey,
};
use tokio::task::spawn_blocking;
use tracing::{error, info, warn};

use super::{
    config::{Role, TlsConfig},
    files::{Contents, Material, TlsError, shown},
    metrics::{File, TlsMetrics},
    peers::{Dialled, Dialling},
};
use crate::reload::{Looks, Outcome, ReloadMetrics, What};

/// What they are called where files are counted that change.
const WHAT: What = What::Certificates;

/// The protocol of gRPC, in the names of ALPN.
const HTTP2: &[u8] = b"h2";

/// What a service shows, and whom it believes. Connections take what holds when they are opened.
pub struct Certificates {
    pub(super) config: TlsConfig,
    role: Role,
    provider: Arc<CryptoProvider>,
    held: ArcSwap<Held>,
    contents: Mutex<Contents>,
    pub(super) metrics: TlsMetrics,
    reloads: ReloadMetrics,
}

/// What holds for connections that are opened now.
pub(super) struct Held {
    pub server: Arc<ServerConfig>,
    pub client: Arc<ClientConfig>,
    expires: SystemTime,
}

impl fmt::Debug for Certificates {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Certificates").field("role", &self.role).finish_non_exhaustive()
    }
}

impl Certificates {
    /// Reads those of a service.
    ///
    /// # Errors
    /// One of the files is missing, is not what it should be, or its certificate does not hold now.
    pub fn open(
        config: TlsConfig,
        role: Role,
        metrics: TlsMetrics,
        reloads: ReloadMetrics,
    ) -> Result<Arc<Self>, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let contents = Contents::read(&config)?;
        let material = contents.check(&config, config.name(role), SystemTime::now(), &provider)?;
        let held = held(&material, &config, role, &provider)?;
        reloads.begin(WHAT);
        metrics.begin();
        let opened = Self {
            held: ArcSwap::from_pointee(held),
            contents: Mutex::new(contents),
            config,
            role,
            provider,
            metrics,
            reloads,
        };
        opened.tell("certificates read", &material);
        Ok(Arc::new(opened))
    }

    /// Takes what the files become, for connections from then on. Files with which something is wrong change nothing.
    /// Never returns.
    pub async fn follow(self: Arc<Self>) {
        let mut looks = Looks::begin();
        let mut refused: Option<String> = None;
        let mut expiry_told = None;
        loop {
            let asked = looks.next().await;
            let held = self.held.load().expires;
            if held < SystemTime::now() && expiry_told != Some(held) {
                let path = self.config.cert.display();
                error!(%path, at = shown(held), "the certificate has expired: the other services refuse it");
                expiry_told = Some(held);
            }
            let looking = self.clone();
            match spawn_blocking(move || looking.look()).await {
                Ok(Ok(Looked::Same)) => {
                    if refused.take().is_some() {
                        self.reloads.well(WHAT);
                        info!("the certificates on disk are again those that hold");
                    } else if asked {
                        info!("the certificates are as they were");
                    }
                }
                // Somebody is writing them.
                Ok(Ok(Looked::Changing)) | Err(_) => {}
                Ok(Ok(Looked::Taken)) => {
                    self.reloads.count(WHAT, Outcome::Taken);
                    refused = None;
                }
                Ok(Err(error)) => {
                    let error = error.to_string();
                    if refused.as_ref() != Some(&error) {
                        self.reloads.count(WHAT, Outcome::Refused);
                    }
                    if asked || refused.as_ref() != Some(&error) {
                        let until = shown(self.held.load().expires);
                        warn!(error, until, "new certificates cannot be used; those from before go on");
                    }
                    refused = Some(error);
                }
            }
        }
    }

    fn look(&self) -> Result<Looked, TlsError> {
        let contents = Contents::read(&self.config)?;
        if *self.contents.lock() == contents {
            return Ok(Looked::Same);
        }
        // They are replaced together or one after the other: what is read in between belongs to nothing.
        if Contents::read(&self.config)? != contents {
            return Ok(Looked::Changing);
        }
        let name = self.config.name(self.role);
        let material = contents.check(&self.config, name, SystemTime::now(), &self.provider)?;
        self.held.store(Arc::new(held(&material, &self.config, self.role, &self.provider)?));
        *self.contents.lock() = contents;
        self.tell("new certificates, for connections from now on", &material);
        Ok(Looked::Taken)
    }

    /// What holds now.
    pub(super) fn now(&self) -> Arc<Held> {
        self.held.load_full()
    }

    /// Whom this service dials.
    pub(super) fn dials(&self) -> &str {
        self.config.name(self.role.dials())
    }

    fn tell(&self, what: &'static str, material: &Material) {
        let path = self.config.cert.display();
        let (expires, ca_expires) = (shown(material.cert_expires), shown(material.ca_expires));
        info!(%path, expires, ca_expires, "{what}");
        self.metrics.expire(File::Cert, material.cert_expires);
        self.metrics.expire(File::Ca, material.ca_expires);
    }
}

/// What a look at the files came to.
enum Looked {
    Same,
    Changing,
    Taken,
}

/// Both halves. Nothing is resumed: each connection shows its certificates, and is checked by those that hold then.
fn held(material: &Material, config: &TlsConfig, role: Role, provider: &Arc<CryptoProvider>) -> Result<Held, TlsError> {
    let own = Arc::new(SingleCertAndKey::from(material.own.clone()));
    let roots = &material.roots;
    let dialled =
        Dialled { roots: roots.clone(), name: config.name(role.dials()).to_owned(), provider: provider.clone() };
    let mut client = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(dialled))
        .with_client_cert_resolver(own.clone());
    client.resumption = Resumption::disabled();
    client.alpn_protocols = vec![HTTP2.to_vec()];

    let names = role.dialled_by().iter().map(|role| config.name(*role).to_owned()).collect();
    let dialling = Dialling::new(roots.clone(), names, provider.clone())?;
    let mut server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(Arc::new(dialling))
        .with_cert_resolver(own);
    server.send_tls13_tickets = 0;
    server.alpn_protocols = vec![HTTP2.to_vec()];
    Ok(Held { server: Arc::new(server), client: Arc::new(client), expires: material.cert_expires })
}
