//! llama.cpp's stream of completion events, read into the gateway's events. No I/O but one: where a character spans
//! several tokens the server tells only the last one's id, and the others are asked of its tokenizer. Of their
//! log-probabilities, too, it tells only the last one's: that one entry then stands for the character.

use std::borrow::Cow;

use cloudach_proto::v1::{
    Delta, ErrorCode, Failed, FinishReason, Finished, GenerateRequest, TokenLogprob, TokenUsage, TopLogprob,
};
use serde::{Deserialize, de::IgnoredAny};

use super::{
    super::{
        failure::{constraint_param, lost},
        generation::Reading,
        unseen::Unseen,
    },
    errors,
    tokenize::Tokenizer,
};

/// Reads the events of one generation.
#[derive(Debug)]
pub(in crate::engine) struct Reader {
    top_logprobs: Option<u32>,
    /// A stop string stays in the answer.
    include_stop: bool,
    /// The parameter that the request's constraint came in.
    constraint: &'static str,
    /// As the server counts them.
    completion_tokens: u32,
    unseen: Unseen,
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
#[derive(Debug)]
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
            constraint: constraint_param(request.constraint.as_ref()),
            completion_tokens: 0,
            unseen: Unseen::default(),
            tokenizer,
        }
    }

    /// Reads the data of one event.
    pub(in crate::engine) async fn read(&mut self, data: &[u8]) -> Result<Reading, Failed> {
        let Partial { mut reading, missing } = self.parse(data)?;
        if let (Some(delta), Some(missing)) = (&mut reading.delta, missing) {
            // In a box: it is rare, and an open stream would hold room for it all the time.
            let mut ids = Box::pin(self.tokenizer.ids(&delta.text, false)).await?;
            // The text may begin with what was held back, whose ids have been told.
            delta.token_ids = ids.split_off(ids.len().saturating_sub(missing));
        }
        Ok(reading)
    }

    fn parse(&mut self, data: &[u8]) -> Result<Partial, Failed> {
        let event: Event<'_> =
            serde_json::from_slice(data).map_err(|error| lost(format!("it sent an event that is none: {error}")))?;
        if let Some(error) = &event.error {
            return Err(errors::in_stream(error, self.constraint));
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
        // The one entry for the tokens of a character is to have all of it, and nothing of what was held back before.
        let held = self.unseen.spelled();
        let whole = missing.and_then(|_| text.as_bytes().strip_prefix(held.as_slice()));
        let logprobs = match self.top_logprobs {
            Some(top) => event.completion_probabilities.into_iter().map(|found| logprob(found, top, whole)).collect(),
            None => Vec::new(),
        };
        let logprobs = match event.stop_type.as_deref() {
            Some(stop) if event.stop => self.unseen.end(&text, logprobs, stop == "eos"),
            _ => self.unseen.pass(&text, logprobs),
        };
        let delta = Delta { token_ids: event.tokens, text, logprobs, ..Delta::default() };
        let delta = (delta != Delta::default()).then_some(delta);
        Ok(Partial { reading: Reading { delta, end, ..Reading::default() }, missing })
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
        Ok(Finished { reason: reason.into(), usage: Some(usage), stop, ..Finished::default() })
    }
}

