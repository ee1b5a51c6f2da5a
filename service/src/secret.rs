//! Secrets in configurations: themselves, or where they are. They are never shown.

use std::{env, fmt, fs, path::PathBuf};

use serde::Deserialize;

/// A secret, or where it is. It is never shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Secret {
    /// Itself.
    Text(String),
    /// In an environment variable or in a file, whose last line break does not belong to it.
    Elsewhere(Elsewhere),
}

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Elsewhere {
    Env(String),
    File(PathBuf),
}

/// A secret is not where the configuration says.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("the environment variable {0} is not set")]
    NotSet(String),
    #[error("cannot read the secret in {path}: {source}", path = .path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
}

impl Secret {
    /// The secret itself.
    ///
    /// # Errors
    /// It is not where the configuration says.
    pub fn reveal(&self) -> Result<String, SecretError> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::Elsewhere(Elsewhere::Env(name)) => env::var(name).map_err(|_| SecretError::NotSet(name.clone())),
            Self::Elsewhere(Elsewhere::File(path)) => {
                let text = fs::read_to_string(path);
                let text = text.map_err(|source| SecretError::Unreadable { path: path.clone(), source })?;
                Ok(text.trim_end_matches(['\r', '\n']).to_owned())
            }
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => formatter.write_str("(secret)"),
            Self::Elsewhere(place) => place.fmt(formatter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_where_they_are_said_to_be() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "a b\n").unwrap();
        assert_eq!(Secret::Elsewhere(Elsewhere::File(file.path().to_owned())).reveal().unwrap(), "a b");
        assert!(Secret::Elsewhere(Elsewhere::Env("CLOUDACH_NOBODY_SETS_THIS".to_owned())).reveal().is_err());
    }
}
