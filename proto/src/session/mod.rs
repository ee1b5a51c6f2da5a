//! The session: one gRPC stream that carries many generations, used by edge -> router and router -> sidecar alike.
//!
//! [`Caller`] and [`Callee`] are the two ends without I/O: they take frames and give frames. [`client`] and
//! [`server`] move those frames over tonic. The rest of the code sees a stream of events that cancels its request
//! when it is dropped, and never a frame.
//!
//! What never happens here: an id is used twice; one slow reader delays another; a queue grows without bound; a
//! broken session leaves a request without its last event.

mod backlog;
mod callee;
mod caller;
pub mod client;
pub mod server;

pub use backlog::Backlog;
pub use callee::{Action, Callee, ProtocolError};
pub use caller::{Caller, Delivery, Refused};

/// The largest frame payload that is sent in one piece, in bytes. A bigger request travels as pieces of this size,
/// taking turns with everything else, so a prompt of 100,000 tokens delays a short one by one piece.
pub const PIECE_BYTES: usize = 32 * 1024;

/// About how many bytes of frames share one message. tonic allows 4 MiB; small messages keep latency even.
pub const MESSAGE_BYTES: usize = 256 * 1024;

/// The largest encoded request, in bytes.
pub const REQUEST_BYTES: usize = 32 * 1024 * 1024;

/// How many requests may be open on one session.
pub const OPEN_REQUESTS: usize = 65_536;
