//! `POST /v1/completions`, the older endpoint: a prompt is continued as it is.

mod best;
mod columns;
mod reply;
mod request;
mod stream;
mod whole;

pub use best::{Candidate, best};
pub use reply::Reply;
pub use request::{CompletionRequest, Echo, parse};
