//! How much may be used: requests and tokens a minute and a day, requests at once, money a day and a month; of a key, a
//! tenant, and each of them with a model. Pure: stores keep the numbers.

mod bucket;
mod calendar;
mod cost;
mod go_duration;
mod ledger;
mod scope;
mod share;
mod standing;
mod tally;

pub use bucket::{Level, Limit, Period, Refused};
pub use calendar::calendar;
pub use cost::Cost;
pub use go_duration::GoDuration;
pub use ledger::{Ask, Ledger, Settlement};
pub use scope::{Bound, Budget, Limits, Scope, Usd};
pub use share::Told;
pub use standing::{Decision, Exceeded, Measure, Standing};
pub use tally::{Amounts, Now, Tally};
