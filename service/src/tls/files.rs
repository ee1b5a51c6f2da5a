//! The files of certificates: read within bounds, and found to be good for something before they count.

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use rustls::{
    RootCertStore,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use x509_parser::{certificate::X509Certificate, prelude::FromDer, time::ASN1Time};

use super::config::TlsConfig;

/// The largest file, in bytes: many times what a bundle of CAs has.
const MOST_BYTES: u64 = 1024 * 1024;

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read {path}: {source}", path = .path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{path} has more than {MOST_BYTES} bytes", path = .path.display())]
    TooLarge { path: PathBuf },
    #[error("{path} holds no {what} in PEM", path = .path.display())]
    NoPem { path: PathBuf, what: &'static str },
    #[error("{path} holds a certificate that cannot be read: {reason}", path = .path.display())]
    Certificate { path: PathBuf, reason: String },
    #[error("{path} holds a private key that cannot be used: {reason}", path = .path.display())]
    Key { path: PathBuf, reason: rustls::Error },
    #[error("the private key in {key} is not that of the certificate in {cert}", key = .key.display(), cert = .cert.display())]
    Mismatch { key: PathBuf, cert: PathBuf },
    #[error("the certificate in {path} expired at {at}", path = .path.display(), at = shown(*.at))]
    Expired { path: PathBuf, at: SystemTime },
    #[error("the certificate in {path} holds from {at} on only", path = .path.display(), at = shown(*.at))]
    NotYet { path: PathBuf, at: SystemTime },
    #[error("the certificate in {path} is for {names}, and not for `{name}`, as which the others know this service", path = .path.display())]
    Name { path: PathBuf, names: String, name: String },
    #[error("certificates cannot be checked: {0}")]
    Unusable(#[from] rustls::Error),
    #[error("certificates cannot be checked: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

/// A point in time, for people.
pub(super) fn shown(at: SystemTime) -> String {
    humantime::format_rfc3339_seconds(at).to_string()
}

/// What is in the three files.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Contents {
    cert: Vec<u8>,
    key: Vec<u8>,
    ca: Vec<u8>,
}

/// What the three files come to.
pub(super) struct Material {
    pub own: Arc<CertifiedKey>,
    pub roots: Arc<RootCertStore>,
    /// When the first certificate of the service's own chain expires,
    pub cert_expires: SystemTime,
    /// and the last of the CAs.
    pub ca_expires: SystemTime,
}

impl Contents {
    /// Reads all three.
    pub fn read(config: &TlsConfig) -> Result<Self, TlsError> {
        Ok(Self { cert: read(&config.cert)?, key: read(&config.key)?, ca: read(&config.ca)? })
    }

    /// What they come to at this time, for a service that is known as `name`.
    pub fn check(
        &self,
        config: &TlsConfig,
        name: &str,
        now: SystemTime,
        provider: &CryptoProvider,
    ) -> Result<Material, TlsError> {
        let chain = certificates(&config.cert, &self.cert)?;
        let no_key = |_| TlsError::NoPem { path: config.key.clone(), what: "private key" };
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(no_key)?;
        let mut cert_expires = None;
        for (place, certificate) in chain.iter().enumerate() {
            let read = Life::of(&config.cert, certificate)?;
            if now < read.begins {
                return Err(TlsError::NotYet { path: config.cert.clone(), at: read.begins });
            }
            if now > read.expires {
                return Err(TlsError::Expired { path: config.cert.clone(), at: read.expires });
            }
            if place == 0 && !read.names.iter().any(|other| is_name(other, name)) {
                let names = listed(&read.names);
                return Err(TlsError::Name { path: config.cert.clone(), names, name: name.to_owned() });
            }
            cert_expires = Some(cert_expires.map_or(read.expires, |first: SystemTime| first.min(read.expires)));
        }
        let own = CertifiedKey::from_der(chain, key, provider).map_err(|reason| match reason {
            rustls::Error::InconsistentKeys(_) => {
                TlsError::Mismatch { key: config.key.clone(), cert: config.cert.clone() }
            }
            reason => TlsError::Key { path: config.key.clone(), reason },
        })?;
        let mut roots = RootCertStore::empty();
        let mut ca_expires = SystemTime::UNIX_EPOCH;
        for certificate in certificates(&config.ca, &self.ca)? {
            ca_expires = ca_expires.max(Life::of(&config.ca, &certificate)?.expires);
            roots.add(certificate).map_err(|error| unreadable(&config.ca, &error))?;
        }
        Ok(Material {
            own: Arc::new(own),
            roots: Arc::new(roots),
            cert_expires: cert_expires.unwrap_or(SystemTime::UNIX_EPOCH),
            ca_expires,
        })
    }
}

/// What a certificate says of itself.
pub(super) struct Life {
    begins: SystemTime,
    pub expires: SystemTime,
    /// Its subject alternative names: of DNS, and URIs.
    pub names: Vec<String>,
}

impl Life {
    fn of(path: &Path, certificate: &CertificateDer<'_>) -> Result<Self, TlsError> {
        Self::read(certificate).map_err(|reason| TlsError::Certificate { path: path.to_owned(), reason })
    }

    /// Reads it.
    pub fn read(certificate: &CertificateDer<'_>) -> Result<Self, String> {
        let (_, read) = X509Certificate::from_der(certificate).map_err(|error| error.to_string())?;
        let names = read.subject_alternative_name().map_err(|error| error.to_string())?;
        let names = names.iter().flat_map(|names| &names.value.general_names);
        let name = |name: &x509_parser::extensions::GeneralName<'_>| match name {
            x509_parser::extensions::GeneralName::DNSName(name) | x509_parser::extensions::GeneralName::URI(name) => {
                Some((*name).to_owned())
            }
            _ => None,
        };
        Ok(Self {
            begins: time(read.validity().not_before),
            expires: time(read.validity().not_after),
            names: names.filter_map(name).collect(),
        })
    }
}

/// Whether a name of a certificate is this one. Case does not matter in DNS.
pub(super) fn is_name(of_certificate: &str, name: &str) -> bool {
    if name.contains("://") { of_certificate == name } else { of_certificate.eq_ignore_ascii_case(name) }
}

/// Names, for people.
pub(super) fn listed(names: &[String]) -> String {
    if names.is_empty() { "no name".to_owned() } else { format!("`{}`", names.join("`, `")) }
}

fn time(at: ASN1Time) -> SystemTime {
    let seconds = u64::try_from(at.timestamp()).unwrap_or(0);
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let unreadable = |source| TlsError::Unreadable { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(TlsError::TooLarge { path: path.to_owned() });
    }
    Ok(bytes)
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let read = read.map_err(|error| unreadable(path, &error))?;
    if read.is_empty() {
        return Err(TlsError::NoPem { path: path.to_owned(), what: "certificate" });
    }
    Ok(read)
}

fn unreadable(path: &Path, error: &dyn std::fmt::Display) -> TlsError {
    TlsError::Certificate { path: path.to_owned(), reason: error.to_string() }
}
