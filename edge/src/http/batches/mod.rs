//! `/v1/batches`: a handler for each of its paths.

pub mod cancel;
pub mod create;
pub mod list;
pub mod retrieve;

use cloudach_openai::ids;

use crate::{access::caller::Caller, batches::not_found, error::ApiError, idempotency::Place};

/// Where a caller's batch is. No other tenant's can be named.
fn place(caller: &Caller, id: &str) -> Result<Place, ApiError> {
    if !ids::is_batch(id) {
        return Err(not_found(id));
    }
    Ok(Place { tenant: caller.tenant.to_string(), slot: id.to_owned() })
}