/// While text is held back for a stop string the entry's own token is empty or the whole of the held text; the
/// alternatives have the right one when it is among them. `whole`: the character that the token ended.
fn logprob(found: Probability<'_>, top: u32, whole: Option<&[u8]>) -> TokenLogprob {
    let own = found.top_logprobs.iter().find(|alternative| alternative.id == found.id);
    let (token, bytes) = match (whole, own) {
        (Some(whole), _) => (String::from_utf8_lossy(whole).into_owned(), whole.to_vec()),
        (None, Some(own)) => (own.token.to_string(), own.bytes.clone()),
        (None, None) => (found.token.into_owned(), found.bytes),
    };
    let alternative = |alternative: Alternative<'_>| TopLogprob {
        token: alternative.token.into_owned(),
        logprob: alternative.logprob.unwrap_or(LEAST),
        bytes: alternative.bytes,
    };
    let top = found.top_logprobs.into_iter().take(top as usize).map(alternative).collect();
    TokenLogprob { token, logprob: found.logprob.unwrap_or(LEAST), bytes, top }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Dialect, EngineConfig};

    fn reader(request: &GenerateRequest) -> Reader {
        let mut config: Config =
            cloudach_service::config::parse("{listen: 'unix:/s', model: m, engine: {dialect: vllm, url: 'unix:/e'}}")
                .unwrap();
        config.engine = EngineConfig::attach(Dialect::LlamaCpp, "unix:/nowhere".parse().unwrap());
        Reader::new(request, Tokenizer::new(super::super::Calls::new(&config)))
    }

    fn delta(text: &str, token_ids: &[u32]) -> Option<Delta> {
        Some(Delta { text: text.into(), token_ids: token_ids.to_vec(), ..Delta::default() })
    }

    const PROGRESS: &str = r#"{"index":0,"content":"","tokens":[0],"stop":false,"id_slot":-1,"tokens_predicted":0,"tokens_evaluated":300,"prompt_progress":{"total":300,"cache":299,"processed":300,"time_ms":28}}"#;
    const TOKEN: &str = r#"{"index":0,"content":"The","tokens":[504],"stop":false,"id_slot":-1,"tokens_predicted":1,"tokens_evaluated":16}"#;
    const LAST: &str = r#"{"index":0,"content":"","tokens":[],"id_slot":3,"stop":true,"model":"m","tokens_predicted":2,"tokens_evaluated":16,"generation_settings":{"n_predict":8},"prompt":"Hi","has_new_line":false,"truncated":false,"stop_type":"word","stopping_word":"END","tokens_cached":23,"timings":{"cache_n":15,"prompt_n":1,"prompt_ms":21.198}}"#;

    #[test]
    fn a_stream_is_read() {
        let mut reader = reader(&GenerateRequest::default());
        assert_eq!(reader.parse(PROGRESS.as_bytes()).unwrap().reading, Reading::default());
        assert_eq!(reader.parse(TOKEN.as_bytes()).unwrap().reading.delta, delta("The", &[504]));
        let eos = r#"{"index":0,"content":"","tokens":[2],"stop":false,"tokens_predicted":2,"tokens_evaluated":16}"#;
        let partial = reader.parse(eos.as_bytes()).unwrap();
        assert_eq!((partial.reading.delta, partial.missing), (delta("", &[2]), None));
        let Reading { delta, end, .. } = reader.parse(LAST.as_bytes()).unwrap().reading;
        assert_eq!(delta, None);
        let usage = TokenUsage { prompt_tokens: 16, completion_tokens: 2, cached_tokens: 15 };
        let stop = Some("END".to_owned());
        assert_eq!(
            end,
            Some(Finished { reason: FinishReason::Stop.into(), usage: Some(usage), stop, ..Finished::default() })
        );
    }

    #[test]
    fn a_stop_string_that_is_to_stay_is_put_back() {
        let sampling = Some(cloudach_proto::v1::Sampling { include_stop: true, ..Default::default() });
        let mut reader = reader(&GenerateRequest { sampling, ..GenerateRequest::default() });
        assert_eq!(reader.parse(LAST.as_bytes()).unwrap().reading.delta, delta("END", &[]));
    }

    #[test]
    fn ids_that_were_swallowed_are_noticed() {
        let mut reader = reader(&GenerateRequest::default());
        let crab = r#"{"content":"🦀","tokens":[218],"tokens_predicted":3,"stop":false}"#;
        assert_eq!(reader.parse(crab.as_bytes()).unwrap().missing, Some(3));
        let held = r#"{"content":"","tokens":[7],"tokens_predicted":4,"stop":false}"#;
        assert_eq!(reader.parse(held.as_bytes()).unwrap().missing, None);
    }

    #[test]
    fn log_probabilities_take_the_piece_from_the_alternatives() {
        let event = r#"{"content":" ca","tokens":[7],"tokens_predicted":1,"stop":false,"completion_probabilities":[
            {"id":7,"token":"","bytes":[],"logprob":-0.5,"top_logprobs":[
                {"id":7,"token":" ca","bytes":[32,99,97],"logprob":-0.5},{"id":8,"token":"x","bytes":[120],"logprob":null}]}]}"#;
        let mut asked = reader(&GenerateRequest { top_logprobs: Some(1), ..GenerateRequest::default() });
        let delta = asked.parse(event.as_bytes()).unwrap().reading.delta.unwrap();
        let entry = &delta.logprobs[0];
        assert_eq!((entry.token.as_str(), entry.bytes.as_slice(), entry.top.len()), (" ca", &b" ca"[..], 1));
        let mut plain = reader(&GenerateRequest::default());
        assert!(plain.parse(event.as_bytes()).unwrap().reading.delta.unwrap().logprobs.is_empty());
    }

    #[test]
    fn a_character_of_several_tokens_has_one_entry_with_all_of_it() {
        // As seen of the real server, the token among the alternatives; behind a piece that waits for a stop text.
        let held = r#"{"content":"","tokens":[7],"tokens_predicted":1,"stop":false,"completion_probabilities":[
            {"id":7,"token":"","bytes":[],"logprob":-0.5,"top_logprobs":[{"id":7,"token":"E","bytes":[69],"logprob":-0.5}]}]}"#;
        let crab = r#"{"content":"E🦀","tokens":[218],"tokens_predicted":4,"stop":false,"completion_probabilities":[
            {"id":218,"token":"E🦀","bytes":[69,240,159,166,128],"logprob":-1.5,"top_logprobs":[
                {"id":218,"token":"\ufffd","bytes":[128],"logprob":-1.5}]}]}"#;
        let mut reader = reader(&GenerateRequest { top_logprobs: Some(1), ..GenerateRequest::default() });
        assert_eq!(reader.parse(held.as_bytes()).unwrap().reading.delta.unwrap().logprobs, []);
        let entries = reader.parse(crab.as_bytes()).unwrap().reading.delta.unwrap().logprobs;
        let spelled: Vec<&[u8]> = entries.iter().map(|entry| entry.bytes.as_slice()).collect();
        assert_eq!(spelled, [b"E", "🦀".as_bytes()]);
    }

    #[test]
    fn an_engine_that_breaks_is_lost() {
        let none = r#"{"content":"","tokens":[],"stop":true,"stop_type":"none","tokens_predicted":0}"#;
        for event in [none, "{\"content\":", "[DONE]"] {
            let failed = reader(&GenerateRequest::default()).parse(event.as_bytes()).err().unwrap();
            assert_eq!((failed.code(), failed.retryable), (ErrorCode::ReplicaLost, true), "{event}");
        }
    }
}
