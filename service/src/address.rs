//! Where a gRPC service listens or is reached: a TCP address, or a Unix socket on the same machine.

use std::{fmt, path::PathBuf, str::FromStr};

use serde::{Deserialize, Deserializer};

/// `host:port`, or `unix:/path/to/socket`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// A name or an IP address with a port.
    Tcp(String),
    /// A socket file.
    Unix(PathBuf),
}

/// The text is no address.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no address: write `host:port` or `unix:/path/to/socket`")]
pub struct InvalidAddress(String);

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let invalid = || InvalidAddress(text.to_owned());
        if let Some(path) = text.strip_prefix("unix:") {
            // Both `unix:/path` and `unix:///path` are written.
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.starts_with('/') { Ok(Self::Unix(path.into())) } else { Err(invalid()) };
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(invalid)?;
        if host.is_empty() || host.contains('/') || port.parse::<u16>().is_err() {
            return Err(invalid());
        }
        Ok(Self::Tcp(text.to_owned()))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => out.write_str(address),
            Self::Unix(path) => write!(out, "unix:{}", path.display()),
        }
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written_back() {
        for text in ["127.0.0.1:7001", "router-0.router:7001", "[::1]:7001", "unix:/run/cloudach/router.sock"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        assert_eq!("unix:///a".parse(), Ok(Address::Unix("/a".into())));
        for text in ["", "localhost", "http://a:1", ":1", "a:99999", "unix:relative"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
