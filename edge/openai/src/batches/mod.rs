//! Batches: many requests in a file, answered in another within a day.

mod batch;
mod check;
mod create;
mod line;
mod outcome;
mod splitter;

pub use batch::{Batch, BatchError, Counts, Ending, NotToCancel, Status, Used};
pub use check::{Checked, Checker};
pub use create::{Create, Endpoint, parse};
pub use line::Line;
pub use outcome::{Outcome, answered, unanswered, used_by};
pub use splitter::Splitter;
