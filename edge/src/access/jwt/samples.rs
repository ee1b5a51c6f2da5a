//! Signers as identity providers have them, for tests. The RSA key in `samples/` is used nowhere else.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    rand::SystemRandom,
    rsa::KeyPair as RsaKeyPair,
    signature::{
        self, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
        RsaEncoding,
    },
};
use serde_json::{Value, json};

use super::algorithm::Algorithm;

/// A private key.
pub enum Signer {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

pub fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Signer {
    /// One that signs by this algorithm.
    pub fn of(algorithm: Algorithm) -> Self {
        let random = SystemRandom::new();
        let ecdsa = |kind| {
            let key = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
            EcdsaKeyPair::from_pkcs8(kind, key.as_ref(), &random).unwrap()
        };
        match algorithm {
            Algorithm::Es256 => Self::P256(ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING)),
            Algorithm::Es384 => Self::P384(ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING)),
            Algorithm::EdDsa => {
                let key = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
                Self::Ed25519(Ed25519KeyPair::from_pkcs8(key.as_ref()).unwrap())
            }
            _ => Self::Rsa(RsaKeyPair::from_pkcs8(include_bytes!("samples/rsa.pk8")).unwrap()),
        }
    }

    /// Its public half as providers publish it.
    pub fn jwk(&self, id: &str) -> Value {
        let point = |curve: &str, pair: &EcdsaKeyPair| {
            let (x, y) = pair.public_key().as_ref()[1..].split_at(pair.public_key().as_ref().len() / 2);
            json!({ "kid": id, "use": "sig", "kty": "EC", "crv": curve, "x": encoded(x), "y": encoded(y) })
        };
        match self {
            Self::Rsa(pair) => {
                let components: ring::rsa::PublicKeyComponents<Vec<u8>> = pair.public().into();
                json!({ "kid": id, "use": "sig", "kty": "RSA", "n": encoded(components.n), "e": encoded(components.e) })
            }
            Self::P256(pair) => point("P-256", pair),
            Self::P384(pair) => point("P-384", pair),
            Self::Ed25519(pair) => {
                json!({ "kid": id, "kty": "OKP", "crv": "Ed25519", "x": encoded(pair.public_key().as_ref()) })
            }
        }
    }

    /// A token with this header and these claims.
    pub fn token(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", encoded(header.to_string()), encoded(claims.to_string()));
        let signature = self.sign(header["alg"].as_str().unwrap_or_default(), signed.as_bytes());
        format!("{signed}.{}", encoded(signature))
    }

    fn sign(&self, algorithm: &str, text: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(pair) => {
                let encoding: &dyn RsaEncoding = match algorithm {
                    "RS384" => &signature::RSA_PKCS1_SHA384,
                    "RS512" => &signature::RSA_PKCS1_SHA512,
                    "PS256" => &signature::RSA_PSS_SHA256,
                    "PS384" => &signature::RSA_PSS_SHA384,
                    "PS512" => &signature::RSA_PSS_SHA512,
                    _ => &signature::RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(encoding, &random, text, &mut signature).unwrap();
                signature
            }
            Self::P256(pair) | Self::P384(pair) => pair.sign(&random, text).unwrap().as_ref().to_vec(),
            Self::Ed25519(pair) => pair.sign(text).as_ref().to_vec(),
        }
    }
}
