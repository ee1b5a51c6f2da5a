//! TLS towards Redis: whose certificates count, and which is shown. Nothing here makes it any weaker than that.

use std::{fs, path::Path};

use redis::{ClientTlsConfig, TlsCertificates};

use super::RedisUrlError;
use crate::store::config::RedisConfig;

/// What of TLS the configuration says, checked. None: nothing of it.
///
/// # Errors
/// It cannot be used, or would not be: TLS that is configured is never left out.
pub fn certificates(config: &RedisConfig, is_tls: bool) -> Result<Option<TlsCertificates>, RedisUrlError> {
    let is_named = config.ca_file.is_some() || config.client_cert_file.is_some() || config.client_key_file.is_some();
    if !is_tls {
        return if is_named { Err(RedisUrlError::NotTls) } else { Ok(None) };
    }
    choose_cryptography();
    if config.ca_file.is_none() && rustls_native_certs::load_native_certs().certs.is_empty() {
        return Err(RedisUrlError::NoRoots);
    }
    if !is_named {
        return Ok(None);
    }
    let root_cert = config.ca_file.as_deref().map(read).transpose()?;
    if let (Some(path), Some(text)) = (&config.ca_file, &root_cert)
        && !holds(text, "CERTIFICATE")
    {
        return Err(RedisUrlError::NoPem { path: path.clone(), what: "certificate" });
    }
    let client_tls = match (&config.client_cert_file, &config.client_key_file) {
        (None, None) => None,
        (Some(cert), Some(key)) => {
            let [client_cert, client_key] = [read(cert)?, read(key)?];
            if !holds(&client_cert, "CERTIFICATE") {
                return Err(RedisUrlError::NoPem { path: cert.clone(), what: "certificate" });
            }
            if !holds(&client_key, "PRIVATE KEY") {
                return Err(RedisUrlError::NoPem { path: key.clone(), what: "private key" });
            }
            Some(ClientTlsConfig { client_cert, client_key })
        }
        _ => return Err(RedisUrlError::HalfAClient),
    };
    Ok(Some(TlsCertificates { client_tls, root_cert }))
}

fn read(path: impl AsRef<Path>) -> Result<Vec<u8>, RedisUrlError> {
    let path = path.as_ref();
    fs::read(path).map_err(|source| RedisUrlError::Certificates { path: path.to_owned(), source })
}

/// Whether there is a block of this kind in a PEM file. What is in it is read by the client.
fn holds(pem: &[u8], kind: &str) -> bool {
    let text = String::from_utf8_lossy(pem);
    text.lines().any(|line| line.starts_with("-----BEGIN ") && line.trim_end().ends_with(&format!("{kind}-----")))
}

/// The process may have chosen already; then that holds.
fn choose_cryptography() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}
