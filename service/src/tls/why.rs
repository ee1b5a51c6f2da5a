//! Why a connection did not come about, in words for whoever has to mend it, and told no more often than is of use.

use std::{
    collections::HashMap,
    io,
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, pki_types::UnixTime};
use strum::{IntoStaticStr, VariantArray};
use tokio::time::Instant;

use super::{config::TlsConfig, files::shown};

/// A certificate is good, and for another name.
#[derive(Debug, thiserror::Error)]
#[error("its certificate is for {names}, and not for {expected}")]
pub(super) struct WrongName {
    pub names: String,
    pub expected: String,
}

/// Why a connection was refused, as it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(super) enum Reason {
    Plaintext,
    NoCertificate,
    Expired,
    UnknownCa,
    WrongName,
    /// The other side refuses our certificate.
    RefusedOurs,
    TooSlow,
    /// It has gone before it said anything that can be judged.
    Gone,
    Other,
}

/// Why, and in words.
pub(super) fn told(error: &io::Error, config: &TlsConfig) -> (Reason, String) {
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return (Reason::Gone, format!("it closed the connection: {error}"));
    };
    match tls {
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            (Reason::Plaintext, "it speaks no TLS, and is not spoken to without".to_owned())
        }
        Error::NoCertificatesPresented => (Reason::NoCertificate, "it shows no certificate".to_owned()),
        Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. }) => {
            (Reason::Expired, format!("its certificate, or one of its CA's, expired at {}", at(*not_after)))
        }
        Error::InvalidCertificate(CertificateError::NotValidYetContext { not_before, .. }) => {
            (Reason::Expired, format!("its certificate holds from {} on only", at(*not_before)))
        }
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            (Reason::UnknownCa, format!("no CA in {} has signed its certificate", config.ca.display()))
        }
        Error::InvalidCertificate(
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. },
        ) => (Reason::Other, format!("its certificate is not for this side of a connection: {tls}")),
        Error::InvalidCertificate(CertificateError::Other(other)) if other.0.is::<WrongName>() => {
            (Reason::WrongName, other.0.to_string())
        }
        Error::AlertReceived(alert) => (Reason::RefusedOurs, refused(*alert, config)),
        other => (Reason::Other, other.to_string()),
    }
}

/// What the other side says is wrong.
fn refused(alert: AlertDescription, config: &TlsConfig) -> String {
    let why = match alert {
        AlertDescription::CertificateExpired => "it says that it has expired",
        AlertDescription::UnknownCA => "no CA that it knows has signed it",
        AlertDescription::CertificateRequired => "it was shown none",
        AlertDescription::CertificateUnknown | AlertDescription::BadCertificate => "its log says why",
        other => return format!("it breaks off: {other:?}"),
    };
    format!("it refuses the certificate in {}: {why}", config.cert.display())
}

fn at(time: UnixTime) -> String {
    shown(SystemTime::UNIX_EPOCH + Duration::from_secs(time.as_secs()))
}

/// Kinds of lines that are told apart. Beyond that nothing is told of new ones for a while.
const MOST_KINDS: usize = 256;

/// The same of the same peer is told so often, at the most: who is refused comes back every few seconds.
const AGAIN_AFTER: Duration = Duration::from_secs(60);

/// Lets through what is told to people: the same once in a while, with how often it was left out.
#[derive(Debug, Default)]
pub(super) struct Sparing(Mutex<HashMap<(String, String), Told>>);

#[derive(Debug)]
struct Told {
    at: Instant,
    left_out: u64,
}

impl Sparing {
    /// Whether this is told, and how often it was not since it was last.
    pub fn tells(&self, of: &str, why: &str) -> Option<u64> {
        let mut told = self.0.lock();
        let now = Instant::now();
        if let Some(told) = told.get_mut(&(of.to_owned(), why.to_owned())) {
            if now < told.at + AGAIN_AFTER {
                told.left_out += 1;
                return None;
            }
            told.at = now;
            return Some(std::mem::take(&mut told.left_out));
        }
        if told.len() >= MOST_KINDS {
            told.retain(|_, told| now < told.at + AGAIN_AFTER);
        }
        if told.len() >= MOST_KINDS {
            return None;
        }
        told.insert((of.to_owned(), why.to_owned()), Told { at: now, left_out: 0 });
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_same_is_told_sparingly_and_another_at_once() {
        let sparing = Sparing::default();
        let told: Vec<_> = (0..3).map(|_| sparing.tells("10.0.0.1", "expired")).collect();
        assert_eq!(told, [Some(0), None, None]);
        assert_eq!(sparing.tells("10.0.0.1", "plaintext"), Some(0));
        assert_eq!(sparing.tells("10.0.0.2", "expired"), Some(0));
        tokio::time::advance(AGAIN_AFTER).await;
        assert_eq!(sparing.tells("10.0.0.1", "expired"), Some(2));
        assert_eq!(sparing.tells("10.0.0.1", "expired"), None);
        for number in 0..MOST_KINDS * 2 {
            sparing.tells("10.0.0.3", &number.to_string());
        }
        assert!(sparing.0.lock().len() <= MOST_KINDS);
        assert_eq!(sparing.tells("10.0.0.4", "expired"), None);
        tokio::time::advance(AGAIN_AFTER).await;
        assert_eq!(sparing.tells("10.0.0.4", "expired"), Some(0));
    }
}
