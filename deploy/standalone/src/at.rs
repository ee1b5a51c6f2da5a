//! The admin addresses that a command asks, several at once, each within a bounded time.

use std::{
    env, fs,
    io::{Write, stderr},
    path::PathBuf,
    time::Duration,
};

use clap::Args;
use futures_util::future::join_all;
use hyper::Uri;
use tokio::time::timeout;

use crate::admin::{self, AdminError, TOKEN_VARIABLE};

/// How long one address may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Which processes are asked.
#[derive(Debug, Args)]
pub struct At {
    /// The admin address of an edge, a router or a sidecar. Repeat it for several; commas do as well.
    #[arg(
        long = "at",
        value_name = "URL",
        value_delimiter = ',',
        env = "CLOUDACH_ADMIN_URLS",
        default_value = "http://127.0.0.1:9080,http://127.0.0.1:9001"
    )]
    urls: Vec<Uri>,
    /// A file that holds the admin token, where the addresses want one. [default: the variable CLOUDACH_ADMIN_TOKEN]
    #[arg(long)]
    token_file: Option<PathBuf>,
}

impl At {
    /// The addresses, in order.
    pub fn urls(&self) -> &[Uri] {
        &self.urls
    }

    /// The token, where there is one.
    pub fn token(&self) -> Result<Option<String>, AdminError> {
        let Some(path) = &self.token_file else {
            return Ok(env::var(TOKEN_VARIABLE).ok().filter(|token| !token.is_empty()));
        };
        let token = fs::read_to_string(path);
        let token = token.map_err(|source| AdminError::TokenFile { path: path.clone(), source })?;
        Ok(Some(token.trim().to_owned()))
    }

    /// Asks every address, at the same time.
    pub async fn ask_all(&self, token: Option<&str>, path: &str) -> Vec<Result<Vec<u8>, AdminError>> {
        join_all(self.urls.iter().map(|url| ask(url, token, path))).await
    }
}

/// Asks one address.
pub async fn ask(url: &Uri, token: Option<&str>, path: &str) -> Result<Vec<u8>, AdminError> {
    let asked = admin::get(url, token, path);
    timeout(PATIENCE, asked).await.unwrap_or_else(|_| Err(AdminError::Slow(url.clone(), PATIENCE)))
}

/// Says on the standard error what is wrong with an address.
pub fn complain(command: &str, url: &Uri, error: &AdminError) {
    let _ = match error {
        AdminError::Unreachable { .. } | AdminError::Slow(..) => writeln!(stderr(), "cloudach {command}: {error}"),
        error => writeln!(stderr(), "cloudach {command}: {url}: {error}"),
    };
}
