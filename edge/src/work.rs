//! Where long computation goes: short work runs where it is asked for, long work on a thread that no stream waits on.

use tokio::task::spawn_blocking;

use crate::error::ApiError;

/// Work on more bytes than this is long: counting so much text takes about a millisecond, other work less.
pub const LONG: usize = 16 * 1024;

/// Runs `work` on so many `bytes`.
///
/// # Errors
/// The work panicked.
pub async fn run<T: Send + 'static>(bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
    if bytes <= LONG {
        return Ok(work());
    }
    spawn_blocking(work).await.map_err(|_| ApiError::Internal("long work failed"))
}
