//! llama.cpp's stream of completion events, read into the gateway's events. No I/O but one: where a character spans
//! several tokens the server tells only the last one's id, and the others are asked of its tokenizer.

use std::borrow::Cow;

use cloudach_proto::v1::{
    Delta, ErrorCode, Failed, FinishReason, Finished, GenerateRequest, TokenLogprob, TokenUsage, TopLogprob,
};
use serde::{Deserialize, de::IgnoredAny};

use super::{
    super::{failure::lost, generation::Reading},
    errors,
    tokenize::Tokenizer,
};

/// Reads the events of one generation.
#[derive(Debug)]
pub(in crate::engine) struct Reader {
    top_logprobs: Option<u32>,
    /// A stop string stays in the answer.
    include_stop: bool,
    /// As the server counts them.
    completion_tokens: u32,
    tokenizer: Tokenizer,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow, default)]
    content: Cow<'a, str>,
    #[serde(default)]
    tokens: Vec<u32>,
    #[serde(default)]
    stop: bool,
    #[serde(default)]
    tokens_predicted: u32,
    #[serde(default)]
    tokens_evaluated: u32,
    /// A sign of life while the prompt is read. What else such an event says is made up.
    prompt_progress: Option<IgnoredAny>,
    #[serde(borrow, default)]
    completion_probabilities: Vec<Probability<'a>>,
    #[serde(borrow)]
    stop_type: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    stopping_word: Cow<'a, str>,
    timings: Option<Timings>,
    #[serde(borrow)]
    error: Option<errors::Body<'a>>,
}

#[derive(Deserialize)]
struct Probability<'a> {
    id: u32,
    #[serde(borrow)]
    token: Cow<'a, str>,
    bytes: Vec<u8>,
    /// JSON has no minus infinity.
    logprob: Option<f32>,
    #[serde(borrow, default)]
    top_logprobs: Vec<Alternative<'a>>,
}

#[derive(Deserialize)]
struct Alternative<'a> {
    id: u32,
    #[serde(borrow)]
    token: Cow<'a, str>,
    bytes: Vec<u8>,
    logprob: Option<f32>,
}

#[derive(Deserialize)]
struct Timings {
    #[serde(default)]
    cache_n: u32,
}

/// What stands for minus infinity, as vLLM has it.
const LEAST: f32 = -9999.0;

/// What one event says, before ids that it left out are found.
struct Partial {
    reading: Reading,
    /// Tokens whose ids the event does not have, when there are any: so many, with this one's.
    missing: Option<usize>,
}

impl Reader {
    pub(super) fn new(request: &GenerateRequest, tokenizer: Tokenizer) -> Self {
        Self {
            top_logprobs: request.top_logprobs,
            include_stop: request.sampling.as_ref().is_some_and(|sampling| sampling.include_stop),
            completion_tokens: 0,
            tokenizer,
        }
    }

    /// Reads the data of one event.
    pub(in crate::engine) async fn read(&mut self, data: &[u8]) -> Result<Reading, Failed> {
        let Partial { mut reading, missing } = self.parse(data)?;
        if let (Some(delta), Some(missing)) = (&mut reading.delta, missing) {
            let mut ids = self.tokenizer.ids(&delta.text, false).await?;
            // The text may begin with what was held back, whose ids have been told.
            delta.token_ids = ids.split_off(ids.len().saturating_sub(missing));
        }
        Ok(reading)
    }

    fn parse(&mut self, data: &[u8]) -> Result<Partial, Failed> {
        let event: Event<'_> =
            serde_json::from_slice(data).map_err(|error| lost(format!("it sent an event that is none: {error}")))?;
        if let Some(error) = &event.error {
            return Err(errors::in_stream(error));
        }
        if event.prompt_progress.is_some() {
            return Ok(Partial { reading: Reading::default(), missing: None });
        }
        let new = event.tokens_predicted.saturating_sub(self.completion_tokens) as usize;
        self.completion_tokens = event.tokens_predicted;
        let missing = (new > event.tokens.len() && !event.content.is_empty()).then_some(new);
        let end = event.stop.then(|| self.finished(&event)).transpose()?;
        let mut text = event.content.into_owned();
        if self.include_stop && event.stop {
            text.push_str(&event.stopping_word);
        }
        let logprobs = match self.top_logprobs {
            Some(top) => event.completion_probabilities.into_iter().map(|found| logprob(found, top)).collect(),
            None => Vec::new(),
        };
        let delta = Delta { token_ids: event.tokens, text, logprobs };
        let delta = (delta != Delta::default()).then_some(delta);
        Ok(Partial { reading: Reading { delta, end }, missing })
    }

    fn finished(&self, event: &Event<'_>) -> Result<Finished, Failed> {
        let (reason, stop) = match event.stop_type.as_deref() {
            Some("eos") => (FinishReason::Stop, None),
            Some("word") => (FinishReason::Stop, Some(event.stopping_word.to_string())),
            Some("limit") => (FinishReason::Length, None),
            _ => {
                let message = "the engine ended the request without a reason";
                return Err(Failed::retryable(ErrorCode::ReplicaLost, message));
            }
        };
        let usage = TokenUsage {
            prompt_tokens: event.tokens_evaluated,
            completion_tokens: self.completion_tokens,
            cached_tokens: event.timings.as_ref().map_or(0, |timings| timings.cache_n),
        };
        Ok(Finished { reason: reason.into(), usage: Some(usage), stop })
    }
}

/// While text is held back for a stop string the entry's own token is empty or the whole of the held text; the
/// alternatives have the right one when it is among them.
fn logprob(found: Probability<'_>, top: u32) -> TokenLogprob {
    let own = found.top_logprobs.iter().find(|alternative| alternative.id == found.id);
    let (token, bytes) = match own {
        Some(own) => (own.token.to_string(), own.bytes.clone()),
        None => (found.token.into_owned(), found.bytes),
    };
    let alternative = |alternative: Alternative<'_>| TopLogprob {
        token: alternative.token.into_owned(),
        logprob: alternative.logprob.unwrap_or(LEAST),
        bytes: alternative.bytes,
    };
    let top = found.top_logprobs.into_iter().take(top as usize).map(alternative).collect();
    TokenLogprob { token, logprob: found.logprob.unwrap_or(LEAST), bytes, top }
}
