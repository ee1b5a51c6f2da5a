//! `GET /debug/pprof/profile?seconds=10` on the admin address: where the processor's time goes, in pprof's format, compressed.
//!
//! A timer interrupts whatever thread uses the processor, 99 times in a second of its time, and notes the addresses that the
//! frame pointers lead to: nothing is allocated and no lock is waited for then. When nobody asks there is no timer. Addresses
//! become names afterwards, off the network threads.

use std::{io::Write, time::Duration};

use axum::{
    Router,
    extract::{Query, rejection::QueryRejection},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use flate2::{Compression, write::GzEncoder};
use pprof::{ProfilerGuard, ProfilerGuardBuilder, protos::Message};
use serde::Deserialize;
use tokio::{sync::Semaphore, time::sleep};

/// How often a second of the processor's time is looked at: not in step with anything that happens each hundredth.
const PER_SECOND: i32 = 99;

/// The longest profile, in seconds.
const LONGEST: u64 = 60;

/// A process has one timer, whoever asks.
static ONE_AT_A_TIME: Semaphore = Semaphore::const_new(1);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct For {
    seconds: u64,
}

impl Default for For {
    fn default() -> Self {
        Self { seconds: 10 }
    }
}

/// The route.
pub fn routes() -> Router {
    Router::new().route("/debug/pprof/profile", get(profile))
}

/// Whoever leaves ends it.
async fn profile(time: Result<Query<For>, QueryRejection>) -> Response {
    let seconds = match time {
        Ok(Query(For { seconds })) if (1..=LONGEST).contains(&seconds) => seconds,
        _ => return told(StatusCode::BAD_REQUEST, &format!("say for how long as in ?seconds=10, 1 to {LONGEST}")),
    };
    let Ok(_one) = ONE_AT_A_TIME.try_acquire() else {
        return told(StatusCode::CONFLICT, "another profile is being taken; try again");
    };
    let guard = match ProfilerGuardBuilder::default().frequency(PER_SECOND).build() {
        Ok(guard) => guard,
        Err(error) => return told(StatusCode::INTERNAL_SERVER_ERROR, &format!("the profile cannot be taken: {error}")),
    };
    sleep(Duration::from_secs(seconds)).await;
    match tokio::task::spawn_blocking(move || compressed(&guard)).await {
        Ok(Ok(bytes)) => {
            let headers = [
                (header::CONTENT_TYPE, "application/octet-stream"),
                (header::CONTENT_DISPOSITION, "attachment; filename=\"profile.pb.gz\""),
            ];
            (headers, bytes).into_response()
        }
        Ok(Err(problem)) => told(StatusCode::INTERNAL_SERVER_ERROR, &format!("the profile cannot be told: {problem}")),
        Err(_) => told(StatusCode::INTERNAL_SERVER_ERROR, "the profile cannot be told"),
    }
}

fn compressed(guard: &ProfilerGuard<'_>) -> Result<Vec<u8>, String> {
    let profile = guard.report().build().and_then(|report| report.pprof()).map_err(|error| error.to_string())?;
    let mut out = GzEncoder::new(Vec::new(), Compression::default());
    out.write_all(&profile.encode_to_vec()).and_then(|()| out.finish()).map_err(|error| error.to_string())
}

fn told(status: StatusCode, text: &str) -> Response {
    (status, format!("{text}\n")).into_response()
}

#[cfg(test)]
mod tests {
    use std::{
        hint::black_box,
        io::Read,
        sync::atomic::{AtomicBool, Ordering},
        thread,
    };

    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use flate2::read::GzDecoder;
    use pprof::protos::Profile;
    use tower::ServiceExt;

    use super::*;

    static WANTED: AtomicBool = AtomicBool::new(true);

    #[inline(never)]
    fn busy_for_the_profile() -> u64 {
        let mut sum = 0_u64;
        while WANTED.load(Ordering::Relaxed) {
            sum = sum.wrapping_add(grind(black_box(sum)));
        }
        sum
    }

    #[inline(never)]
    fn grind(seed: u64) -> u64 {
        (0..10_000_u64).fold(seed, |sum, number| black_box(sum.rotate_left(5) ^ number))
    }

    async fn ask(query: &str) -> (StatusCode, Vec<u8>) {
        let request = Request::get(format!("/debug/pprof/profile{query}")).body(Body::empty()).unwrap();
        let answer = routes().oneshot(request).await.unwrap();
        (answer.status(), to_bytes(answer.into_body(), usize::MAX).await.unwrap().to_vec())
    }

    /// Only where there are frame pointers to follow: `make tools`.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_profile_names_what_is_busy() {
        for wrong in ["?seconds=0", "?seconds=61", "?seconds=x", "?minutes=1"] {
            assert_eq!(ask(wrong).await.0, StatusCode::BAD_REQUEST, "{wrong}");
        }
        let busy = thread::spawn(busy_for_the_profile);
        let first = tokio::spawn(ask("?seconds=2"));
        while ONE_AT_A_TIME.available_permits() > 0 {
            sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(ask("?seconds=1").await.0, StatusCode::CONFLICT, "one at a time");
        let (status, bytes) = first.await.unwrap();
        WANTED.store(false, Ordering::Relaxed);
        busy.join().unwrap();
        assert_eq!(status, StatusCode::OK, "{}", String::from_utf8_lossy(&bytes));
        let mut plain = Vec::new();
        GzDecoder::new(&bytes[..]).read_to_end(&mut plain).unwrap();
        let profile = Profile::decode(&plain[..]).unwrap();
        let looks: i64 = profile.sample.iter().map(|sample| sample.value[0]).sum();
        assert!(looks > 10, "{looks} looks in two seconds, of a thread that is always busy");
        let names = profile.function.iter().map(|function| profile.string_table[function.name as usize].as_str());
        let ours = names.filter(|name| name.contains("busy_for_the_profile")).count();
        assert!(ours > 0, "{:?}", profile.string_table);
    }
}
