//! The contract between edge, router and sidecar: the generated messages and services, and [`session`], which
//! carries generations on both hops.
//!
//! Nothing here knows HTTP, OpenAI or an engine.

pub mod event;
pub mod inference;
pub mod kept;
pub mod passed;
pub mod session;
pub mod together;
pub mod unary;

/// Messages, clients and servers of `cloudach.v1`, generated from `proto/cloudach/v1/*.proto`.
#[expect(clippy::doc_markdown, reason = "generated code")]
pub mod v1 {
    tonic::include_proto!("cloudach.v1");
}

/// The encoded file descriptors of the contract, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The largest message a unary call may carry, in bytes: a prompt of a few million tokens, or a page of embeddings.
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;
