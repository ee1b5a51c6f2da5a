//! The sidecar from outside: gRPC on one side, a fake engine on the other.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cancel;
mod failures;
mod fleet;
mod gpus;
mod managed;
mod process;
mod real;
mod rig;
mod streams;
