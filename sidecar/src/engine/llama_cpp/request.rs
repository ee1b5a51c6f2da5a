//! A generation request as llama.cpp's `/completion` takes it, or why it cannot take it. No I/O.
//!
//! Every parameter is sent, because the server's defaults are not OpenAI's (temperature 0.8, top_k 40, min_p 0.05);
//! and what it does not have is refused, because it ignores unknown names in silence.

use std::collections::HashMap;

use cloudach_proto::v1::{Constraint, EmbedRequest, Failed, GenerateRequest, Sampling, constraint};
use serde::Serialize;
use serde_json::value::RawValue;

use super::super::{
    echo::Echo,
    failure::{constraint_param, invalid, unsupported},
    prompt::Input,
    sampling::Explicit,
    schema,
};

/// The seed that means "draw one".
const RANDOM: i64 = -1;

#[derive(Serialize)]
struct Completion<'a> {
    prompt: &'a [u32],
    n_predict: u32,
    stream: bool,
    return_progress: bool,
    return_tokens: bool,
    cache_prompt: bool,
    temperature: f32,
    top_k: u32,
    top_p: f32,
    min_p: f32,
    repeat_penalty: f32,
    /// Penalties look at the whole context, as OpenAI's do.
    repeat_last_n: u32,
    presence_penalty: f32,
    frequency_penalty: f32,
    seed: i64,
    stop: &'a [String],
    ignore_eos: bool,
    #[serde(skip_serializing_if = "HashMap::is_empty")]
    logit_bias: &'a HashMap<u32, f32>,
    n_probs: u32,
    post_sampling_probs: bool,
    /// Special tokens that are shown; those that its vocabulary does not have are passed over.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    preserved_tokens: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    json_schema: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grammar: Option<&'a str>,
}

/// Refuses what this engine cannot do, before it is asked.
pub(super) fn check(request: &GenerateRequest) -> Result<(), Failed> {
    let none = Sampling::default();
    let sampling = request.sampling.as_ref().unwrap_or(&none);
    let cannot = |param: &str| Err(unsupported(param, format!("llama.cpp's server does not have {param}")));
    if sampling.min_tokens.is_some_and(|least| least > 0) {
        return cannot("min_tokens");
    }
    if !sampling.stop_token_ids.is_empty() {
        return cannot("stop_token_ids");
    }
    if sampling.skip_special_tokens == Some(false) {
        return cannot("skip_special_tokens");
    }
    if sampling.priority.is_some_and(|priority| priority != 0) {
        return cannot("priority");
    }
    if Echo::of(request).is_some_and(|echo| echo.logprobs) {
        let message = "llama.cpp's server has no log-probabilities of prompts: leave out `echo` or `logprobs`";
        return Err(unsupported("echo", message));
    }
    match request.constraint.as_ref().and_then(|constraint| constraint.kind.as_ref()) {
        Some(constraint::Kind::Regex(_) | constraint::Kind::Choice(_)) => {
            let message = "llama.cpp's server follows a JSON schema or a grammar, not a regex or a choice";
            Err(unsupported(constraint_param(request.constraint.as_ref()), message))
        }
        Some(constraint::Kind::JsonSchema(_) | constraint::Kind::JsonObject(_) | constraint::Kind::Grammar(_))
        | None => Ok(()),
    }
}

/// Refuses what this engine cannot embed. True: text is to get its special tokens, or there is none.
pub(super) fn check_embed(request: &EmbedRequest) -> Result<bool, Failed> {
    if request.dimensions.is_some() {
        return Err(unsupported("dimensions", "llama.cpp's server cannot shorten embeddings"));
    }
    let plain = |prompt| matches!(Input::of(Some(prompt)), Ok(Input::Text { add_special_tokens: false, .. }));
    Ok(!request.inputs.iter().any(plain))
}

