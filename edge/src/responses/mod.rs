//! Responses: conversations in the words of `/v1/responses`, kept for a while unless the client would rather not.
//!
//! What happens in a response is a log of steps, one for each piece that the engine gives. From it follow the events of its
//! stream, for whoever reads them from wherever, and the whole response. A response that may be come back to is made by a
//! task of its own ([`run`]), which no client holds up and none ends by leaving; clients follow its log, in this edge as it
//! grows ([`live`]), in others by the store, which gets it in batches.

pub mod config;
mod errors;
pub mod follow;
pub mod history;
pub mod kept;
mod live;
mod reply;
pub mod run;

use std::{collections::HashMap, sync::Arc, time::Duration};

use cloudach_openai::responses::{Record, Response, Step};
use parking_lot::Mutex;
use tracing::warn;

use crate::{
    error::ApiError,
    idempotency::Place,
    store::{Away, Store},
};
use config::ResponsesConfig;
pub use errors::in_its_words;
use kept::{Kept, Stage};
pub use live::{Follower, Live};

/// An edge is taken to be at a response for so long after it last said so: so long one is in progress whose edge has died.
const LEASE: Duration = Duration::from_secs(15);

/// Which responses are made in this edge, and where they are kept. Clones share it.
#[derive(Debug, Clone)]
pub struct Responses(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    store: Store,
    config: ResponsesConfig,
    /// No more than requests are in progress.
    live: Mutex<HashMap<Place, Arc<Live>>>,
}

/// A response that was asked for by its id.
pub enum Found {
    /// It is made here.
    Live(Arc<Live>),
    Kept(Box<KeptResponse>),
}

/// One that is not made here.
pub struct KeptResponse {
    pub record: Record,
    pub log: Vec<u8>,
    /// Another edge is at it.
    pub is_running: bool,
}

impl Responses {
    pub fn new(config: ResponsesConfig, store: Store) -> Self {
        Self(Arc::new(Parts { store, config, live: Mutex::default() }))
    }

    /// Whether any are kept.
    pub fn are_kept(&self) -> bool {
        self.0.config.enabled
    }

    fn config(&self) -> &ResponsesConfig {
        &self.0.config
    }

    /// Whether what is known of a response from the start is small enough to be kept.
    fn fits(&self, record: &Record) -> bool {
        serde_json::to_vec(record).is_ok_and(|text| text.len() <= self.config().response_bytes)
    }

    fn live(&self, place: &Place) -> Option<Arc<Live>> {
        self.0.live.lock().get(place).cloned()
    }

    /// Finds a response: one round trip, where it is not made here.
    ///
    /// # Errors
    /// There is none, or the store is away.
    pub async fn find(&self, place: &Place) -> Result<Option<Found>, Away> {
        if let Some(live) = self.live(place) {
            return Ok(Some(Found::Live(live)));
        }
        let Some(found) = self.0.store.response(place, 0).await? else {
            return Ok(None);
        };
        // It may have ended meanwhile, here.
        if let Some(live) = self.live(place) {
            return Ok(Some(Found::Live(live)));
        }
        let Ok(record) = serde_json::from_slice(&found.record) else {
            // Another version kept it otherwise.
            return Ok(None);
        };
        Ok(Some(Found::Kept(Box::new(KeptResponse { record, log: found.log, is_running: found.is_running }))))
    }

    /// Keeps a response that is over. Where the store is away it is not kept, and answered all the same.
    pub async fn keep(&self, place: &Place, record: &Record, log: &[u8], stage: Stage) {
        match self.try_keep(place, record, log, stage).await {
            Ok(true) => {}
            Ok(false) => warn!(id = record.id, "a response is too large to be kept, or was removed"),
            Err(away) => warn!(id = record.id, %away, "a response is not kept"),
        }
    }

    async fn try_keep(&self, place: &Place, record: &Record, log: &[u8], stage: Stage) -> Result<bool, Away> {
        let text = serde_json::to_vec(record).map_err(|error| Away::Refused(error.to_string()))?;
        let most = self.config().response_bytes;
        if text.len() > most || log.len() > most {
            if stage == Stage::Ended {
                self.0.store.remove_response(place).await?;
            }
            return Ok(false);
        }
        let kept = Kept { record: &text, log, stage, ancestors: &record.ancestors };
        self.0.store.keep_response(place, &kept, LEASE, self.config()).await
    }

    /// Removes a response. False: there is none.
    ///
    /// # Errors
    /// The store is away.
    pub async fn remove(&self, place: &Place) -> Result<bool, Away> {
        let live = self.live(place);
        let was_kept = self.0.store.remove_response(place).await?;
        if let Some(live) = &live {
            live.cancel();
        }
        Ok(was_kept || live.is_some())
    }

    /// Ends a response that is in progress in another edge, or was left by one.
    ///
    /// # Errors
    /// The store is away.
    pub async fn cancel_elsewhere(&self, place: &Place) -> Result<(), Away> {
        self.0.store.cancel_response(place).await
    }
}

impl Found {
    /// The response as it is now.
    pub fn response(&self) -> Response {
        match self {
            Self::Live(live) => Response::whole(live.record().clone(), &live.log()),
            Self::Kept(kept) => kept.response(),
        }
    }
}

impl KeptResponse {
    /// The response as it is now. One that nobody is at any more has failed.
    pub fn response(&self) -> Response {
        let mut response = Response::whole(self.record.clone(), &self.log);
        if !self.is_running {
            response.take(&lost(), &mut Vec::new());
        }
        response
    }
}

/// The edge that made a response is gone.
fn lost() -> Step<'static> {
    Step::Fail {
        message: "The server that made this response is gone.".into(),
        kind: "server_error".into(),
        param: None,
        code: None,
    }
}

/// No response of this id is there for this tenant.
pub fn not_found(id: &str) -> ApiError {
    ApiError::NoSuchResponse(id.chars().take(100).collect())
}
