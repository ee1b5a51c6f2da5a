//! Certificates for tests: CAs, what they sign, and folders that hold them as Kubernetes mounts a secret.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Signs certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key.
pub struct Signed {
    pub cert: CertificateDer<'static>,
    pub key: KeyPair,
    pub pem: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn sign(&self, name: &str) -> Signed {
        self.sign_params(CertificateParams::new(vec![name.to_owned()]).unwrap())
    }

    /// One whose time was over an hour ago.
    pub fn sign_expired(&self, name: &str) -> Signed {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let hour = Duration::from_secs(3600);
        params.not_before = (SystemTime::now() - 2 * hour).into();
        params.not_after = (SystemTime::now() - hour).into();
        self.sign_params(params)
    }

    fn sign_params(&self, params: CertificateParams) -> Signed {
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.0).unwrap();
        Signed { cert: cert.der().clone(), pem: cert.pem(), key }
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    pub fn der(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }
}

impl Signed {
    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.serialize_der()).into()
    }
}

/// A mounted secret: its files are links into a folder that is a link, and all change when that is replaced.
pub struct Mounted {
    folder: TempDir,
    version: u32,
}

impl Mounted {
    pub fn new(signed: &Signed, ca: &str) -> Self {
        let folder = TempDir::new().unwrap();
        for name in ["tls.crt", "tls.key", "ca.crt"] {
            symlink(format!("..data/{name}"), folder.path().join(name)).unwrap();
        }
        let mut mounted = Self { folder, version: 0 };
        mounted.put(signed, ca);
        mounted
    }

    /// Puts other files into the place of those that are there, at once.
    pub fn put(&mut self, signed: &Signed, ca: &str) {
        self.put_text(&signed.pem, &signed.key.serialize_pem(), ca);
    }

    pub fn put_text(&mut self, cert: &str, key: &str, ca: &str) {
        self.version += 1;
        let version = format!("..{}", self.version);
        let place = self.folder.path().join(&version);
        fs::create_dir(&place).unwrap();
        for (name, text) in [("tls.crt", cert), ("tls.key", key), ("ca.crt", ca)] {
            fs::write(place.join(name), text).unwrap();
        }
        let beside = self.folder.path().join("..new");
        symlink(version, &beside).unwrap();
        fs::rename(beside, self.folder.path().join("..data")).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The section of a configuration.
    pub fn section(&self) -> Value {
        json!({ "cert": self.path("tls.crt"), "key": self.path("tls.key"), "ca": self.path("ca.crt") })
    }
}
