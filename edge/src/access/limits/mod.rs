//! How much a key may use: requests and tokens a minute, each in a bucket of its own, refilled continuously as OpenAI's
//! are. Both are this process's own: with several edges a key may use so much at each of them.

mod bucket;
mod cost;
mod go_duration;
mod limiter;

pub use bucket::{Level, Refused};
pub use cost::Cost;
pub use go_duration::GoDuration;
pub use limiter::{Exceeded, Limiter, Measure, Reservation, Standing};
