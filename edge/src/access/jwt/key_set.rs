//! The keys by which an issuer's tokens are checked, as it publishes them (JWKS, RFC 7517).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::signature::{self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{algorithm::Algorithm, refusal::Refusal};

/// The keys of one set. Providers have two or three, some one for each of their applications.
pub const MOST_KEYS: usize = 100;

/// Keys that are tried for a token that names none.
const MOST_TRIED: usize = 8;

/// An issuer's keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySet(Vec<Key>);

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    id: Option<String>,
    /// The only one that it may be used with.
    algorithm: Option<Algorithm>,
    material: Material,
    thumbprint: Thumbprint,
}

/// Tells keys apart, whatever they are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thumbprint([u8; 32]);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Material {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// Uncompressed points.
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// What was fetched is no set of keys.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    #[error("it is no JSON object with a list of `keys`")]
    Form,
    #[error("it has more than {MOST_KEYS} keys")]
    TooMany,
    #[error("none of its keys can check a signature of RSA (2048 to 8192 bits), P-256, P-384 or Ed25519")]
    Empty,
}

#[derive(Deserialize)]
struct Published {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(rename = "use")]
    used_for: Option<String>,
    key_ops: Option<Vec<String>>,
    kid: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    /// Reads what an issuer publishes. Keys that check no signatures here are passed over.
    ///
    /// # Errors
    /// It is no set of keys, or none can be used.
    pub fn read(text: &[u8]) -> Result<Self, KeySetError> {
        let published: Published = serde_json::from_slice(text).map_err(|_| KeySetError::Form)?;
        if published.keys.len() > MOST_KEYS {
            return Err(KeySetError::TooMany);
        }
        let keys: Vec<_> = published.keys.into_iter().filter_map(Key::of).collect();
        if keys.is_empty() { Err(KeySetError::Empty) } else { Ok(Self(keys)) }
    }

    /// How many keys can be used.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether a key is still one of them.
    pub fn has(&self, thumbprint: &Thumbprint) -> bool {
        self.0.iter().any(|key| key.thumbprint == *thumbprint)
    }

    /// By which key a text was signed.
    ///
    /// # Errors
    /// There is no such key, or it has not signed this.
    pub fn signer(
        &self,
        algorithm: Algorithm,
        key_id: Option<&str>,
        signed: &str,
        signature: &[u8],
    ) -> Result<Thumbprint, Refusal> {
        let fits = |key: &&Key| key.fits(algorithm) && key_id.is_none_or(|id| key.id.as_deref() == Some(id));
        let mut fitting = self.0.iter().filter(fits).take(MOST_TRIED).peekable();
        if fitting.peek().is_none() {
            return Err(Refusal::UnknownKey);
        }
        let signer = fitting.find(|key| key.has_signed(algorithm, signed.as_bytes(), signature));
        signer.map(|key| key.thumbprint).ok_or(Refusal::Signature)
    }
}

impl Key {
    fn of(jwk: Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(jwk).ok()?;
        if jwk.used_for.is_some_and(|used_for| used_for != "sig")
            || jwk.key_ops.is_some_and(|operations| !operations.iter().any(|operation| operation == "verify"))
        {
            return None;
        }
        let number = |text: &Option<String>| URL_SAFE_NO_PAD.decode(text.as_deref()?).ok();
        let point = |length: usize| {
            let (x, y) = (number(&jwk.x)?, number(&jwk.y)?);
            (x.len() == length && y.len() == length).then(|| [vec![4], x, y].concat())
        };
        let material = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", _) => Material::Rsa { n: modulus(number(&jwk.n)?)?, e: without_zeros(number(&jwk.e)?) },
            ("EC", Some("P-256")) => Material::P256(point(32)?),
            ("EC", Some("P-384")) => Material::P384(point(48)?),
            ("OKP", Some("Ed25519")) => Material::Ed25519(number(&jwk.x).filter(|x| x.len() == 32)?),
            _ => return None,
        };
        let algorithm = match jwk.alg.as_deref() {
            Some(name) => Some(Algorithm::named(name)?),
            None => None,
        };
        let thumbprint = material.thumbprint();
        Some(Self { id: jwk.kid, algorithm, material, thumbprint })
    }

    fn fits(&self, algorithm: Algorithm) -> bool {
        use Algorithm::{EdDsa, Es256, Es384, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
        let by_kind = match self.material {
            Material::Rsa { .. } => matches!(algorithm, Rs256 | Rs384 | Rs512 | Ps256 | Ps384 | Ps512),
            Material::P256(_) => algorithm == Es256,
            Material::P384(_) => algorithm == Es384,
            Material::Ed25519(_) => algorithm == EdDsa,
        };
        by_kind && self.algorithm.is_none_or(|only| only == algorithm)
    }

    fn has_signed(&self, algorithm: Algorithm, text: &[u8], signature: &[u8]) -> bool {
        let by = |algorithm: &'static dyn VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(algorithm, key).verify(text, signature).is_ok()
        };
        match &self.material {
            Material::Rsa { n, e } => rsa(algorithm)
                .is_some_and(|parameters| RsaPublicKeyComponents { n, e }.verify(parameters, text, signature).is_ok()),
            Material::P256(point) => by(&signature::ECDSA_P256_SHA256_FIXED, point),
            Material::P384(point) => by(&signature::ECDSA_P384_SHA384_FIXED, point),
            Material::Ed25519(key) => by(&signature::ED25519, key),
        }
    }
}

impl Material {
    fn thumbprint(&self) -> Thumbprint {
        let mut hash = Sha256::new();
        let parts: [&[u8]; 2] = match self {
            Self::Rsa { n, e } => [n, e],
            Self::P256(key) | Self::P384(key) | Self::Ed25519(key) => [key, &[]],
        };
        hash.update([match self {
            Self::Rsa { .. } => 0,
            Self::P256(_) => 1,
            Self::P384(_) => 2,
            Self::Ed25519(_) => 3,
        }]);
        hash.update(parts[0].len().to_be_bytes());
        parts.iter().for_each(|part| hash.update(part));
        Thumbprint(hash.finalize().into())
    }
}

fn rsa(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    match algorithm {
        Algorithm::Rs256 => Some(&signature::RSA_PKCS1_2048_8192_SHA256),
        Algorithm::Rs384 => Some(&signature::RSA_PKCS1_2048_8192_SHA384),
        Algorithm::Rs512 => Some(&signature::RSA_PKCS1_2048_8192_SHA512),
        Algorithm::Ps256 => Some(&signature::RSA_PSS_2048_8192_SHA256),
        Algorithm::Ps384 => Some(&signature::RSA_PSS_2048_8192_SHA384),
        Algorithm::Ps512 => Some(&signature::RSA_PSS_2048_8192_SHA512),
        Algorithm::Es256 | Algorithm::Es384 | Algorithm::EdDsa => None,
    }
}

/// Of a size that is neither broken nor a burden.
fn modulus(n: Vec<u8>) -> Option<Vec<u8>> {
    let n = without_zeros(n);
    (256..=1024).contains(&n.len()).then_some(n)
}

fn without_zeros(number: Vec<u8>) -> Vec<u8> {
    number.into_iter().skip_while(|byte| *byte == 0).collect()
}
