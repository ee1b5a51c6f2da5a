//! The sidecar from outside: gRPC on one side, a fake engine on the other.

mod cancel;
mod failures;
mod fleet;
mod rig;
mod streams;
