//! TLS between the services, in both directions: each shows a certificate and checks the other's, whichever of them has
//! dialled. Certificates are taken anew while the process runs, and connections that stand go on.
//!
//! Over Unix sockets there is none: whoever may open the socket's file is on the same machine.

mod accept;
mod certificates;
pub mod config;
mod dial;
mod files;
mod metrics;
mod names;
mod peers;
mod why;

pub(crate) use self::{accept::incoming, dial::Connector};
pub use self::{
    certificates::Certificates,
    config::{Role, TlsConfig},
    files::TlsError,
    metrics::TlsMetrics,
    names::Only,
};
