//! Black-box tests: the three services as real processes in front of scripted engines, met as their users meet them,
//! by bytes on a socket and by signals. The types of the services are never used here, so that a mistake in them
//! cannot hide itself.
//!
//! [`Fleet`] starts the processes, [`Client`] talks to them, and `tests/` says what they have to do. The services'
//! programs are expected beside the tests: `cargo build --workspace --bins` makes them.

mod client;
mod connection;
mod events;
mod fleet;
mod guardian;
mod json;
mod plan;
mod processes;
mod redis;
mod requests;
mod sentinel;
mod service;
mod shared;
mod told;
mod waiting;

pub use client::Client;
pub use connection::{Answer, Connection, Head, Reading};
pub use events::{Event, Events};
pub use fleet::{Fleet, runtime};
pub use json::with;
pub use plan::{Engine, Link, Plan, Replica};
pub use processes::{group_of, in_group, running};
pub use redis::{ADMIN_TOKEN, Redis, admin_api};
pub use requests::{chat, chat_text, completion, completion_text, error_of};
pub use sentinel::Sentinel;
pub use service::{Exit, Service, program};
pub use shared::{Shared, Visit};
pub use told::Told;
pub use waiting::{eventually, holds_within};
