//! Which servers a URL names: one, those that Sentinels watch, or a cluster.

use std::{fmt, path::PathBuf, time::Duration};

use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, Pipeline, RedisError,
    RedisFuture, RedisResult, TlsCertificates, TlsMode, Value,
    aio::{ConnectionLike, MultiplexedConnection, PubSub},
    cluster::{ClusterClient, ClusterClientBuilder},
    cluster_async::ClusterConnection,
    sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType},
};
use tokio::sync::Mutex;

use super::tls;
use crate::store::config::RedisConfig;

/// Where Sentinels listen unless the URL says otherwise.
const SENTINEL_PORT: u16 = 26_379;

/// Where servers listen unless the URL says otherwise.
const PORT: u16 = 6379;

/// The servers and how to reach them.
pub enum Topology {
    One(Box<Client>),
    Sentinel(Box<Mutex<SentinelClient>>),
    Cluster {
        client: Box<ClusterClient>,
        /// Any of them tells what is published.
        seeds: Vec<Client>,
    },
}

/// A connection that any number of calls share. Clones share it.
#[derive(Clone)]
pub enum Wire {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

/// The URL names no servers.
#[derive(Debug, thiserror::Error)]
pub enum RedisUrlError {
    #[error(
        "`store.redis.url` is not one of redis://, rediss://, redis-sentinel://HOST,HOST/MASTER, redis-cluster://HOST,HOST"
    )]
    Form,
    /// The text of the crate, which names no part of the URL.
    #[error("`store.redis.url` cannot be used: {0}")]
    Unusable(RedisError),
    #[error("cannot read {path}: {source}", path = .path.display())]
    Certificates { path: PathBuf, source: std::io::Error },
    #[error("there is no {what} in {path}: it has to be PEM", path = .path.display())]
    NoPem { path: PathBuf, what: &'static str },
    #[error(
        "`store.redis` names certificates, and its URL is not one of TLS: rediss://, rediss-sentinel://, rediss-cluster://"
    )]
    NotTls,
    #[error("`store.redis.client_cert_file` and `client_key_file` go together")]
    HalfAClient,
    #[error("this system trusts no CA: name the one of Redis in `store.redis.ca_file`")]
    NoRoots,
    #[error(
        "`store.redis.url` asks for TLS that checks nothing, which there is not: name the CA in `store.redis.ca_file`"
    )]
    Insecure,
}

impl Topology {
    /// Reads a URL.
    ///
    /// # Errors
    /// It names no servers.
    pub fn of(url: &str, config: &RedisConfig) -> Result<Self, RedisUrlError> {
        let (scheme, rest) = url.split_once("://").ok_or(RedisUrlError::Form)?;
        let is_tls = scheme.starts_with("rediss") || scheme == "valkeys";
        if is_tls && rest.contains("#insecure") {
            return Err(RedisUrlError::Insecure);
        }
        let certificates = tls::certificates(config, is_tls)?;
        match scheme {
            "redis-sentinel" | "rediss-sentinel" => sentinel(rest, is_tls, certificates),
            "redis-cluster" | "rediss-cluster" => cluster(rest, is_tls, certificates, config.deadline),
            _ => one(url, certificates).map(|client| Self::One(Box::new(client))).map_err(RedisUrlError::Unusable),
        }
    }

    /// Connects to whoever takes writes now.
    pub async fn connect(&self, within: Duration) -> RedisResult<Wire> {
        // The link has its own deadline for calls.
        let config = AsyncConnectionConfig::new().set_connection_timeout(Some(within)).set_response_timeout(None);
        match self {
            Self::One(client) => Ok(Wire::One(client.get_multiplexed_async_connection_with_config(&config).await?)),
            Self::Sentinel(client) => {
                let connection = client.lock().await.get_async_connection_with_config(&config).await?;
                Ok(Wire::One(connection))
            }
            Self::Cluster { client, seeds } => match client.get_async_connection().await {
                Ok(connection) => Ok(Wire::Cluster(connection)),
                // It keeps the reason as a text only. One of them alone tells it.
                Err(error) => {
                    let Some(seed) = seeds.first() else { return Err(error) };
                    let alone = seed.get_multiplexed_async_connection_with_config(&config).await;
                    Err(alone.err().unwrap_or(error))
                }
            },
        }
    }

