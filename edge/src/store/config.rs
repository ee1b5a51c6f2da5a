//! Where the store is, and the secrets that it takes.

use std::{path::PathBuf, time::Duration};

pub use cloudach_service::secret::{Elsewhere, Secret, SecretError};
use serde::Deserialize;

/// The store. Without a path and without Redis it is in memory and forgets everything when the process ends.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreConfig {
    /// A folder of this process alone, for the embedded store.
    pub path: Option<PathBuf>,
    /// A Redis or Valkey that several edges share.
    pub redis: Option<RedisConfig>,
    /// What keys are hashed with, so that who reads the store learns nothing: at least 16 random characters, the same for
    /// all edges. Absent: made at the first start and kept in the folder; with Redis it must be given.
    pub pepper: Option<Secret>,
    /// How long a key that was found is taken to be unchanged. Changes reach every edge within a second all the same,
    /// unless the network between them and the store is broken.
    #[serde(with = "humantime_serde")]
    pub cache_time: Duration,
    /// Keys that are remembered. Those that were used last go on when the store is away.
    pub cache_keys: usize,
}

/// How Redis is reached.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedisConfig {
    /// `redis://user:password@host:6379/0`, `rediss://` with TLS, `redis-sentinel://host:26379,host:26379/master`, or
    /// `redis-cluster://host:6379,host:6379`; `rediss-sentinel://` and `rediss-cluster://` with TLS. User and password are
    /// the servers'; Sentinels are asked without.
    pub url: Secret,
    /// A file of certificates (PEM) that the server's is checked against, instead of those that the system trusts. Only
    /// with TLS, as the two that follow; that the server's is valid, and for its name, is always checked.
    pub ca_file: Option<PathBuf>,
    /// The certificate (PEM, with those between it and the CA) that is shown to a server that asks for one, and its key.
    pub client_cert_file: Option<PathBuf>,
    pub client_key_file: Option<PathBuf>,
    /// How long one call may take. After that, requests go on without the store.
    #[serde(with = "humantime_serde", default = "default_deadline")]
    pub deadline: Duration,
}

impl StoreConfig {
    /// Checks what the types cannot.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn check(&self) -> Result<(), &'static str> {
        if self.path.is_some() && self.redis.is_some() {
            return Err("`store` has both `path` and `redis`: edges share a store or they do not");
        }
        if self.redis.is_some() && self.pepper.is_none() {
            return Err("`store.pepper` is missing: edges that share a Redis share it too");
        }
        if self.redis.as_ref().is_some_and(|redis| redis.deadline.is_zero()) {
            return Err("`store.redis.deadline` must not be 0");
        }
        if self.cache_keys == 0 {
            return Err("`store.cache_keys` must not be 0");
        }
        Ok(())
    }
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self { path: None, redis: None, pepper: None, cache_time: Duration::from_secs(30), cache_keys: 100_000 }
    }
}

fn default_deadline() -> Duration {
    Duration::from_millis(500)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config(value: serde_json::Value) -> StoreConfig {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn secrets_are_never_shown() {
        let config = config(json!({ "redis": { "url": "redis://:hunter2@host" }, "pepper": { "env": "PEPPER" } }));
        let shown = format!("{config:?}");
        assert!(!shown.contains("hunter2") && shown.contains("PEPPER"), "{shown}");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for wrong in [
            json!({ "path": "a", "redis": { "url": "redis://host" }, "pepper": "0123456789abcdef" }),
            json!({ "redis": { "url": "redis://host" } }),
            json!({ "redis": { "url": "redis://host", "deadline": "0s" }, "pepper": "0123456789abcdef" }),
            json!({ "cache_keys": 0 }),
        ] {
            assert!(config(wrong.clone()).check().is_err(), "{wrong}");
        }
        assert!(config(json!({})).check().is_ok());
    }
}
