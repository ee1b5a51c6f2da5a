//! Why there is no connection, in words that say what to do and hold nothing of the URL nor of what servers say.

use std::{error::Error, io, sync::Arc};

use redis::{ErrorKind, RedisError};
use rustls::{AlertDescription, CertificateError, Error as TlsError};

/// What is wrong, for the log.
pub fn why(error: &RedisError) -> String {
    if let Some(tls) = tls_error(error) {
        return tls_trouble(tls).to_owned();
    }
    match error.kind() {
        ErrorKind::AuthenticationFailed => {
            "the server refuses the user or the password: see `store.redis.url`".to_owned()
        }
        ErrorKind::MasterNameNotFoundBySentinel => {
            "no Sentinel knows a master of this name that is up: see the end of `store.redis.url`".to_owned()
        }
        _ => error.category().to_owned(),
    }
}

fn tls_trouble(error: &TlsError) -> &'static str {
    match error {
        // The last where a CA was made anew under its old name.
        TlsError::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "TLS: the server's certificate is signed by no CA that is trusted: name the CA's certificate in `store.redis.ca_file`"
        }
        TlsError::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => {
            "TLS: the server's certificate is for another name: `store.redis.url` has to name the server as its certificate does"
        }
        TlsError::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "TLS: the server's certificate has expired"
        }
        TlsError::InvalidCertificate(_) => "TLS: the server's certificate is not valid",
        TlsError::AlertReceived(AlertDescription::CertificateRequired | AlertDescription::HandshakeFailure) => {
            "TLS: the server wants a certificate: name one in `store.redis.client_cert_file` and `client_key_file`"
        }
        TlsError::AlertReceived(_) => {
            "TLS: the server refuses this client: see `store.redis.client_cert_file` and `client_key_file`, or its log"
        }
        TlsError::InvalidMessage(_) => "TLS: the server does not speak it at this port",
        _ => "TLS: no session could be agreed on",
    }
}

/// The error of TLS that lies behind it.
fn tls_error(error: &RedisError) -> Option<&TlsError> {
    let inner = error.source()?.downcast_ref::<Arc<dyn Error + Send + Sync>>()?;
    inner.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref::<TlsError>()
}