    /// A connection for what is published.
    pub async fn listen(&self) -> RedisResult<PubSub> {
        match self {
            Self::One(client) => client.get_async_pubsub().await,
            Self::Sentinel(client) => {
                let client = client.lock().await.async_get_client().await?;
                client.get_async_pubsub().await
            }
            Self::Cluster { seeds, .. } => {
                let mut last = None;
                for seed in seeds {
                    match seed.get_async_pubsub().await {
                        Ok(listening) => return Ok(listening),
                        Err(error) => last = Some(error),
                    }
                }
                Err(last.unwrap_or_else(|| RedisError::from((redis::ErrorKind::InvalidClientConfig, "no node"))))
            }
        }
    }
}

impl fmt::Debug for Topology {
    /// Without addresses: URLs hold passwords.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::One(_) => "One",
            Self::Sentinel(_) => "Sentinel",
            Self::Cluster { .. } => "Cluster",
        })
    }
}

impl ConnectionLike for Wire {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::One(connection) => connection.req_packed_command(command),
            Self::Cluster(connection) => connection.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::One(connection) => connection.req_packed_commands(pipeline, offset, count),
            Self::Cluster(connection) => connection.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::One(connection) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}

fn one(url: &str, certificates: Option<TlsCertificates>) -> RedisResult<Client> {
    match certificates {
        Some(certificates) => Client::build_with_tls(url, certificates),
        None => Client::open(url),
    }
}

fn sentinel(rest: &str, tls: bool, certificates: Option<TlsCertificates>) -> Result<Topology, RedisUrlError> {
    let unusable = RedisUrlError::Unusable;
    let (nodes, path) = nodes(rest, tls, SENTINEL_PORT)?;
    let (master, db) = path.split_once('/').unwrap_or((path, "0"));
    let first = nodes.first().ok_or(RedisUrlError::Form)?.clone();
    if master.is_empty() {
        return Err(RedisUrlError::Form);
    }
    let addresses: Vec<ConnectionAddr> = nodes.iter().map(|node| node.addr().clone()).collect();
    let mut builder = SentinelClientBuilder::new(addresses, master, SentinelServerType::Master).map_err(unusable)?;
    builder = builder.set_client_to_redis_db(db.parse().map_err(|_| RedisUrlError::Form)?);
    if let Some(username) = first.redis_settings().username() {
        builder = builder.set_client_to_redis_username(username);
    }
    if let Some(password) = first.redis_settings().password() {
        builder = builder.set_client_to_redis_password(password);
    }
    if tls {
        builder =
            builder.set_client_to_redis_tls_mode(TlsMode::Secure).set_client_to_sentinel_tls_mode(TlsMode::Secure);
    }
    if let Some(certificates) = certificates {
        builder = builder
            .set_client_to_redis_certificates(certificates.clone())
            .set_client_to_sentinel_certificates(certificates);
    }
    Ok(Topology::Sentinel(Box::new(Mutex::new(builder.build().map_err(unusable)?))))
}

fn cluster(
    rest: &str,
    tls: bool,
    certificates: Option<TlsCertificates>,
    deadline: Duration,
) -> Result<Topology, RedisUrlError> {
    let (nodes, _) = nodes(rest, tls, PORT)?;
    let seed = |node: &ConnectionInfo| match certificates.clone() {
        Some(certificates) => Client::build_with_tls(node.clone(), certificates),
        None => Client::open(node.clone()),
    };
    let seeds = nodes.iter().map(seed).collect::<RedisResult<_>>().map_err(RedisUrlError::Unusable)?;
    let mut builder = ClusterClientBuilder::new(nodes).response_timeout(deadline).connection_timeout(deadline);
    if let Some(certificates) = certificates {
        builder = builder.certs(certificates);
    }
    let client = Box::new(builder.build().map_err(RedisUrlError::Unusable)?);
    Ok(Topology::Cluster { client, seeds })
}

