//! vLLM's stream of completion chunks, read into the gateway's events. No I/O.
//!
//! The Python front end puts the finish reason on the last token's chunk, the Rust one on an empty chunk of its own;
//! usage comes in a chunk after it. A stream that ends or fails without a finish reason is an engine that was lost.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use cloudach_proto::v1::{Delta, ErrorCode, Failed, FinishReason, Finished, GenerateRequest, TokenLogprob, TokenUsage};
use serde::{Deserialize, de::IgnoredAny};

use super::{
    super::{
        ModelInfo,
        call::brief,
        failure::{constraint_param, lost, unsupported},
        generation::Reading,
        unseen::Unseen,
    },
    errors,
    logprobs::{self, Logprobs},
    prompt_ids, request,
    shape::Shape,
};

/// Reads the chunks of one generation.
#[derive(Debug)]
pub(in crate::engine) struct Reader {
    top_logprobs: Option<u32>,
    /// The first chunk tells of the prompt.
    echo: bool,
    /// The token that ends the answer shows its text, if it has one.
    end_shows: bool,
    /// The text of the model's own end of text.
    eos_token: Option<String>,
    /// The parameter that the request's constraint came in.
    constraint: &'static str,
    finish: Option<Finish>,
    unseen: Unseen,
    /// Counted here, for a stream that ends without usage.
    completion_tokens: u32,
    shape: Learnt,
}

/// What the chunks of this stream have in common.
#[derive(Debug)]
enum Learnt {
    NotYet,
    Shape(Shape),
    /// They differ.
    Nothing,
}

#[derive(Debug)]
struct Finish {
    reason: FinishReason,
    stop: Option<String>,
    /// The last token ended it, and is no part of the answer.
    by_token: bool,
}

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow, default)]
    choices: Vec<Choice<'a>>,
    usage: Option<Usage>,
    #[serde(borrow)]
    error: Option<errors::Body<'a>>,
}

