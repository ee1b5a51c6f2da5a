//! What goes wrong on the way to a replica and back, as the caller is told it.

use cloudach_proto::{
    session::Refused,
    v1::{ErrorCode, Failed},
};
use tonic::{Code, Status};

/// Why a replica took no request.
pub fn refusal(refused: Refused) -> Failed {
    let code = match refused {
        Refused::Draining => ErrorCode::ShuttingDown,
        Refused::Broken => ErrorCode::ReplicaLost,
        Refused::Full => ErrorCode::Overloaded,
        Refused::TooLarge(_) => return Failed::new(ErrorCode::InvalidRequest, refused.to_string()),
    };
    Failed::retryable(code, refused.to_string())
}

/// What a call that brought no answer means: a replica that is lost, or an answer that cannot be carried.
pub fn not_answered(status: &Status) -> Failed {
    match status.code() {
        Code::Unavailable | Code::Aborted | Code::Cancelled | Code::Unknown => {
            Failed::retryable(ErrorCode::ReplicaLost, status.message())
        }
        // A replica of an older version.
        Code::Unimplemented => {
            Failed::retryable(ErrorCode::Unsupported, "the replica does not know this kind of request")
        }
        _ => Failed::new(ErrorCode::Internal, status.message()),
    }
}

/// The events of a replica stopped in the middle.
pub fn lost() -> Failed {
    Failed::retryable(ErrorCode::ReplicaLost, "the replica's stream ended without a result")
}

/// The request's time is over.
pub fn timed_out() -> Failed {
    Failed::new(ErrorCode::DeadlineExceeded, "the request took longer than its time-out")
}