/// The body of the request, for a prompt that leaves room in the context; `cache_prompt` says whether it may be looked for
/// in the cache.
pub(super) fn completion(
    request: &GenerateRequest,
    prompt: &[u32],
    context_length: u32,
    cache_prompt: bool,
) -> Result<Vec<u8>, Failed> {
    let none = Sampling::default();
    let sampling = request.sampling.as_ref().unwrap_or(&none);
    let explicit = Explicit::from(sampling);
    let room = context_length.saturating_sub(u32::try_from(prompt.len()).unwrap_or(u32::MAX));
    let (json_schema, grammar) = constraint(request.constraint.as_ref())?;
    let completion = Completion {
        prompt,
        // It reads 0 as 1 and generates a token all the same.
        n_predict: sampling.max_tokens.map_or(room, |asked| asked.min(room)),
        stream: true,
        return_progress: true,
        return_tokens: true,
        cache_prompt,
        temperature: explicit.temperature,
        top_k: explicit.top_k,
        top_p: explicit.top_p,
        min_p: explicit.min_p,
        repeat_penalty: explicit.repetition_penalty,
        // OpenAI's penalties look at the whole text; this server has no word for that but a number.
        repeat_last_n: context_length,
        presence_penalty: explicit.presence_penalty,
        frequency_penalty: explicit.frequency_penalty,
        seed: sampling.seed.map_or(RANDOM, seed),
        stop: &sampling.stop,
        ignore_eos: sampling.ignore_eos,
        logit_bias: &sampling.logit_bias,
        // The server reports the chosen token's probability only together with alternatives.
        n_probs: request.top_logprobs.map_or(0, |top| top.max(1)),
        post_sampling_probs: false,
        preserved_tokens: &sampling.shown_tokens,
        json_schema,
        grammar,
    };
    serde_json::to_vec(&completion).map_err(|error| invalid("", format!("the request cannot be written: {error}")))
}

/// The server's seeds have 32 bits, and all ones mean "draw one".
fn seed(seed: i64) -> i64 {
    let folded = (seed ^ (seed >> 32)) & i64::from(u32::MAX);
    if folded == i64::from(u32::MAX) { folded - 1 } else { folded }
}

fn constraint(constraint: Option<&Constraint>) -> Result<(Option<Box<RawValue>>, Option<&str>), Failed> {
    let json = |text| {
        schema::tightened(text).map_err(|error| invalid("response_format", format!("the schema is no JSON: {error}")))
    };
    Ok(match constraint.and_then(|constraint| constraint.kind.as_ref()) {
        Some(constraint::Kind::JsonSchema(schema)) => (Some(json(schema)?), None),
        Some(constraint::Kind::JsonObject(_)) => (Some(json(schema::OBJECT)?), None),
        Some(constraint::Kind::Grammar(grammar)) => (None, Some(grammar)),
        // Refused by `check`.
        Some(constraint::Kind::Regex(_) | constraint::Kind::Choice(_)) | None => (None, None),
    })
}

#[cfg(test)]
mod tests {
    use cloudach_proto::v1::{Choices, ErrorCode, JsonObject};
    use serde_json::{Value, json};

    use super::*;

    fn body(request: &GenerateRequest) -> Value {
        check(request).unwrap();
        serde_json::from_slice(
            &completion(
                request,
                &[1, 2],
                2048,
                request.sampling.as_ref().is_none_or(|asked| asked.cache_salt.is_none()),
            )
            .unwrap(),
        )
        .unwrap()
    }

    #[test]
    fn nothing_is_left_to_the_servers_defaults() {
        let expected = json!({
            "prompt": [1, 2], "n_predict": 2046, "stream": true, "return_progress": true, "return_tokens": true,
            "cache_prompt": true, "temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "repeat_penalty": 1.0,
            "repeat_last_n": 2048, "presence_penalty": 0.0, "frequency_penalty": 0.0, "seed": -1, "stop": [],
            "ignore_eos": false, "n_probs": 0, "post_sampling_probs": false,
        });
        assert_eq!(body(&GenerateRequest::default()), expected);
    }

