//! Reads a process's configuration: one YAML file, one typed struct, unknown keys refused.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;

/// A configuration file larger than this is a mistake. In bytes.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// Why a configuration could not be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is not there or may not be read.
    #[error("cannot read {path}: {source}", path = .path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    /// The text is not this process's configuration; says where.
    #[error("{path} is not a valid configuration: {reason}", path = .path.display())]
    Invalid { path: PathBuf, reason: String },
}

/// Reads `path` as YAML.
///
/// # Errors
/// What is wrong with the file, with the line where the parser knows it.
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    parse(&text(path)?).map_err(|reason| ConfigError::Invalid { path: path.to_owned(), reason })
}

/// The text of a configuration.
///
/// # Errors
/// It is not there, is no text, or has too many bytes.
pub fn text(path: &Path) -> Result<String, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
    let size = fs::metadata(path).map_err(unreadable)?.len();
    if size > MAX_BYTES {
        let reason = format!("it has {size} bytes, more than {MAX_BYTES}");
        return Err(ConfigError::Invalid { path: path.to_owned(), reason });
    }
    fs::read_to_string(path).map_err(unreadable)
}

/// The text of a configuration, without holding up anything else.
///
/// # Errors
/// It is not there, is no text, or has too many bytes.
pub async fn read(path: &Path) -> Result<String, ConfigError> {
    let path = path.to_owned();
    let blocked = |_| io::Error::other("the process ends");
    let read = tokio::task::spawn_blocking(move || text(&path));
    read.await.map_err(blocked).unwrap_or_else(|source| Err(ConfigError::Unreadable { path: PathBuf::new(), source }))
}

/// Reads YAML text.
///
/// # Errors
/// The parser's description, with the line.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_saphyr::from_str(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only parsed")]
    struct Small {
        port: u16,
    }

    #[test]
    fn mistakes_are_named() {
        assert!(parse::<Small>("port: 1").is_ok());
        assert!(parse::<Small>("prot: 1").unwrap_err().contains("prot"));
        assert!(parse::<Small>("port: x").unwrap_err().contains("line 1"));
        assert!(load::<Small>(Path::new("/nowhere.yaml")).unwrap_err().to_string().contains("/nowhere.yaml"));
    }
}
