//! Raises the number of files and sockets that this process may have open to what the system allows it: the usual
//! default of 1,024 is far below what an edge carries.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::debug;

/// Raises the soft limit to the hard one. Where that is not allowed, the limit stays.
pub fn raise() {
    let limit = getrlimit(Resource::Nofile);
    match setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        Ok(()) => debug!(descriptors = limit.maximum, "limit raised"),
        Err(error) => debug!(%error, "the limit of open files stays"),
    }
}
