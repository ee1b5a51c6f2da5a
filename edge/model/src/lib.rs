//! What models speak, as pure functions: text in, text out.
//!
//! [`template`] turns a conversation into the prompt a model was trained on, [`tokens`] counts what
//! that is worth, [`reading`] turns the text that comes back into what the client may see. Nothing here
//! reads a file, a socket or a clock, and nothing waits: what changes from call to call, the time
//! included, is passed in.

pub mod offered;
pub mod reading;
pub mod schema;
pub mod template;
pub mod tokens;
