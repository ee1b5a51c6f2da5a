//! A line is asked of this edge as any client's request is, and its answer read.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, Request, header},
};
use cloudach_openai::{
    Invalid,
    batches::{Endpoint, Line, Outcome, Used, answered, unanswered, used_by},
    ids,
};
use http_body_util::{BodyExt, Limited};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::pause::{Said, Verdict, verdict};
use crate::{
    access::caller::Caller,
    config::Links,
    error::{ApiError, Words},
    http::{
        api::Api,
        arrival::{OnBehalf, random},
    },
    store::batches::LineDone,
};

/// What came of asking once.
pub enum Asked {
    Done(LineDone),
    /// It is asked again, in so long if something is advised. `is_fault`: it was no lack of room.
    Later {
        after: Option<Duration>,
        is_fault: bool,
    },
}

/// A line that is to be asked.
pub struct Question<'a> {
    pub number: u32,
    pub endpoint: Endpoint,
    pub text: &'a [u8],
    /// The largest answer that is kept, in bytes.
    pub most: usize,
    /// How often it has failed before for what may pass.
    pub faults: u32,
}

/// What a client can have only that waits for its answer.
const WAITED: [&str; 2] = ["stream", "background"];

/// Asks a line for its caller.
pub async fn ask(api: &Api, caller: &Arc<Caller>, links: &Links, question: &Question<'_>) -> Asked {
    let line = match Line::read(question.text, question.endpoint) {
        Ok(line) => line,
        // It was looked at before: another version was more generous.
        Err(error) => {
            return failed(question, unanswered(&id(), "", &error.code, &error.message));
        }
    };
    if let Some(invalid) = refused(&line) {
        let request_id = ids::request(random());
        let error = ApiError::from(invalid).told(&Words { links, request_id: &request_id, trace_id: None });
        let text = answered(&id(), &line.custom_id, error.status, &request_id, &error.body());
        return failed(question, text);
    }
    let request = Request::post(question.endpoint.path())
        .header(header::CONTENT_TYPE, "application/json")
        .extension(OnBehalf(caller.clone()))
        .body(Body::from(line.body.to_owned()));
    let Ok(request) = request else { return Asked::Later { after: None, is_fault: true } };
    let (parts, body) = api.answer(request).await.into_parts();
    let Ok(body) = Limited::new(body, question.most).collect().await else {
        let message = format!("The answer is larger than the {} bytes that this server keeps of one.", question.most);
        return failed(question, unanswered(&id(), &line.custom_id, "response_too_large", &message));
    };
    let body = body.to_bytes();
    let status = parts.status.as_u16();
    let code = if status == 429 { code(&body) } else { None };
    let said = Said {
        status,
        should_retry: text(&parts.headers, "x-should-retry").map(|text| text == "true"),
        after: after(&parts.headers),
        code: code.as_deref(),
    };
    let outcome = match verdict(&said, question.faults) {
        Verdict::Completed => Outcome::Completed,
        Verdict::Failed => Outcome::Failed,
        Verdict::Later => {
            return Asked::Later { after: said.after, is_fault: !matches!(status, 429 | 503) };
        }
    };
    let request_id = text(&parts.headers, "x-request-id").unwrap_or_default();
    let text = answered(&id(), &line.custom_id, status, request_id, &body);
    let used = if outcome == Outcome::Completed { used_by(&body) } else { Used::default() };
    Asked::Done(LineDone { number: question.number, outcome, text, used })
}

/// The line of a request that comes to no answer.
pub fn failed(question: &Question<'_>, text: Vec<u8>) -> Asked {
    Asked::Done(LineDone { number: question.number, outcome: Outcome::Failed, text, used: Used::default() })
}

/// The line of a request that was not asked in time.
pub fn expired(number: u32, text: &[u8], endpoint: Endpoint) -> LineDone {
    let custom_id = Line::read(text, endpoint).map(|line| line.custom_id).unwrap_or_default();
    let message = "This request could not be executed before the completion window expired.";
    let text = unanswered(&id(), &custom_id, "batch_expired", message);
    LineDone { number, outcome: Outcome::Failed, text, used: Used::default() }
}

fn id() -> String {
    ids::batch_request(random())
}

fn refused(line: &Line<'_>) -> Option<Invalid> {
    // As who answers it reads it: of two with the same name the later one is meant.
    let body: Map<String, Value> = serde_json::from_str(line.body).ok()?;
    WAITED.into_iter().find(|name| body.get(*name) == Some(&Value::Bool(true))).map(Invalid::not_in_a_batch)
}

fn code(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Envelope {
        error: Error,
    }
    #[derive(Deserialize)]
    struct Error {
        code: Option<String>,
    }
    serde_json::from_slice::<Envelope>(body).ok()?.error.code
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn after(headers: &HeaderMap) -> Option<Duration> {
    let number = |name| text(headers, name).and_then(|text| text.parse::<u64>().ok());
    let milliseconds = number("retry-after-ms").map(Duration::from_millis);
    milliseconds.or_else(|| number("retry-after").map(Duration::from_secs))
}
