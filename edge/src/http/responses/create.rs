//! `POST /v1/responses`

use std::sync::Arc;

use axum::{extract::State, response::Response};
use cloudach_openai::{
    ids,
    responses::{self, Reply},
};

use super::{EVENTS, place, whole};
use crate::{
    Edge,
    access::{admission::Permit, caller::Caller},
    conversation::{self, Asked, Asking},
    error::ApiError,
    fallback::Begun,
    http::{
        arrival::{self, Arrival},
        body::Whole,
        headers,
        idempotent::Ending,
        respond::{Form, respond},
    },
    metrics::Endpoint,
    responses::{
        Follower, follow, history, in_its_words,
        kept::Stage,
        run::{self, Background},
    },
    sse,
};

pub async fn create(
    State(edge): State<Edge>,
    arrival: Arrival,
    caller: Arc<Caller>,
    permit: Permit,
    Whole(body): Whole,
) -> Result<Response, ApiError> {
    let bytes = body.len();
    let step = arrival.trace.step("translate");
    let mut asked = edge.work.run(bytes, move || responses::parse(&body)).await??;
    step.end();
    if !edge.responses.are_kept() {
        asked.keep_nothing()?;
    }
    let (streamed, stored, background) = (asked.stream().is_some(), asked.is_stored(), asked.is_background());
    let continued = history::of(&edge, &caller.tenant, &mut asked).await?;
    let id = ids::response(arrival::random());
    let seed = rand::random();
    let (request, record) = asked.begin(id, arrival.unix, continued, seed, edge.config.stream.obfuscation)?;
    let place = place(&caller, &record.id)?;
    if background {
        let made = Background { place, record, request, arrival, caller, permit, bytes };
        let live = run::background(&edge, made).await?;
        return Ok(if streamed {
            stream(&edge, live.follow())
        } else {
            whole(&responses::Response::whole(live.record().clone(), b""))
        });
    }

    // What is kept, or added to a conversation, is made of its steps, again and again.
    let is_logged = stored || record.conversation().is_some();
    let logged = is_logged.then(|| record.clone());
    let reply = |asked: &Asked<'_>| match is_logged {
        true => Reply::log(asked.request.logprobs),
        false => Reply::new(record.clone(), streamed, asked.request.logprobs),
    };
    let asking =
        Asking { endpoint: Endpoint::Responses, arrival: &arrival, caller: &caller, permit, bytes, offer: None };
    let Begun { answer, routed } =
        conversation::begin(&edge, asking, Box::new(request), reply).await.map_err(in_its_words)?;
    let picked = answer.picked().map(str::to_owned);
    let response = match (logged, streamed) {
        (Some(record), true) => stream(&edge, run::stream(&edge, place, record, answer).await),
        (Some(record), false) => {
            let log = answer.whole().await.map_err(in_its_words)?;
            edge.conversations.append(&place.tenant, &record, &log).await;
            if stored {
                edge.responses.keep(&place, &record, &log, Stage::Whole).await;
            }
            whole(&responses::Response::whole(record, &log))
        }
        (None, streamed) => {
            let form = if streamed { Form::Stream(EVENTS) } else { Form::Whole };
            respond(&edge, answer, form).await.map_err(in_its_words)?
        }
    };
    Ok(headers::name_routed(headers::name_picked(response, picked.as_deref()), &routed))
}

/// The events of a response that is made here.
fn stream(edge: &Edge, follower: Follower) -> Response {
    let ending = Ending::default();
    let events = follow::live(follower, None, edge.config.stream.keep_alive, ending.clone());
    let mut response = sse::around(edge, events, EVENTS);
    response.extensions_mut().insert(ending);
    response
}
