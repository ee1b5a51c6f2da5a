//! A generation request as vLLM's `/v1/completions` takes it. No I/O.
//!
//! Every parameter is sent, because what is left out takes the default of the model's `generation_config.json`; and
//! only names that vLLM knows are sent, because it ignores others in silence.

use std::collections::HashMap;

use cloudach_proto::v1::{Constraint, Failed, GenerateRequest, Sampling, constraint};
use serde::Serialize;
use serde_json::value::RawValue;

use super::super::{
    ModelInfo,
    echo::Echo,
    failure::{constraint_param, invalid},
    prompt::Input,
    sampling::Explicit,
    schema,
};

#[derive(Serialize)]
struct Completion<'a> {
    model: &'a str,
    prompt: Input<'a>,
    add_special_tokens: bool,
    stream: bool,
    stream_options: StreamOptions,
    return_token_ids: bool,
    n: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    min_tokens: u32,
    temperature: f32,
    top_p: f32,
    top_k: u32,
    min_p: f32,
    presence_penalty: f32,
    frequency_penalty: f32,
    repetition_penalty: f32,
    seed: Option<i64>,
    stop: &'a [String],
    stop_token_ids: &'a [u32],
    include_stop_str_in_output: bool,
    ignore_eos: bool,
    logit_bias: Option<&'a HashMap<u32, f32>>,
    skip_special_tokens: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    spaces_between_special_tokens: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_salt: Option<&'a str>,
    logprobs: Option<u32>,
    echo: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    structured_outputs: Option<StructuredOutputs<'a>>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum StructuredOutputs<'a> {
    Json(Box<RawValue>),
    Regex(&'a str),
    Choice(&'a [String]),
    Grammar(&'a str),
}

/// Room for all of a body but the prompt, in bytes: more than most take.
const FIXED: usize = 1024;

/// The body of the request.
pub(super) fn completion(request: &GenerateRequest, model: &ModelInfo) -> Result<Vec<u8>, Failed> {
    let none = Sampling::default();
    let sampling = request.sampling.as_ref().unwrap_or(&none);
    let explicit = Explicit::from(sampling);
    let prompt = Input::of(request.prompt.as_ref())?;
    let alone = Echo::of(request).is_some_and(|echo| echo.alone);
    let completion = Completion {
        model: &model.served_name,
        prompt,
        add_special_tokens: prompt.add_special_tokens(),
        stream: true,
        stream_options: StreamOptions { include_usage: true },
        return_token_ids: true,
        n: 1,
        max_tokens: max_tokens(sampling.max_tokens, model.context_length),
        min_tokens: sampling.min_tokens.filter(|_| !alone).unwrap_or(0),
        temperature: explicit.temperature,
        top_p: explicit.top_p,
        top_k: explicit.top_k,
        min_p: explicit.min_p,
        presence_penalty: explicit.presence_penalty,
        frequency_penalty: explicit.frequency_penalty,
        repetition_penalty: explicit.repetition_penalty,
        seed: sampling.seed.map(seed),
        stop: stops(sampling),
        stop_token_ids: &sampling.stop_token_ids,
        include_stop_str_in_output: sampling.include_stop || holds_nothing_back(sampling),
        ignore_eos: sampling.ignore_eos,
        logit_bias: (!sampling.logit_bias.is_empty()).then_some(&sampling.logit_bias),
        skip_special_tokens: skips_special_tokens(sampling),
        // Tokenizers written in Python would set apart what is read as one marker.
        spaces_between_special_tokens: (!sampling.shown_tokens.is_empty()).then_some(false),
        priority: sampling.priority,
        cache_salt: sampling.cache_salt.as_deref().filter(|salt| !salt.is_empty()),
        logprobs: request.top_logprobs,
        echo: asks_for_prompt(request),
        structured_outputs: request.constraint.as_ref().map(structured_outputs).transpose()?.flatten(),
    };
    let mut body = Vec::with_capacity(FIXED + prompt.bytes());
    serde_json::to_writer(&mut body, &completion)
        .map_err(|error| invalid("", format!("the request cannot be written: {error}")))?;
    Ok(body)
}

/// Whether vLLM is to leave stop texts in. It holds back as many characters as the longest of them has, whether they
/// look like one or not, unless it may show them: then it holds nothing back.
///
/// It shows the token that ends an answer then, too. That is nothing for an end-of-text token, which is special; other
/// tokens that may end the answer, or showing special ones, would show.
pub(super) fn holds_nothing_back(sampling: &Sampling) -> bool {
    sampling.stop_is_cut_by_caller
        && !sampling.stop.is_empty()
        && sampling.stop_token_ids.is_empty()
        && skips_special_tokens(sampling)
}

/// The stop texts that vLLM is to look for. What it holds back for their sake would be lost with it, though its tokens
/// were told; so where it would, it is not told of them, and goes on until the caller that cuts them off has met one.
fn stops(sampling: &Sampling) -> &[String] {
    if sampling.stop_is_cut_by_caller && !holds_nothing_back(sampling) { &[] } else { &sampling.stop }
}

/// vLLM shows all of them or none.
fn skips_special_tokens(sampling: &Sampling) -> bool {
    sampling.skip_special_tokens.unwrap_or(sampling.shown_tokens.is_empty())
}

/// Whether vLLM has something to say of the prompt: its log-probabilities, or that it is read and nothing generated.
/// The text it would not repeat: it does that only where it gives no token ids.
pub(super) fn asks_for_prompt(request: &GenerateRequest) -> bool {
    Echo::of(request).is_some_and(|echo| echo.logprobs || echo.alone)
}

/// vLLM refuses more than its context and caps what the prompt leaves less room for; without a number it takes the
/// model's own default.
fn max_tokens(asked: Option<u32>, context_length: u32) -> Option<u32> {
    match (asked, context_length) {
        (asked, 0) => asked,
        (asked, most) => Some(asked.map_or(most, |asked| asked.min(most))),
    }
}

/// vLLM reads -1 as "no seed".
fn seed(seed: i64) -> i64 {
    if seed == -1 { i64::MAX } else { seed }
}

fn structured_outputs(constraint: &Constraint) -> Result<Option<StructuredOutputs<'_>>, Failed> {
    let Some(kind) = &constraint.kind else { return Ok(None) };
    let json = |text| {
        let schema = schema::tightened(text)
            .map_err(|error| invalid(constraint_param(Some(constraint)), format!("the schema is no JSON: {error}")));
        schema.map(StructuredOutputs::Json)
    };
    Ok(Some(match kind {
        constraint::Kind::JsonSchema(text) => json(text)?,
        constraint::Kind::JsonObject(_) => json(schema::OBJECT)?,
        constraint::Kind::Regex(regex) => StructuredOutputs::Regex(regex),
        constraint::Kind::Choice(choices) => StructuredOutputs::Choice(&choices.choices),
        constraint::Kind::Grammar(grammar) => StructuredOutputs::Grammar(grammar),
    }))
}

#[cfg(test)]
mod tests {
    use cloudach_proto::v1::{Choices, JsonObject, Prompt, PromptText, TokenIds, prompt};
    use serde_json::{Value, json};

    use super::*;

    fn text(text: &str, add_special_tokens: bool) -> Option<Prompt> {
        Some(Prompt { prompt: Some(prompt::Prompt::Text(PromptText { text: text.into(), add_special_tokens })) })
    }

    fn body(request: &GenerateRequest) -> Value {
        let model = ModelInfo { served_name: "m".into(), context_length: 2048, ..ModelInfo::default() };
        serde_json::from_slice(&completion(request, &model).unwrap()).unwrap()
    }

    #[test]
    fn nothing_is_left_to_the_engines_defaults() {
        let request = GenerateRequest { prompt: text("hi", false), ..GenerateRequest::default() };
        let expected = json!({
            "model": "m", "prompt": "hi", "add_special_tokens": false, "stream": true,
            "stream_options": {"include_usage": true}, "return_token_ids": true, "n": 1, "max_tokens": 2048,
            "min_tokens": 0, "temperature": 1.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0, "presence_penalty": 0.0,
            "frequency_penalty": 0.0, "repetition_penalty": 1.0, "seed": null, "stop": [], "stop_token_ids": [],
            "include_stop_str_in_output": false, "ignore_eos": false, "logit_bias": null, "skip_special_tokens": true,
            "logprobs": null, "echo": false,
        });
        assert_eq!(body(&request), expected);
    }

    #[test]
    fn every_parameter_is_passed_on() {
        let sampling = Sampling {
            max_tokens: Some(5000),
            min_tokens: Some(2),
            temperature: Some(0.7),
            top_p: Some(0.9),
            top_k: Some(40),
            min_p: Some(0.05),
            presence_penalty: Some(0.5),
            frequency_penalty: Some(-0.5),
            repetition_penalty: Some(1.25),
            seed: Some(7),
            stop: vec!["END".into()],
            stop_token_ids: vec![2],
            ignore_eos: true,
            logit_bias: [(504, 5.0)].into(),
            skip_special_tokens: Some(false),
            priority: Some(-3),
            cache_salt: Some("tenant".into()),
            include_stop: true,
            stop_is_cut_by_caller: false,
            shown_tokens: vec![],
        };
        let prompt = Some(Prompt { prompt: Some(prompt::Prompt::TokenIds(TokenIds { ids: vec![1, 4093] })) });
        let request = GenerateRequest {
            prompt,
            sampling: Some(sampling),
            top_logprobs: Some(2),
            echo: true,
            ..GenerateRequest::default()
        };
        let body = body(&request);
        let expected = json!({
            "model": "m", "prompt": [1, 4093], "add_special_tokens": false, "stream": true,
            "stream_options": {"include_usage": true}, "return_token_ids": true, "n": 1, "max_tokens": 2048,
            "min_tokens": 2, "temperature": 0.7, "top_p": 0.9, "top_k": 40, "min_p": 0.05, "presence_penalty": 0.5,
            "frequency_penalty": -0.5, "repetition_penalty": 1.25, "seed": 7, "stop": ["END"], "stop_token_ids": [2],
            "include_stop_str_in_output": true, "ignore_eos": true, "logit_bias": {"504": 5.0},
            "skip_special_tokens": false, "priority": -3, "cache_salt": "tenant", "logprobs": 2, "echo": true,
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn stop_texts_are_left_in_where_nothing_else_shows_with_them() {
        let sent = |sampling: Sampling| {
            let sampling = Some(Sampling { stop_is_cut_by_caller: true, ..sampling });
            let request = GenerateRequest { prompt: text("hi", false), sampling, ..GenerateRequest::default() };
            body(&request)["include_stop_str_in_output"].as_bool().unwrap()
        };
        let stop = vec!["END".to_owned()];
        assert!(sent(Sampling { stop: stop.clone(), ..Sampling::default() }));
        assert!(!sent(Sampling::default()), "nothing is held back without stop texts");
        assert!(!sent(Sampling { stop: stop.clone(), stop_token_ids: vec![7], ..Sampling::default() }));
        assert!(!sent(Sampling { stop, skip_special_tokens: Some(false), ..Sampling::default() }));
    }

    #[test]
    fn vllm_looks_for_no_stop_text_that_it_would_hold_text_back_for() {
        let sent = |sampling: Sampling| {
            let sampling = Some(Sampling { stop: vec!["END".to_owned()], ..sampling });
            let request = GenerateRequest { prompt: text("hi", false), sampling, ..GenerateRequest::default() };
            body(&request)["stop"].as_array().unwrap().len()
        };
        let cut = Sampling { stop_is_cut_by_caller: true, ..Sampling::default() };
        assert_eq!(sent(cut.clone()), 1, "it shows them, and holds nothing back");
        assert_eq!(sent(Sampling { shown_tokens: vec!["<x>".into()], ..cut }), 0);
        assert_eq!(sent(Sampling { shown_tokens: vec!["<x>".into()], ..Sampling::default() }), 1, "nobody else does");
    }

    #[test]
    fn shown_tokens_stand_as_the_model_wrote_them() {
        let sent = |sampling: Sampling| {
            let request =
                GenerateRequest { prompt: text("hi", false), sampling: Some(sampling), ..GenerateRequest::default() };
            let body = body(&request);
            (body["skip_special_tokens"].clone(), body.get("spaces_between_special_tokens").cloned())
        };
        let shown = Sampling { shown_tokens: vec!["<x>".into()], ..Sampling::default() };
        assert_eq!(sent(shown), (json!(false), Some(json!(false))));
        assert_eq!(sent(Sampling::default()), (json!(true), None));
    }

    #[test]
    fn a_prompt_alone_asks_for_nothing_more() {
        let sampling = Sampling { max_tokens: Some(0), min_tokens: Some(3), ..Sampling::default() };
        let request = GenerateRequest {
            prompt: text("hi", false),
            sampling: Some(sampling),
            echo: true,
            ..GenerateRequest::default()
        };
        let body = body(&request);
        assert_eq!((&body["max_tokens"], &body["min_tokens"], &body["echo"]), (&json!(0), &json!(0), &json!(true)));
        let text_only = GenerateRequest { prompt: text("hi", false), echo: true, ..GenerateRequest::default() };
        assert!(!asks_for_prompt(&text_only), "its text is known here");
    }

    #[test]
    fn each_constraint_has_its_name() {
        let tight = json!({"whitespace_flexible": false});
        let schema = constraint::Kind::JsonSchema(r#"{"b":1,"a":2}"#.into());
        let cases = [
            (schema, json!({"json": {"x-guidance": tight, "b": 1, "a": 2}})),
            (constraint::Kind::JsonObject(JsonObject {}), json!({"json": {"x-guidance": tight, "type": "object"}})),
            (constraint::Kind::Regex("a+".into()), json!({"regex": "a+"})),
            (constraint::Kind::Choice(Choices { choices: vec!["a".into()] }), json!({"choice": ["a"]})),
            (constraint::Kind::Grammar("root ::= 'a'".into()), json!({"grammar": "root ::= 'a'"})),
        ];
        for (kind, expected) in cases {
            let constraint = Some(Constraint { kind: Some(kind) });
            let request = GenerateRequest { prompt: text("hi", true), constraint, ..GenerateRequest::default() };
            assert_eq!(body(&request)["structured_outputs"], expected);
            assert_eq!(body(&request)["add_special_tokens"], true);
        }
    }

    #[test]
    fn mistakes_are_refused_here() {
        let model = ModelInfo::default();
        let schema = constraint::Kind::JsonSchema("{".into());
        let constraint = Some(Constraint { kind: Some(schema) });
        let request = GenerateRequest { prompt: text("hi", false), constraint, ..GenerateRequest::default() };
        assert_eq!(completion(&request, &model).unwrap_err().param, "response_format");
        assert_eq!(completion(&GenerateRequest::default(), &model).unwrap_err().param, "prompt");
        let request = GenerateRequest { prompt: text("", false), ..GenerateRequest::default() };
        assert_eq!(completion(&request, &model).unwrap_err().param, "prompt");
    }

    #[test]
    fn minus_one_is_a_seed_too() {
        assert_eq!((seed(-1), seed(-2), seed(0)), (i64::MAX, -2, 0));
    }
}
