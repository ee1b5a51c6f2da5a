//! What edge, router and sidecar do alike: read a configuration, listen and dial, log, say whether they are ready,
//! answer on an admin port, count, trace, and stop in order.
//!
//! Nothing here knows what a service does.

pub mod address;
pub mod admin;
pub mod admin_token;
pub mod backoff;
pub mod config;
pub mod descriptors;
pub mod grpc;
pub mod logs;
pub mod metrics;
pub mod process;
#[cfg(feature = "pprof")]
mod profile;
pub mod ready;
pub mod reload;
pub mod secret;
pub mod stop;
pub mod tls;
pub mod tools;
pub mod trace;
