//! vLLM's stream of completion chunks, read into the gateway's events. No I/O.
//!
//! The Python front end puts the finish reason on the last token's chunk, the Rust one on an empty chunk of its own;
//! usage comes in a chunk after it. A stream that ends or fails without a finish reason is an engine that was lost.

use std::borrow::Cow;

use cloudach_proto::v1::{Delta, ErrorCode, Failed, FinishReason, Finished, GenerateRequest, TokenUsage};
use serde::Deserialize;

use super::{
    super::{call::brief, failure::lost, generation::Reading},
    errors,
    logprobs::{self, Logprobs},
};

/// Reads the chunks of one generation.
#[derive(Debug)]
pub(in crate::engine) struct Reader {
    top_logprobs: Option<u32>,
    finish: Option<Finish>,
    /// Counted here, for a stream that ends without usage.
    completion_tokens: u32,
}

#[derive(Debug)]
struct Finish {
    reason: FinishReason,
    stop: Option<String>,
}

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow, default)]
    choices: Vec<Choice<'a>>,
    usage: Option<Usage>,
    #[serde(borrow)]
    error: Option<errors::Body<'a>>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow, default)]
    text: Cow<'a, str>,
    token_ids: Option<Vec<u32>>,
    #[serde(borrow)]
    logprobs: Option<Logprobs<'a>>,
    #[serde(borrow)]
    finish_reason: Option<Cow<'a, str>>,
    #[serde(borrow)]
    stop_reason: Option<StopReason<'a>>,
}

/// The stop string, or the id of the stop token.
#[derive(Deserialize)]
#[serde(untagged)]
enum StopReason<'a> {
    Text(#[serde(borrow)] Cow<'a, str>),
    #[expect(dead_code, reason = "only told apart from text")]
    Token(i64),
}

#[derive(Deserialize)]
struct Usage {
    prompt_tokens: u32,
    completion_tokens: Option<u32>,
    prompt_tokens_details: Option<PromptTokensDetails>,
}

#[derive(Deserialize)]
struct PromptTokensDetails {
    cached_tokens: Option<u32>,
}

impl Reader {
    pub(super) fn new(request: &GenerateRequest) -> Self {
        Self { top_logprobs: request.top_logprobs, finish: None, completion_tokens: 0 }
    }

    /// Reads the data of one event.
    pub(in crate::engine) fn read(&mut self, data: &[u8]) -> Result<Reading, Failed> {
        if data == b"[DONE]" {
            return Ok(Reading { delta: None, end: Some(self.ended()?) });
        }
        let chunk: Chunk<'_> =
            serde_json::from_slice(data).map_err(|error| lost(format!("it sent a chunk that is none: {error}")))?;
        if let Some(error) = chunk.error {
            return Err(errors::in_stream(&error));
        }
        let mut reading = Reading::default();
        for choice in chunk.choices {
            reading.delta = self.read_choice(choice)?;
        }
        if let Some(usage) = chunk.usage
            && self.finish.is_some()
        {
            reading.end = Some(self.finish(&usage)?);
        }
        Ok(reading)
    }

    /// The stream ended without saying what was used.
    pub(in crate::engine) fn ended(&mut self) -> Result<Finished, Failed> {
        let usage = Usage { prompt_tokens: 0, completion_tokens: None, prompt_tokens_details: None };
        self.finish(&usage)
    }

    fn read_choice(&mut self, choice: Choice<'_>) -> Result<Option<Delta>, Failed> {
        let token_ids = choice.token_ids.unwrap_or_default();
        self.completion_tokens = self.completion_tokens.saturating_add(u32::try_from(token_ids.len()).unwrap_or(u32::MAX));
        if let Some(reason) = choice.finish_reason {
            let stop = match choice.stop_reason {
                Some(StopReason::Text(text)) => Some(text.into_owned()),
                Some(StopReason::Token(_)) | None => None,
            };
            self.finish = Some(Finish { reason: finish_reason(&reason)?, stop });
        }
        let logprobs = match (self.top_logprobs, choice.logprobs) {
            (Some(top), Some(logprobs)) => logprobs::read(logprobs, top),
            _ => Vec::new(),
        };
        let delta = Delta { token_ids, text: choice.text.into_owned(), logprobs };
        // The Rust front end's first and last chunks say nothing here.
        Ok((delta != Delta::default()).then_some(delta))
    }

    fn finish(&mut self, usage: &Usage) -> Result<Finished, Failed> {
        let Finish { reason, stop } = self.finish.take().ok_or_else(|| lost("its stream ended in the middle"))?;
        let details = usage.prompt_tokens_details.as_ref();
        let usage = TokenUsage {
            prompt_tokens: usage.prompt_tokens,
            completion_tokens: usage.completion_tokens.unwrap_or(self.completion_tokens),
            cached_tokens: details.and_then(|details| details.cached_tokens).unwrap_or(0),
        };
        Ok(Finished { reason: reason.into(), usage: Some(usage), stop })
    }
}

fn finish_reason(reason: &str) -> Result<FinishReason, Failed> {
    match reason {
        // `repetition`: the engine ended an answer that went round in circles.
        "stop" | "repetition" => Ok(FinishReason::Stop),
        "length" => Ok(FinishReason::Length),
        // Nobody here asked for it.
        "abort" => Err(lost("it aborted the request")),
        other => {
            let message = format!("the engine failed the request: it finished with `{}`", brief(other));
            Err(Failed::retryable(ErrorCode::EngineFailed, message))
        }
    }
}
