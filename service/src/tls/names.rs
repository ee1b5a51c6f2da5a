//! Who may call what: an edge's certificate is no sidecar's.

use std::sync::Arc;

use tonic::{
    Request, Status,
    service::Interceptor,
    transport::server::{TcpConnectInfo, TlsConnectInfo},
};
use tracing::warn;

use super::{
    Certificates,
    config::Role,
    files::{Life, is_name, listed},
    why::Sparing,
};

/// Lets in the calls of one kind of service. Where there is no TLS it lets in all.
#[derive(Debug, Clone)]
pub struct Only {
    role: Role,
    certificates: Option<Arc<Certificates>>,
    sparing: Arc<Sparing>,
}

impl Only {
    pub fn new(role: Role, certificates: Option<Arc<Certificates>>) -> Self {
        Self { role, certificates, sparing: Arc::default() }
    }
}

impl Interceptor for Only {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let Some(certificates) = &self.certificates else { return Ok(request) };
        // What came over a Unix socket bears none.
        let Some(connection) = request.extensions().get::<TlsConnectInfo<TcpConnectInfo>>() else { return Ok(request) };
        let shown = connection.peer_certs();
        let names = shown.as_ref().and_then(|shown| shown.first()).and_then(|shown| Life::read(shown).ok());
        let names = names.map(|life| life.names).unwrap_or_default();
        let wanted = certificates.config.name(self.role);
        if names.iter().any(|name| is_name(name, wanted)) {
            return Ok(request);
        }
        let from = connection.get_ref().remote_addr().map(|from| from.ip().to_string()).unwrap_or_default();
        let why = format!("its certificate is for {}; this is for `{wanted}` alone", listed(&names));
        if let Some(left_out) = self.sparing.tells(&from, &why) {
            warn!(from, why, left_out, "call refused");
        }
        Err(Status::permission_denied(why))
    }
}
