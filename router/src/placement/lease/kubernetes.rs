//! The lease as a Lease object of Kubernetes. Each write is of the version that was read before: of two that write, one is
//! refused.

use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use hyper::Uri;
use tokio::time::Instant;

use super::{
    api_server::{ApiError, ApiServer, Connection, Verb},
    record::{self, Seen, Step},
};
use crate::config;

/// Where pods find what they need to speak to the API server.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// A lease in Kubernetes.
#[derive(Debug)]
pub struct Kubernetes {
    server: ApiServer,
    namespace: String,
    name: String,
    /// This router, among those that want it.
    me: String,
    time: Duration,
    seen: Seen,
}

/// There is no Lease to be had by this configuration.
#[derive(Debug, thiserror::Error)]
pub enum KubernetesError {
    #[error("`placement.lease.kubernetes.{0}` is not set, and this is no pod of Kubernetes")]
    NoPod(&'static str),
    #[error("`placement.lease.kubernetes.url` is no URL of a server: write https://HOST:PORT")]
    Url,
    #[error("`placement.lease.kubernetes.{0}` is no name of Kubernetes: small letters, digits, `-` and `.`")]
    Name(&'static str),
}

impl Kubernetes {
    /// A lease of so much time. What the configuration does not say is as it is in every pod.
    ///
    /// # Errors
    /// What is missing, or is no name or URL.
    pub fn of(config: &config::Kubernetes, me: String, time: Duration) -> Result<Self, KubernetesError> {
        let url = match &config.url {
            Some(url) => url.clone(),
            None => pods_server().ok_or(KubernetesError::NoPod("url"))?,
        };
        let url: Uri = url.parse().map_err(|_| KubernetesError::Url)?;
        if url.host().is_none() || !matches!(url.scheme_str(), Some("https" | "http")) || url.path() != "/" {
            return Err(KubernetesError::Url);
        }
        let own = |file: &str| Path::new(ACCOUNT).join(file);
        let namespace = match &config.namespace {
            Some(namespace) => namespace.clone(),
            None => {
                let text = std::fs::read_to_string(own("namespace"));
                text.map_err(|_| KubernetesError::NoPod("namespace"))?.trim().to_owned()
            }
        };
        let server = ApiServer {
            url,
            token_file: config.token_file.clone().unwrap_or_else(|| own("token")),
            ca_file: config.ca_file.clone().unwrap_or_else(|| own("ca.crt")),
        };
        for (setting, name) in [("namespace", &namespace), ("name", &config.name)] {
            let is_of = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.';
            if name.is_empty()
                || name.len() > 253
                || !name.bytes().all(is_of)
                || !name.as_bytes()[0].is_ascii_alphanumeric()
            {
                return Err(KubernetesError::Name(setting));
            }
        }
        Ok(Self { server, namespace, name: config.name.clone(), me, time, seen: Seen::default() })
    }

    /// Takes the lease if it is free, or prolongs it: its epoch, or 0 when another holds it.
    ///
    /// # Errors
    /// There is no word from the API server.
    pub async fn hold(&mut self) -> Result<u64, ApiError> {
        let mut server = self.server.connect().await?;
        match self.try_to_hold(&mut server).await? {
            Some(epoch) => Ok(epoch),
            // Somebody has written in between, if only a label: looked at once more.
            None => Ok(self.try_to_hold(&mut server).await?.unwrap_or_default()),
        }
    }

    /// Gives it back.
    ///
    /// # Errors
    /// There is no word from the API server.
    pub async fn release(&mut self) -> Result<(), ApiError> {
        let mut server = self.server.connect().await?;
        let lease = server.ask(Verb::Get, &self.path(), None).await?;
        if let Some(free) = lease.and_then(|lease| record::released(lease, &self.me)) {
            server.ask(Verb::Update, &self.path(), Some(&free)).await?;
        }
        Ok(())
    }

    /// None: it was another one when it was written.
    async fn try_to_hold(&mut self, server: &mut Connection) -> Result<Option<u64>, ApiError> {
        let path = self.path();
        let clock = SystemTime::now();
        let Some(lease) = server.ask(Verb::Get, &path, None).await? else {
            let lease = record::new(&self.namespace, &self.name, &self.me, self.time, clock);
            let all = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", self.namespace);
            let Some(made) = server.ask(Verb::Create, &all, Some(&lease)).await? else { return Ok(None) };
            return record::epoch(&made).map(Some).ok_or(ApiError::NoLease);
        };
        let step = record::next(&lease, &self.me, self.time, &mut self.seen, Instant::now(), clock);
        match step.ok_or(ApiError::NoLease)? {
            Step::Wait => Ok(Some(0)),
            Step::Put(lease, epoch) => Ok(server.ask(Verb::Update, &path, Some(&lease)).await?.map(|_| epoch)),
        }
    }

    fn path(&self) -> String {
        format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases/{}", self.namespace, self.name)
    }
}

/// Where a pod's API server is.
fn pods_server() -> Option<String> {
    let host = std::env::var("KUBERNETES_SERVICE_HOST").ok()?;
    let port = std::env::var("KUBERNETES_SERVICE_PORT").ok()?;
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    Some(format!("https://{host}:{port}"))
}
