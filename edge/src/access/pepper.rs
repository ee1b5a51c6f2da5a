//! What keys are hashed with beyond their own chance: who reads the store without it cannot even try keys.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::keys::{KeyHash, hex};
use crate::store::{
    Fingerprint,
    config::{SecretError, StoreConfig},
};

/// A shorter one could be guessed. In bytes.
const SHORTEST: usize = 16;

/// The file in the embedded store's folder.
const FILE: &str = "pepper";

/// The secret of this gateway. Clones share nothing but its value, and it is never shown.
#[derive(Clone)]
pub struct Pepper(Hmac<Sha256>);

/// There is no pepper to be had.
#[derive(Debug, thiserror::Error)]
pub enum PepperError {
    #[error("`store.pepper`: {0}")]
    Secret(#[from] SecretError),
    #[error("`store.pepper` has less than {SHORTEST} characters")]
    Short,
    #[error("cannot keep the pepper in {path}: {source}", path = .path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("the system gives no random bytes: {0}")]
    Random(#[from] getrandom::Error),
}

impl Pepper {
    /// The one that the configuration names; else the one in the store's folder, made at the first start; else, where
    /// nothing outlives the process, one of its own.
    ///
    /// # Errors
    /// It cannot be read, or is too short.
    pub fn open(config: &StoreConfig) -> Result<Self, PepperError> {
        let secret = match (&config.pepper, &config.path) {
            (Some(pepper), _) => pepper.reveal()?,
            (None, Some(folder)) => {
                let path = folder.join(FILE);
                read_or_make(&path).map_err(|source| PepperError::File { path, source })??
            }
            (None, None) => make()?,
        };
        if secret.len() < SHORTEST {
            return Err(PepperError::Short);
        }
        Ok(Self(Hmac::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length")))
    }

    /// By what the store knows a key of this hash.
    pub fn fingerprint(&self, key: &KeyHash) -> Fingerprint {
        let mut mac = self.0.clone();
        mac.update(key.as_bytes());
        Fingerprint(hex(&mac.finalize().into_bytes()))
    }
}

impl std::fmt::Debug for Pepper {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("(secret)")
    }
}

fn read_or_make(path: &PathBuf) -> io::Result<Result<String, getrandom::Error>> {
    match fs::read_to_string(path) {
        Ok(pepper) => return Ok(Ok(pepper)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let pepper = match make() {
        Ok(pepper) => pepper,
        Err(error) => return Ok(Err(error)),
    };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(pepper.as_bytes())?;
    file.sync_all()?;
    Ok(Ok(pepper))
}

fn make() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(hex(&bytes))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::store::config::Secret;

    #[test]
    fn fingerprints_differ_by_key_and_by_pepper() {
        let pepper = |text: &str| {
            let config = StoreConfig { pepper: Some(Secret::Text(text.to_owned())), ..StoreConfig::default() };
            Pepper::open(&config)
        };
        let (one, other) = (pepper("0123456789abcdef").unwrap(), pepper("0123456789abcdeg").unwrap());
        let key = KeyHash::of("sk-test");
        assert_eq!(one.fingerprint(&key), one.clone().fingerprint(&key));
        assert_ne!(one.fingerprint(&key), other.fingerprint(&key));
        assert_ne!(one.fingerprint(&key), one.fingerprint(&KeyHash::of("sk-tesu")));
        assert!(matches!(pepper("0123456789"), Err(PepperError::Short)));
    }

    #[test]
    fn it_is_made_once_and_kept_for_this_user_alone() {
        let folder = tempfile::tempdir().unwrap();
        let config = StoreConfig { path: Some(folder.path().to_owned()), ..StoreConfig::default() };
        let key = KeyHash::of("sk-test");
        let first = Pepper::open(&config).unwrap().fingerprint(&key);
        assert_eq!(Pepper::open(&config).unwrap().fingerprint(&key), first);
        let mode = fs::metadata(folder.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let in_memory = Pepper::open(&StoreConfig::default()).unwrap();
        assert_ne!(in_memory.fingerprint(&key), first);
    }
}
