//! vLLM's stream of completion chunks, read into the gateway's events. No I/O.
//!
//! The Python front end puts the finish reason on the last token's chunk, the Rust one on an empty chunk of its own;
//! usage comes in a chunk after it. A stream that ends or fails without a finish reason is an engine that was lost.

use std::borrow::Cow;

use cloudach_proto::v1::{Delta, ErrorCode, Failed, FinishReason, Finished, GenerateRequest, TokenUsage};
use serde::Deserialize;

use super::{
    super::{call::brief, failure::lost, generation::Reading, unseen::Unseen},
    errors,
    logprobs::{self, Logprobs},
};

/// Reads the chunks of one generation.
#[derive(Debug)]
pub(in crate::engine) struct Reader {
    top_logprobs: Option<u32>,
    finish: Option<Finish>,
    unseen: Unseen,
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
        Self { top_logprobs: request.top_logprobs, finish: None, unseen: Unseen::default(), completion_tokens: 0 }
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
        self.completion_tokens =
            self.completion_tokens.saturating_add(u32::try_from(token_ids.len()).unwrap_or(u32::MAX));
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
        let logprobs = match &self.finish {
            None => self.unseen.pass(&choice.text, logprobs),
            Some(Finish { reason, stop }) => {
                self.unseen.end(&choice.text, logprobs, *reason == FinishReason::Stop && stop.is_none())
            }
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

#[cfg(test)]
mod tests {
    use cloudach_proto::v1::TokenLogprob;

    use super::*;

    /// Everything a stream of these events says, as text: readable, and the same whoever wrote the stream.
    fn read(top_logprobs: Option<u32>, events: &[&str]) -> (Vec<Delta>, Result<Finished, Failed>) {
        let mut reader = Reader::new(&GenerateRequest { top_logprobs, ..GenerateRequest::default() });
        let mut deltas = Vec::new();
        for event in events {
            match reader.read(event.as_bytes()) {
                Ok(Reading { delta, end }) => {
                    deltas.extend(delta);
                    if let Some(finished) = end {
                        return (deltas, Ok(finished));
                    }
                }
                Err(failed) => return (deltas, Err(failed)),
            }
        }
        (deltas, reader.ended())
    }

    fn delta(text: &str, token_ids: &[u32]) -> Delta {
        Delta { text: text.into(), token_ids: token_ids.to_vec(), logprobs: Vec::new() }
    }

    const FIRST: &str = r#"{"id":"cmpl-b","object":"text_completion","created":1,"model":"m","choices":[{"index":0,"text":"The","logprobs":null,"finish_reason":null,"stop_reason":null,"prompt_token_ids":[1,4093],"token_ids":[504]}],"usage":null}"#;
    const LAST: &str = r#"{"id":"cmpl-b","choices":[{"index":0,"text":" \"capital\" of","logprobs":null,"finish_reason":"length","stop_reason":null,"prompt_token_ids":null,"token_ids":[3575,282]}]}"#;
    const USAGE: &str = r#"{"id":"cmpl-b","choices":[],"usage":{"prompt_tokens":16,"total_tokens":19,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":8}},"system_fingerprint":"vllm-0.32.0"}"#;

    #[test]
    fn the_python_front_ends_stream() {
        let (deltas, end) = read(None, &[FIRST, LAST, USAGE, "[DONE]"]);
        assert_eq!(deltas, [delta("The", &[504]), delta(" \"capital\" of", &[3575, 282])]);
        let usage = TokenUsage { prompt_tokens: 16, completion_tokens: 3, cached_tokens: 8 };
        assert_eq!(end, Ok(Finished { reason: FinishReason::Length.into(), usage: Some(usage), stop: None }));
    }

    #[test]
    fn the_rust_front_ends_stream() {
        let begin = r#"{"choices":[{"index":0,"text":"","logprobs":null,"finish_reason":null,"prompt_token_ids":[1],"token_ids":[]}]}"#;
        let token = r#"{"choices":[{"index":0,"text":"The","finish_reason":null,"token_ids":[504]}]}"#;
        let end = r#"{"choices":[{"index":0,"text":"","finish_reason":"stop","stop_reason":"END","token_ids":[]}]}"#;
        let (deltas, end) = read(None, &[begin, token, end, USAGE]);
        assert_eq!(deltas, [delta("The", &[504])]);
        let end = end.unwrap();
        assert_eq!((end.reason(), end.stop.as_deref()), (FinishReason::Stop, Some("END")));
    }

    #[test]
    fn a_stop_token_is_no_stop_string_and_eos_has_no_text() {
        let eos = r#"{"choices":[{"index":0,"text":"","finish_reason":"stop","stop_reason":2,"token_ids":[2]}]}"#;
        let (deltas, end) = read(None, &[eos, "[DONE]"]);
        assert_eq!(deltas, [delta("", &[2])]);
        let end = end.unwrap();
        assert_eq!((end.reason(), end.stop), (FinishReason::Stop, None));
        assert_eq!(end.usage.unwrap().completion_tokens, 1, "counted here where the engine does not say");
    }

    #[test]
    fn the_end_of_text_has_no_log_probability() {
        let eos = r#"{"choices":[{"index":0,"text":"","token_ids":[2],"finish_reason":"stop","stop_reason":null,"logprobs":{
            "text_offset":[9],"tokens":["<|im_end|>"],"token_logprobs":[-0.1],"top_logprobs":[{"<|im_end|>":-0.1}]}}]}"#;
        let (deltas, _) = read(Some(1), &[FIRST, eos, USAGE]);
        assert_eq!(deltas[1], delta("", &[2]));
    }

    #[test]
    fn log_probabilities_are_sorted_cut_and_not_made_up() {
        let event = r#"{"choices":[{"index":0,"text":" \u00e9","token_ids":[5,6],"finish_reason":null,"logprobs":{
            "text_offset":[0,2],"tokens":[" \u00e9","\ufffd"],"token_logprobs":[-2.5,null],
            "top_logprobs":[{"a":-1.5,"b":-0.5," \u00e9":-2.5},null]}}]}"#;
        let (deltas, _) = read(Some(2), &[event]);
        let top = |token: &str, logprob| cloudach_proto::v1::TopLogprob {
            token: token.into(),
            logprob,
            bytes: token.as_bytes().to_vec(),
        };
        let first = TokenLogprob {
            token: " é".into(),
            logprob: -2.5,
            bytes: " é".into(),
            top: vec![top("b", -0.5), top("a", -1.5)],
        };
        let second = TokenLogprob { token: "\u{fffd}".into(), logprob: -9999.0, bytes: Vec::new(), top: Vec::new() };
        assert_eq!(deltas[0].logprobs, [first, second]);
        assert!(read(None, &[event]).0[0].logprobs.is_empty(), "not asked for");
    }

    #[test]
    fn an_engine_that_breaks_is_lost() {
        let error = r#"{"error":{"message":"EngineCore encountered an issue.","type":"InternalServerError","param":null,"code":500}}"#;
        let abort = r#"{"choices":[{"index":0,"text":"","finish_reason":"abort","token_ids":[]}]}"#;
        for events in [&[FIRST, error][..], &[FIRST, abort], &[FIRST], &[FIRST, "[DONE]"], &[FIRST, "{\"id\":"], &[]] {
            let failed = read(None, events).1.unwrap_err();
            assert_eq!((failed.code(), failed.retryable), (ErrorCode::ReplicaLost, true), "{events:?}");
        }
        let failed = r#"{"choices":[{"index":0,"text":"","finish_reason":"error","token_ids":[]}]}"#;
        assert_eq!(read(None, &[failed]).1.unwrap_err().code(), ErrorCode::EngineFailed);
    }
}