/// The nodes of `user:password@host:port,host:port/path`, and the path.
fn nodes(rest: &str, tls: bool, port: u16) -> Result<(Vec<ConnectionInfo>, &str), RedisUrlError> {
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (credentials, hosts) = authority.rsplit_once('@').map_or(("", authority), |(login, hosts)| (login, hosts));
    let scheme = if tls { "rediss" } else { "redis" };
    let at = if credentials.is_empty() { "" } else { "@" };
    let node = |host: &str| {
        let is_whole = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let port = if is_whole { String::new() } else { format!(":{port}") };
        format!("{scheme}://{credentials}{at}{host}{port}").into_connection_info().map_err(RedisUrlError::Unusable)
    };
    Ok((hosts.split(',').map(node).collect::<Result<_, _>>()?, path))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(url: &str) -> Result<String, String> {
        with(url, json!({}))
    }

    fn with(url: &str, settings: serde_json::Value) -> Result<String, String> {
        let mut config = settings;
        config["url"] = url.into();
        let topology = Topology::of(url, &serde_json::from_value(config).unwrap());
        topology.map(|topology| format!("{topology:?}")).map_err(|error| error.to_string())
    }

    #[test]
    fn urls_name_one_server_or_many() {
        assert_eq!(of("redis://user:secret@host:1/2").unwrap(), "One");
        assert_eq!(of("redis-sentinel://:secret@a:1,b/master/3").unwrap(), "Sentinel");
        assert_eq!(of("redis-cluster://user:secret@a,b:7000").unwrap(), "Cluster");
    }

    #[test]
    fn wrong_urls_are_refused_without_their_secrets() {
        for wrong in [
            "host:6379",
            "http://:secret@host",
            "redis-sentinel://:secret@a:1",
            "redis-sentinel://:secret@a:1/master/x",
            "redis-cluster://:secret@/",
        ] {
            let error = of(wrong).unwrap_err();
            assert!(!error.contains("secret"), "{error}");
        }
    }
    #[test]
    fn tls_is_never_less_than_it_says() {
        let (folder, ca) = (tempfile::TempDir::new().unwrap(), rcgen::generate_simple_self_signed(vec![]).unwrap());
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let (pem, key) = (file("ca.pem", &ca.cert.pem()), file("key.pem", &ca.signing_key.serialize_pem()));
        let (empty, missing) = (file("empty.pem", "nothing"), folder.path().join("missing.pem"));
        let ca = json!({ "ca_file": pem });
        let client = json!({ "ca_file": pem, "client_cert_file": pem, "client_key_file": key });
        for (url, settings, expected) in [
            ("rediss://:secret@host", &ca, "One"),
            ("valkeys://:secret@host", &ca, "One"),
            ("rediss://:secret@host/3", &client, "One"),
            ("rediss-sentinel://:secret@a:1,b/master/3", &client, "Sentinel"),
            ("rediss-cluster://user:secret@a,b:7000", &client, "Cluster"),
        ] {
            assert_eq!(with(url, settings.clone()).unwrap(), expected, "{url}");
        }
        for (url, settings, expected) in [
            ("redis://:secret@host", &ca, "is not one of TLS"),
            ("redis-sentinel://:secret@host/master", &client, "is not one of TLS"),
            ("redis-cluster://:secret@host", &ca, "is not one of TLS"),
            ("rediss://:secret@host/#insecure", &ca, "checks nothing"),
            ("rediss-cluster://:secret@host/#insecure", &ca, "checks nothing"),
            ("rediss://:secret@host", &json!({ "ca_file": empty }), "no certificate in"),
            ("rediss://:secret@host", &json!({ "ca_file": missing }), "cannot read"),
            ("rediss://:secret@host", &json!({ "ca_file": pem, "client_cert_file": pem }), "go together"),
            (
                "rediss://:secret@host",
                &json!({ "ca_file": pem, "client_cert_file": pem, "client_key_file": pem }),
                "no private key in",
            ),
        ] {
            let error = with(url, settings.clone()).unwrap_err();
            assert!(error.contains(expected), "{url}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
