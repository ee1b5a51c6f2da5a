//! The admin API as the operator's commands use it.

use std::{env, fs, io, path::PathBuf, time::Duration};

use clap::Args;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, StatusCode, Uri,
    body::Bytes,
    client::conn::http1,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpStream, task::JoinSet};

/// The variable that holds the admin token.
pub const TOKEN_VARIABLE: &str = "CLOUDACH_ADMIN_TOKEN";

/// The largest answer that is read, in bytes.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// Where the admin API is and how it is entered.
#[derive(Debug, Args)]
pub struct AdminAt {
    /// The gateway's admin address.
    #[arg(long = "admin", global = true, env = "CLOUDACH_ADMIN_URL", default_value = "http://127.0.0.1:9080")]
    url: Uri,
    /// A file that holds the admin token. [default: the variable CLOUDACH_ADMIN_TOKEN]
    #[arg(long, global = true)]
    token_file: Option<PathBuf>,
}

/// The admin API does not do what it is asked for.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    #[error("no admin token: set {TOKEN_VARIABLE} or name a --token-file")]
    NoToken,
    #[error("cannot read the admin token in {path}: {source}", path = .path.display())]
    TokenFile { path: PathBuf, source: io::Error },
    #[error("{0} is no URL like http://127.0.0.1:9080")]
    Url(Uri),
    #[error("nothing answers at {url}: {source}")]
    Unreachable { url: Uri, source: io::Error },
    #[error("{0} does not answer within {1:?}")]
    Slow(Uri, Duration),
    #[error("nothing is there: {0}")]
    NotThere(String),
    #[error("the admin API's answer cannot be read: {0}")]
    Broken(String),
    #[error("{0}")]
    Refused(String),
    #[error("cannot use the terminal: {0}")]
    Terminal(io::Error),
    #[error("cannot start the runtime: {0}")]
    Runtime(io::Error),
}

impl AdminAt {
    /// Asks, and waits for the answer. Null: it has no body.
    pub fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, AdminError> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(AdminError::Runtime)?;
        runtime.block_on(self.exchange(method, path, body))
    }

    async fn exchange(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, AdminError> {
        exchange(&self.url, Some(&self.token()?), method, path, body).await
    }

    fn token(&self) -> Result<String, AdminError> {
        let Some(path) = &self.token_file else {
            return env::var(TOKEN_VARIABLE).ok().filter(|token| !token.is_empty()).ok_or(AdminError::NoToken);
        };
        let token = fs::read_to_string(path);
        let token = token.map_err(|source| AdminError::TokenFile { path: path.clone(), source })?;
        Ok(token.trim().to_owned())
    }
}

/// Asks an admin address that takes no token.
pub fn ask_without_token(url: &Uri, path: &str) -> Result<Value, AdminError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(AdminError::Runtime)?;
    runtime.block_on(exchange(url, None, Method::GET, path, None))
}

/// Asks for what need not be JSON: metrics, and what other addresses than that of the admin API answer.
pub async fn get(url: &Uri, token: Option<&str>, path: &str) -> Result<Vec<u8>, AdminError> {
    let (status, bytes) = send(url, token, Method::GET, path, None).await?;
    let message = || {
        let answer: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        answer["error"]["message"].as_str().map_or_else(|| format!("its answer to {path} is {status}"), str::to_owned)
    };
    match status {
        status if status.is_success() => Ok(bytes.to_vec()),
        StatusCode::NOT_FOUND => Err(AdminError::NotThere(message())),
        _ => Err(AdminError::Refused(message())),
    }
}

async fn exchange(
    url: &Uri,
    token: Option<&str>,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Result<Value, AdminError> {
    let (status, bytes) = send(url, token, method, path, body).await?;
    read(status, &bytes)
}

async fn send(
    url: &Uri,
    token: Option<&str>,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Result<(StatusCode, Bytes), AdminError> {
    let authority = match (url.scheme_str(), url.authority()) {
        (Some("http"), Some(authority)) => authority,
        _ => return Err(AdminError::Url(url.clone())),
    };
    let unreachable = |source| AdminError::Unreachable { url: url.clone(), source };
    let port = authority.port_u16().unwrap_or(80);
    let stream = TcpStream::connect((authority.host(), port)).await.map_err(unreachable)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);

    let mut request = Request::builder().method(method).uri(path).header(HOST, authority.as_str());
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    if body.is_some() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    let body = body.map(Value::to_string).unwrap_or_default();
    let request = request.body(Full::new(Bytes::from(body))).map_err(broken)?;
    let response = sender.send_request(request).await.map_err(broken)?;
    let status = response.status();
    let bytes = Limited::new(response.into_body(), MOST_BYTES).collect().await.map_err(broken)?.to_bytes();
    Ok((status, bytes))
}

fn read(status: StatusCode, bytes: &[u8]) -> Result<Value, AdminError> {
    if status == StatusCode::NO_CONTENT {
        return Ok(Value::Null);
    }
    if status == StatusCode::NOT_FOUND && bytes.is_empty() {
        return Err(AdminError::Refused(
            "the gateway has no admin API: its configuration needs `admin_api`".to_owned(),
        ));
    }
    let answer: Value = serde_json::from_slice(bytes).map_err(broken)?;
    if status.is_success() {
        return Ok(answer);
    }
    Err(AdminError::Refused(answer["error"]["message"].as_str().unwrap_or("it is refused").to_owned()))
}

fn broken(error: impl ToString) -> AdminError {
    AdminError::Broken(error.to_string())
}

/// What of a path a text becomes.
pub fn segment(text: &str) -> String {
    let mut segment = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.') {
            segment.push(char::from(byte));
        } else {
            segment.push_str(&format!("%{byte:02X}"));
        }
    }
    segment
}
