//! Where long computation goes: short work runs where it is asked for, long work on threads that no stream waits on, as
//! many at once as there are cores.

use std::{
    num::NonZero,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::available_parallelism,
};

use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::error::ApiError;

/// Work on more bytes than this is long: counting so much text takes a tenth to a half of a millisecond, and so does other work.
const LONG: usize = 16 * 1024;

const BROKEN: ApiError = ApiError::Internal("a computation failed");

/// Runs work. How much may wait is bounded by the requests that were admitted.
#[derive(Debug)]
pub struct Work {
    cores: Arc<Semaphore>,
    tasks: TaskTracker,
}

impl Work {
    /// Long work becomes tasks of `tasks`.
    pub fn new(tasks: TaskTracker) -> Self {
        let cores = available_parallelism().map_or(1, NonZero::get);
        Self { cores: Arc::new(Semaphore::new(cores)), tasks }
    }

    /// Runs `work` on so many `bytes`.
    ///
    /// # Errors
    /// The work panicked: one broken request does not end its connection.
    pub async fn run<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        if bytes <= LONG {
            return catch_unwind(AssertUnwindSafe(work)).map_err(|_| BROKEN);
        }
        self.run_long(work).await
    }

    /// Runs `work` that may be long whatever its size is.
    ///
    /// # Errors
    /// The work panicked.
    pub async fn run_long<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
        let _core = self.cores.acquire().await.map_err(|_| BROKEN)?;
        self.tasks.spawn_blocking(work).await.map_err(|_| BROKEN)
    }
}
