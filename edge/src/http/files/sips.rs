//! A form's body that is read in sips: whoever reads a form takes all that it can get, and looks for the end of a part's head for
//! ever. Here it gets a chunk at a time, and no more than a little beyond what it has given on.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_stream::try_stream;
use axum::body::Body;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::task::yield_now;

/// What may be taken without anything being given on, in bytes: a head with generous fields, and a connection's buffer.
const AHEAD: usize = 256 * 1024;

/// To be told when something was given on.
#[derive(Debug, Clone, Default)]
pub struct Given(Arc<AtomicUsize>);

impl Given {
    /// Something of the form has been read.
    pub fn on(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// The same body, in sips.
pub fn sipped(body: Body) -> (Body, Given) {
    let given = Given::default();
    (Body::from_stream(sips(body.into_data_stream(), given.clone())), given)
}

fn sips<E: std::error::Error + Send + Sync + 'static>(
    chunks: impl Stream<Item = Result<Bytes, E>>,
    given: Given,
) -> impl Stream<Item = io::Result<Bytes>> {
    try_stream! {
        let mut chunks = std::pin::pin!(chunks);
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(io::Error::other)?;
            let ahead = given.0.fetch_add(chunk.len(), Ordering::Relaxed) + chunk.len();
            if ahead > AHEAD {
                Err(io::Error::other("a part of the form has no end to its head"))?;
            }
            yield chunk;
            // Who asks for more at once is told that there is none yet.
            yield_now().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, stream};

    use super::*;

    #[tokio::test]
    async fn it_gives_a_chunk_at_a_time_and_little_that_is_not_given_on() {
        let chunk = Bytes::from(vec![b'x'; 64 * 1024]);
        let endless = stream::repeat_with(move || Ok::<_, io::Error>(chunk.clone()));
        let given = Given::default();
        let mut sips = Box::pin(sips(endless, given.clone()));
        for _ in 0..20 {
            assert!(sips.next().now_or_never().is_some_and(|sip| sip.unwrap().is_ok()));
            assert!(sips.next().now_or_never().is_none(), "it is asked at once");
            given.on();
            yield_now().await;
        }
        let mut taken = 0;
        while let Some(Ok(chunk)) = sips.next().await {
            taken += chunk.len();
        }
        assert_eq!(taken, AHEAD);
    }
}
