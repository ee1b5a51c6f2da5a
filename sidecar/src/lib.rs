//! The sidecar: one per engine process. It starts, watches and ends the engine (or attaches to one that runs), turns
//! the gateway's requests into the engine's, streams tokens back, reports state and load to every router, and makes the
//! engine stop the moment a caller goes away.
//!
//! It knows nothing of OpenAI's API and of other replicas; what depends on the kind of engine is in `engine/`.

mod assignment;
mod attach;
pub mod config;
mod death;
mod engine;
mod flight;
mod generate;
mod gpu;
mod keeper;
mod load;
pub mod metrics;
mod process;
mod pulse;
mod readiness;
mod run;
mod sidecar;
mod state;
pub mod supervise;
mod trace;
mod unary;

pub use self::{
    config::Config,
    run::{SidecarError, run},
};
