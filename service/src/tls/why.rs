//! Why a connection did not come about, in words for whoever has to mend it, and told no more often than is of use.

use std::{
    io,
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelValue;
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, pki_types::UnixTime};
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
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

impl Reason {
    pub const ALL: [Self; 9] = [
        Self::Plaintext,
        Self::NoCertificate,
        Self::Expired,
        Self::UnknownCa,
        Self::WrongName,
        Self::RefusedOurs,
        Self::TooSlow,
        Self::Gone,
        Self::Other,
    ];
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

/// Lets through what is told to people: some of it in any time, and how much was left out.
#[derive(Debug)]
pub(super) struct Sparing {
    window: Duration,
    most: u32,
    told: Mutex<Told>,
}

#[derive(Debug)]
struct Told {
    since: Instant,
    lines: u32,
    left_out: u64,
}

impl Sparing {
    /// So many lines within the time.
    pub fn new(most: u32, window: Duration) -> Self {
        Self { window, most, told: Mutex::new(Told { since: Instant::now(), lines: 0, left_out: 0 }) }
    }

    /// Whether this is told, and how many before it were not.
    pub fn tells(&self) -> Option<u64> {
        let mut told = self.told.lock();
        if told.since.elapsed() >= self.window {
            (told.since, told.lines) = (Instant::now(), 0);
        }
        if told.lines >= self.most {
            told.left_out += 1;
            return None;
        }
        told.lines += 1;
        Some(std::mem::take(&mut told.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_told_of_sparingly() {
        let sparing = Sparing::new(2, Duration::from_secs(10));
        let told: Vec<_> = (0..4).map(|_| sparing.tells()).collect();
        assert_eq!(told, [Some(0), Some(0), None, None]);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(sparing.tells(), Some(2));
        assert_eq!(sparing.tells(), Some(0));
        assert_eq!(sparing.tells(), None);
    }
}
