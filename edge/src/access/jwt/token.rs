//! A token taken apart. Nothing of it is believed yet.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{algorithm::Algorithm, refusal::Refusal};

/// The longest token, in bytes. Those of providers that put groups into them have up to 4 KiB.
const MOST_BYTES: usize = 8 * 1024;

/// What every token begins with: `{"` in base64.
pub const PREFIX: &str = "eyJ";

/// A signed token (JWS) in its compact form.
#[derive(Debug)]
pub struct Token<'a> {
    /// Absent: no algorithm that there is.
    pub algorithm: Option<Algorithm>,
    pub key_id: Option<String>,
    pub claims: Map<String, Value>,
    /// What the signature is of.
    pub signed: &'a str,
    pub signature: Vec<u8>,
}

/// Of a token's header. Keys that it brings along (`jwk`, `jku`, `x5c`, `x5u`) are not read.
#[derive(Debug, Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    #[serde(default, deserialize_with = "there")]
    crit: bool,
}

/// Whether a bearer is a token rather than a key.
pub fn looks_like_a_token(bearer: &str) -> bool {
    bearer.starts_with(PREFIX) && bearer.contains('.')
}

impl<'a> Token<'a> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// It is none.
    pub fn read(text: &'a str) -> Result<Self, Refusal> {
        if text.len() > MOST_BYTES {
            return Err(Refusal::TooLong);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(Refusal::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(Refusal::Malformed)?;
        let header: Header = decoded(header)?;
        if header.crit {
            return Err(Refusal::Critical);
        }
        Ok(Self {
            algorithm: Algorithm::named(&header.alg),
            key_id: header.kid,
            claims: decoded(claims)?,
            signed,
            signature: bytes(signature)?,
        })
    }
}

fn decoded<T: serde::de::DeserializeOwned>(part: &str) -> Result<T, Refusal> {
    serde_json::from_slice(&bytes(part)?).map_err(|_| Refusal::Malformed)
}

fn bytes(part: &str) -> Result<Vec<u8>, Refusal> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Refusal::Malformed)
}

/// Whatever is there.
fn there<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    serde::de::IgnoredAny::deserialize(deserializer).map(|_| true)
}