    #[test]
    fn every_parameter_that_it_has_is_passed_on() {
        let sampling = Sampling {
            max_tokens: Some(9),
            temperature: Some(0.5),
            top_p: Some(0.9),
            top_k: Some(40),
            min_p: Some(0.05),
            presence_penalty: Some(0.5),
            frequency_penalty: Some(-0.5),
            repetition_penalty: Some(1.25),
            seed: Some(7),
            stop: vec!["END".into()],
            ignore_eos: true,
            logit_bias: [(504, -5.0)].into(),
            skip_special_tokens: Some(true),
            priority: Some(0),
            cache_salt: Some("tenant".into()),
            include_stop: true,
            shown_tokens: vec!["<tool_call>".into()],
            ..Sampling::default()
        };
        let constraint = Some(Constraint { kind: Some(constraint::Kind::JsonSchema(r#"{"b":1,"a":2}"#.into())) });
        let request = GenerateRequest {
            sampling: Some(sampling),
            top_logprobs: Some(0),
            constraint,
            ..GenerateRequest::default()
        };
        let expected = json!({
            "prompt": [1, 2], "n_predict": 9, "stream": true, "return_progress": true, "return_tokens": true,
            "cache_prompt": false, "temperature": 0.5, "top_k": 40, "top_p": 0.9, "min_p": 0.05,
            "repeat_penalty": 1.25, "repeat_last_n": 2048, "presence_penalty": 0.5, "frequency_penalty": -0.5, "seed": 7,
            "stop": ["END"], "ignore_eos": true, "logit_bias": {"504": -5.0}, "n_probs": 1,
            "post_sampling_probs": false, "preserved_tokens": ["<tool_call>"], "json_schema": {
                "x-guidance": {"whitespace_flexible": false},
                "b": 1, "a": 2,
            },
        });
        assert_eq!(body(&request), expected);
    }

    #[test]
    fn what_it_does_not_have_is_refused() {
        let refused = |request: GenerateRequest| {
            let failed = check(&request).unwrap_err();
            assert_eq!(failed.code(), ErrorCode::Unsupported);
            failed.param
        };
        let sampling = |sampling| GenerateRequest { sampling: Some(sampling), ..GenerateRequest::default() };
        let limited =
            |kind| GenerateRequest { constraint: Some(Constraint { kind: Some(kind) }), ..GenerateRequest::default() };
        assert_eq!(refused(sampling(Sampling { min_tokens: Some(1), ..Sampling::default() })), "min_tokens");
        assert_eq!(refused(sampling(Sampling { stop_token_ids: vec![2], ..Sampling::default() })), "stop_token_ids");
        let visible = Sampling { skip_special_tokens: Some(false), ..Sampling::default() };
        assert_eq!(refused(sampling(visible)), "skip_special_tokens");
        assert_eq!(refused(sampling(Sampling { priority: Some(1), ..Sampling::default() })), "priority");
        assert_eq!(refused(limited(constraint::Kind::Regex("a".into()))), "structured_outputs");
        assert_eq!(refused(limited(constraint::Kind::Choice(Choices::default()))), "structured_outputs");
        let echo = GenerateRequest { echo: true, ..GenerateRequest::default() };
        check(&echo).unwrap();
        assert_eq!(refused(GenerateRequest { top_logprobs: Some(0), ..echo }), "echo");
        check(&limited(constraint::Kind::JsonObject(JsonObject {}))).unwrap();
        let embed = EmbedRequest { dimensions: Some(4), ..EmbedRequest::default() };
        assert_eq!(check_embed(&embed).unwrap_err().param, "dimensions");
    }

    #[test]
    fn every_seed_is_one_that_the_server_keeps() {
        for asked in [0, 1, -1, -2, i64::MAX, i64::MIN, i64::from(u32::MAX)] {
            assert!((0..i64::from(u32::MAX)).contains(&seed(asked)), "{asked}");
        }
        assert_eq!(seed(7), 7);
    }
}
