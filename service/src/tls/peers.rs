//! Whose certificates count: those that the CA has signed, for one of the names that are expected.

use std::sync::Arc;

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, RootCertStore, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::{
        ParsedCertificate, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};

use super::{
    files::{Life, TlsError, is_name, listed},
    why::WrongName,
};

/// Checks those who are dialled.
#[derive(Debug)]
pub(super) struct Dialled {
    pub roots: Arc<RootCertStore>,
    pub name: String,
    pub provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Dialled {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let parsed = ParsedCertificate::try_from(certificate)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, intermediates, now, algorithms)?;
        // Not by where it was reached: that may be the address of a pod.
        has_name(certificate, std::slice::from_ref(&self.name))?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Checks those who dial.
#[derive(Debug)]
pub(super) struct Dialling {
    signed: Arc<dyn ClientCertVerifier>,
    names: Vec<String>,
}

impl Dialling {
    pub fn new(roots: Arc<RootCertStore>, names: Vec<String>, provider: Arc<CryptoProvider>) -> Result<Self, TlsError> {
        Ok(Self { signed: WebPkiClientVerifier::builder_with_provider(roots, provider).build()?, names })
    }
}

impl ClientCertVerifier for Dialling {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.signed.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self.signed.verify_client_cert(certificate, intermediates, now)?;
        has_name(certificate, &self.names)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signed.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signed.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signed.supported_verify_schemes()
    }
}

fn has_name(certificate: &CertificateDer<'_>, expected: &[String]) -> Result<(), rustls::Error> {
    let Ok(read) = Life::read(certificate) else { return Err(CertificateError::BadEncoding.into()) };
    if read.names.iter().any(|name| expected.iter().any(|expected| is_name(name, expected))) {
        return Ok(());
    }
    let wrong = WrongName { names: listed(&read.names), expected: listed(expected) };
    Err(CertificateError::Other(OtherError(Arc::new(wrong))).into())
}
