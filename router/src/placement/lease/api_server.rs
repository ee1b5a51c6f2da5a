//! One connection to Kubernetes' API server, within bounds. Token and certificates are read anew for each: they change while
//! this process runs.

use std::{io, path::PathBuf, pin::Pin, sync::Arc};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, StatusCode, Uri,
    client::conn::http1::{SendRequest, handshake},
    header,
};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

/// The largest answer, in bytes: a Lease is far smaller, whatever others write into it.
const MOST_BYTES: usize = 1024 * 1024;

/// Where the API server is, and how this process shows who it is.
#[derive(Debug, Clone)]
pub struct ApiServer {
    pub url: Uri,
    pub token_file: PathBuf,
    pub ca_file: PathBuf,
}

/// There is no word from the API server.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error("cannot read {path}: {source}", path = .path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{path} holds no certificate", path = .path.display())]
    NoCertificate { path: PathBuf },
    #[error("{path} holds no token", path = .path.display())]
    NoToken { path: PathBuf },
    #[error("`placement.lease.kubernetes.url` is no URL of a server: write https://HOST:PORT")]
    Url,
    #[error("cannot connect to the API server: {0}")]
    Unreachable(#[from] io::Error),
    #[error(transparent)]
    Tls(#[from] rustls::Error),
    #[error("no HTTP from the API server: {0}")]
    Http(#[from] hyper::Error),
    #[error("the API server sends more than {MOST_BYTES} bytes, or breaks off")]
    Body,
    #[error("the API server's answer is no JSON")]
    NoJson,
    #[error("the API server refuses the token of the service account")]
    Unauthorized,
    #[error("the service account may not {0} Leases: give its role the verbs get, create and update for them")]
    Forbidden(&'static str),
    #[error("the API server answers {0}")]
    Status(StatusCode),
    #[error("what is there is no Lease")]
    NoLease,
}

/// A connection.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>,
    host: String,
    token: String,
}

/// What is done to a Lease.
#[derive(Debug, Clone, Copy)]
pub enum Verb {
    Get,
    Create,
    Update,
}

impl Verb {
    fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Create => "create",
            Self::Update => "update",
        }
    }
}

impl ApiServer {
    /// Connects, as whoever the token says now.
    ///
    /// # Errors
    /// What is missing.
    pub async fn connect(&self) -> Result<Connection, ApiError> {
        let host = self.url.host().ok_or(ApiError::Url)?;
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let is_tls = match self.url.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(ApiError::Url),
        };
        let token = self.token().await?;
        let port = self.url.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let stream = TcpStream::connect((bare, port)).await?;
        stream.set_nodelay(true)?;
        let host = self.url.authority().map(ToString::to_string).unwrap_or_default();
        if !is_tls {
            return Connection::over(stream, host, token).await;
        }
        let name = ServerName::try_from(bare.to_owned()).map_err(|_| ApiError::Url)?;
        let stream = self.tls().await?.connect(name, stream).await?;
        Connection::over(stream, host, token).await
    }

    async fn token(&self) -> Result<String, ApiError> {
        let path = || self.token_file.clone();
        let text = tokio::fs::read_to_string(&self.token_file).await;
        let text = text.map_err(|source| ApiError::Unreadable { path: path(), source })?;
        let token = text.trim();
        match !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()) {
            true => Ok(token.to_owned()),
            false => Err(ApiError::NoToken { path: path() }),
        }
    }

    async fn tls(&self) -> Result<TlsConnector, ApiError> {
        let path = || self.ca_file.clone();
        let pem = tokio::fs::read(&self.ca_file).await;
        let pem = pem.map_err(|source| ApiError::Unreadable { path: path(), source })?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            roots.add(certificate.map_err(|_| ApiError::NoCertificate { path: path() })?)?;
        }
        if roots.is_empty() {
            return Err(ApiError::NoCertificate { path: path() });
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

impl Connection {
    async fn over(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        host: String,
        token: String,
    ) -> Result<Self, ApiError> {
        let (sender, driver) = handshake(TokioIo::new(stream)).await?;
        Ok(Self { sender, driver: Box::pin(driver), host, token })
    }

    /// One request. None: there is no such Lease (of `Get`), or it is another one by now (of the others).
    ///
    /// # Errors
    /// There is no word from the API server.
    pub async fn ask(&mut self, verb: Verb, path: &str, body: Option<&Value>) -> Result<Option<Value>, ApiError> {
        let method = match verb {
            Verb::Get => Method::GET,
            Verb::Create => Method::POST,
            Verb::Update => Method::PUT,
        };
        let body = body.map(ToString::to_string).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.host)
            .header(header::USER_AGENT, "cloudach")
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .body(Full::new(Bytes::from(body)))
            .map_err(|_| ApiError::Url)?;
        let sender = &mut self.sender;
        let answer = async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MOST_BYTES).collect().await.map_err(|_| ApiError::Body)?;
            Ok::<_, ApiError>((status, body.to_bytes()))
        };
        tokio::pin!(answer);
        let (status, body) = tokio::select! {
            answered = &mut answer => answered?,
            // What has arrived is still to be read.
            _ = &mut self.driver => answer.await?,
        };
        match (verb, status) {
            (_, status) if status.is_success() => serde_json::from_slice(&body).map(Some).map_err(|_| ApiError::NoJson),
            (Verb::Get | Verb::Update, StatusCode::NOT_FOUND) | (Verb::Create | Verb::Update, StatusCode::CONFLICT) => {
                Ok(None)
            }
            (_, StatusCode::UNAUTHORIZED) => Err(ApiError::Unauthorized),
            (verb, StatusCode::FORBIDDEN) => Err(ApiError::Forbidden(verb.name())),
            (_, status) => Err(ApiError::Status(status)),
        }
    }
}