#[derive(Default, Deserialize)]
struct Choice<'a> {
    #[serde(borrow, default)]
    text: Cow<'a, str>,
    token_ids: Option<Vec<u32>>,
    /// On the first chunk. Counted only, which takes no memory.
    prompt_token_ids: Option<Vec<IgnoredAny>>,
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
    pub(super) fn new(request: &GenerateRequest, model: &ModelInfo) -> Self {
        let end_shows = request
            .sampling
            .as_ref()
            .is_some_and(|sampling| !sampling.include_stop && request::holds_nothing_back(sampling));
        let eos_token = model.traits.eos_token.clone();
        Self {
            top_logprobs: request.top_logprobs,
            echo: request::asks_for_prompt(request),
            end_shows,
            eos_token: eos_token.filter(|_| end_shows),
            constraint: constraint_param(request.constraint.as_ref()),
            finish: None,
            unseen: Unseen::default(),
            completion_tokens: 0,
            shape: Learnt::NotYet,
        }
    }

    /// Reads the data of one event.
    pub(in crate::engine) fn read(&mut self, data: &[u8]) -> Result<Reading, Failed> {
        if data == b"[DONE]" {
            return Ok(Reading { end: Some(self.ended()?), ..Reading::default() });
        }
        let mut reading = Reading::default();
        if let Learnt::Shape(shape) = &self.shape
            && let Some((text, ids)) = shape.read(data)
        {
            let choice = Choice { text: text.into(), token_ids: Some(ids), ..Choice::default() };
            self.read_choice(choice, &mut reading)?;
            return Ok(reading);
        }
        let cut = prompt_ids::cut(data);
        let (json, ids_of_prompt) = cut.as_ref().map_or((data, None), |(json, ids)| (json, Some(*ids)));
        let chunk: Chunk<'_> =
            serde_json::from_slice(json).map_err(|error| lost(format!("it sent a chunk that is none: {error}")))?;
        if let Some(error) = chunk.error {
            return Err(errors::in_stream(&error, self.constraint));
        }
        self.learn(data, &chunk);
        for mut choice in chunk.choices {
            if let (Some(counted), Some(ids)) = (&mut choice.prompt_token_ids, ids_of_prompt) {
                *counted = vec![IgnoredAny; ids];
            }
            self.read_choice(choice, &mut reading)?;
        }
        if let Some(usage) = chunk.usage
            && self.finish.is_some()
        {
            reading.end = Some(self.finish(&usage)?);
        }
        Ok(reading)
    }

    /// Learns the shape of a chunk that is but a token's, from the first of them.
    fn learn(&mut self, data: &[u8], chunk: &Chunk<'_>) {
        let [
            Choice {
                text,
                token_ids: Some(ids),
                prompt_token_ids: None,
                logprobs: None,
                finish_reason: None,
                stop_reason: None,
            },
        ] = &*chunk.choices
        else {
            return;
        };
        // One with escapes says nothing of the others.
        if chunk.usage.is_some() || matches!(text, Cow::Owned(_)) {
            return;
        }
        self.shape = match self.shape {
            Learnt::NotYet => Shape::of(data, text, ids).map_or(Learnt::Nothing, Learnt::Shape),
            // It would have been read by it.
            Learnt::Shape(_) | Learnt::Nothing => Learnt::Nothing,
        };
    }

    /// The stream ended without saying what was used.
    pub(in crate::engine) fn ended(&mut self) -> Result<Finished, Failed> {
        let usage = Usage { prompt_tokens: 0, completion_tokens: None, prompt_tokens_details: None };
        self.finish(&usage)
    }

    fn read_choice(&mut self, choice: Choice<'_>, reading: &mut Reading) -> Result<(), Failed> {
        let token_ids = choice.token_ids.unwrap_or_default();
        let mut text = choice.text.into_owned();
        self.completion_tokens =
            self.completion_tokens.saturating_add(u32::try_from(token_ids.len()).unwrap_or(u32::MAX));
        let mut logprobs = match (self.top_logprobs, choice.logprobs) {
            (Some(top), Some(logprobs)) => logprobs::read(logprobs, top),
            _ => Vec::new(),
        };
        if let Some(prompt) = choice.prompt_token_ids {
            reading.prompt_tokens = u32::try_from(prompt.len()).unwrap_or(u32::MAX);
            if self.echo && self.top_logprobs.is_some() {
                reading.prompt = Some(prompts(&mut logprobs, prompt.len())?);
            }
            // The Rust front end's first chunk is the prompt's alone and repeats its text.
            if self.echo && token_ids.is_empty() {
                text.clear();
            }
        }
        if let Some(reason) = choice.finish_reason {
            let stop = match choice.stop_reason {
                Some(StopReason::Text(text)) if reason == "stop" => Some(text.into_owned()),
                // A stop token, or why else it ended.
                Some(_) | None => None,
            };
            let by_token = reason == "stop" && stop.is_none();
            if by_token && self.end_shows {
                self.hide_end(&mut text, token_ids.len());
            }
            self.finish = Some(Finish { reason: finish_reason(&reason)?, stop, by_token });
        }
        let logprobs = match &self.finish {
            None => self.unseen.pass(&text, logprobs),
            Some(finish) => self.unseen.end(&text, logprobs, finish.by_token),
        };
        let delta = Delta { token_ids, text, logprobs, ..Delta::default() };
        // The Rust front end's first and last chunks say nothing here.
        reading.delta = (delta != Delta::default()).then_some(delta);
        Ok(())
    }

    /// Takes the text of the token that ended the answer off the last chunk's, should it have any: some models end with
    /// a token that their tokenizer does not count as special.
    fn hide_end(&self, text: &mut String, tokens: usize) {
        if tokens == 1 {
            text.clear();
        } else if let Some(eos) = &self.eos_token
            && let Some(before) = text.strip_suffix(eos.as_str())
        {
            text.truncate(before.len());
        }
    }

    fn finish(&mut self, usage: &Usage) -> Result<Finished, Failed> {
        let Finish { reason, stop, by_token: _ } =
            self.finish.take().ok_or_else(|| lost("its stream ended in the middle"))?;
        let details = usage.prompt_tokens_details.as_ref();
        let usage = TokenUsage {
            prompt_tokens: usage.prompt_tokens,
            completion_tokens: usage.completion_tokens.unwrap_or(self.completion_tokens),
            cached_tokens: details.and_then(|details| details.cached_tokens).unwrap_or(0),
        };
        Ok(Finished { reason: reason.into(), usage: Some(usage), stop, ..Finished::default() })
    }
}

/// Takes the entries of the prompt's tokens off the front.
fn prompts(logprobs: &mut Vec<TokenLogprob>, tokens: usize) -> Result<Vec<TokenLogprob>, Failed> {
    if logprobs.len() < tokens {
        // Its Rust front end, which tells them only when nothing else is asked for.
        let message = "this vLLM's front end cannot stream the log-probabilities of a prompt and of its answer: leave \
                       out `logprobs`, or set `max_tokens` to 0";
        return Err(unsupported("echo", message));
    }
    let answer = logprobs.split_off(tokens);
    Ok(std::mem::replace(logprobs, answer))
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
