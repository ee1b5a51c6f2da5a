//! One GET from an identity provider, within bounds. Redirects are not followed: keys come from where the configuration says.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::http::{Request, StatusCode, Uri, header};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use serde::Deserialize;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::{
    config::{IssuerConfig, check_url},
    key_set::{KeySet, KeySetError},
};

/// The largest document, in bytes: a hundred keys with their certificates.
const MOST_BYTES: usize = 256 * 1024;

/// Where an issuer says where its keys are.
const DISCOVERY: &str = "/.well-known/openid-configuration";

/// Fetches the keys of one issuer.
pub struct Fetcher {
    issuer: String,
    jwks_url: Option<String>,
    tls: TlsConnector,
    timeout: Duration,
}

/// There is no way to fetch.
#[derive(Debug, thiserror::Error)]
pub enum CertificatesError {
    #[error("cannot read {path}: {problem}", path = .path.display())]
    Unreadable { path: PathBuf, problem: String },
    #[error("{path} holds no certificate", path = .path.display())]
    Empty { path: PathBuf },
    #[error("this machine has no certificates of authorities: install ca-certificates, or set `ca_file`")]
    NoneHere,
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("it took longer than {0:?}")]
    TooSlow(Duration),
    #[error("cannot connect to {host}: {source}")]
    Unreachable { host: String, source: io::Error },
    #[error("no HTTP from {url}: {source}")]
    Http { url: String, source: hyper::Error },
    #[error("{url} answers {status}; redirects are not followed")]
    Status { url: String, status: StatusCode },
    #[error("{url} sends more than {MOST_BYTES} bytes, or breaks off")]
    Body { url: String },
    #[error("{url} {problem}")]
    Url { url: String, problem: String },
    #[error("{url} is no OpenID configuration of this issuer: set `jwks_url`, or `issuer` to the letter")]
    Discovery { url: String },
    #[error("{url}: {source}")]
    Keys { url: String, source: KeySetError },
}

#[derive(Deserialize)]
struct Discovered {
    issuer: String,
    jwks_uri: String,
}

impl Fetcher {
    /// For an issuer.
    ///
    /// # Errors
    /// There are no certificates to check the provider's against.
    pub fn new(config: &IssuerConfig) -> Result<Self, CertificatesError> {
        let roots = match &config.ca_file {
            Some(path) => certificates(path)?,
            None => systems(config)?,
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            issuer: config.issuer.clone(),
            jwks_url: config.jwks_url.clone(),
            tls: TlsConnector::from(Arc::new(tls)),
            timeout: config.timeout,
        })
    }

    /// The keys as they are now.
    ///
    /// # Errors
    /// There are none to be had in time.
    pub async fn keys(&self) -> Result<KeySet, FetchError> {
        timeout(self.timeout, self.fetch_keys()).await.unwrap_or(Err(FetchError::TooSlow(self.timeout)))
    }

    async fn fetch_keys(&self) -> Result<KeySet, FetchError> {
        let url = match &self.jwks_url {
            Some(url) => url.clone(),
            None => self.discover().await?,
        };
        let text = self.get(&url).await?;
        KeySet::read(&text).map_err(|source| FetchError::Keys { url, source })
    }

    async fn discover(&self) -> Result<String, FetchError> {
        let url = format!("{}{DISCOVERY}", self.issuer.trim_end_matches('/'));
        let text = self.get(&url).await?;
        match serde_json::from_slice::<Discovered>(&text) {
            Ok(found) if found.issuer == self.issuer => Ok(found.jwks_uri),
            _ => Err(FetchError::Discovery { url }),
        }
    }

    async fn get(&self, url: &str) -> Result<Bytes, FetchError> {
        check_url(url).map_err(|problem| FetchError::Url { url: url.to_owned(), problem })?;
        let no_url = || FetchError::Url { url: url.to_owned(), problem: "is no URL".to_owned() };
        let uri: Uri = url.parse().map_err(|_| no_url())?;
        let host = uri.host().ok_or_else(no_url)?;
        let is_tls = uri.scheme_str() == Some("https");
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let unreachable = |source| FetchError::Unreachable { host: host.to_owned(), source };
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let stream = TcpStream::connect((bare, port)).await.map_err(unreachable)?;
        if is_tls {
            let name = ServerName::try_from(bare.to_owned()).map_err(|_| no_url())?;
            let stream = self.tls.connect(name, stream).await.map_err(unreachable)?;
            return ask(stream, &uri).await;
        }
        ask(stream, &uri).await
    }
}

async fn ask(stream: impl AsyncRead + AsyncWrite + Unpin, uri: &Uri) -> Result<Bytes, FetchError> {
    let url = || uri.to_string();
    let http = |source| FetchError::Http { url: url(), source };
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(http)?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let host = uri.authority().map_or("", |authority| authority.as_str());
    let request = Request::get(path)
        .header(header::HOST, host)
        .header(header::ACCEPT, "application/json")
        .header(header::USER_AGENT, "cloudach")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|_| FetchError::Url { url: url(), problem: "is no URL".to_owned() })?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(http)?;
        let status = response.status();
        if status != StatusCode::OK {
            return Err(FetchError::Status { url: url(), status });
        }
        let body = Limited::new(response.into_body(), MOST_BYTES).collect().await;
        body.map(http_body_util::Collected::to_bytes).map_err(|_| FetchError::Body { url: url() })
    };
    tokio::pin!(answer);
    tokio::select! {
        answered = &mut answer => answered,
        // What has arrived is still to be read.
        _ = connection => answer.await,
    }
}

/// The certificates of a file.
///
/// # Errors
/// It cannot be read, or has none.
pub fn certificates(path: &Path) -> Result<RootCertStore, CertificatesError> {
    let unreadable = |problem: String| CertificatesError::Unreadable { path: path.to_owned(), problem };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unreadable(error.to_string()))? {
        roots.add(certificate.map_err(|error| unreadable(error.to_string()))?)?;
    }
    if roots.is_empty() { Err(CertificatesError::Empty { path: path.to_owned() }) } else { Ok(roots) }
}

/// The system's certificates. Where keys are fetched without TLS there may be none.
fn systems(config: &IssuerConfig) -> Result<RootCertStore, CertificatesError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let url = config.jwks_url.as_ref().unwrap_or(&config.issuer);
    if roots.is_empty() && url.starts_with("https:") {
        return Err(CertificatesError::NoneHere);
    }
    Ok(roots)
}
