//! `GET /v1/responses/{id}`: as it is now, or its events from where the client has read them.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use cloudach_openai::Invalid;
use serde::Deserialize;

use super::{EVENTS, find, place, whole};
use crate::{
    Edge,
    access::caller::Caller,
    error::ApiError,
    http::{
        idempotent::Ending,
        url::{Path, Query},
    },
    responses::{Found, follow},
    sse,
};

/// What may be asked for. `include` changes nothing, as nothing is left out.
#[derive(Debug, Deserialize)]
pub struct Asked {
    #[serde(default)]
    stream: Option<String>,
    #[serde(default)]
    starting_after: Option<String>,
}

pub async fn show(
    State(edge): State<Edge>,
    caller: Arc<Caller>,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, ApiError> {
    let place = place(&caller, &id)?;
    let streamed = match asked.stream.as_deref() {
        None | Some("false" | "") => false,
        Some("true") => true,
        Some(_) => return Err(Invalid::query("stream", "a boolean").into()),
    };
    let after = match asked.starting_after.as_deref() {
        None | Some("") => None,
        Some(text) => Some(text.parse::<u64>().map_err(|_| Invalid::query("starting_after", "an integer"))?),
    };
    if after.is_some() && !streamed {
        return Err(Invalid::only_streamed("starting_after").into());
    }
    let found = find(&edge.responses, &place).await?;
    if !streamed {
        return Ok(whole(&found.response()));
    }
    let keep_alive = edge.config.stream.keep_alive;
    // Who follows a response holds a place for as long, as who waits for one does; looking at one counts in no limit.
    let room = edge.admission.place()?;
    Ok(match found {
        Found::Live(live) => {
            let events = follow::live(live.follow(), after, keep_alive, Ending::default());
            sse::around(&edge, follow::holding(room, events), EVENTS)
        }
        Found::Kept(kept) => {
            let events = follow::kept(edge.responses.clone(), place, *kept, after, keep_alive);
            sse::around(&edge, follow::holding(room, events), EVENTS)
        }
    })
}
