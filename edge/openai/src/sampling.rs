//! How the next token is chosen and when to stop, as a client asks for it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::invalid::Invalid;
use crate::reader::{self, Fields, Path, array, boolean, decimal, integer};

/// Stop strings in one request, as at OpenAI.
const MOST_STOPS: usize = 4;
/// Characters of one stop string: readers hold back up to so much text.
const MOST_STOP_LENGTH: usize = 1024;
/// Token ids in `stop_token_ids`.
const MOST_STOP_TOKENS: usize = 256;
/// Entries of `logit_bias`, as at OpenAI.
const MOST_BIASES: usize = 300;
/// Characters of `cache_salt`.
const MOST_SALT_LENGTH: usize = 256;

/// `None` is OpenAI's default, whatever the engine's own default is.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sampling {
    /// Tokens of the answer at most. `None`: as many as the context has room for.
    pub max_tokens: Option<u32>,
    /// Tokens of the answer at least.
    pub min_tokens: Option<u32>,
    /// From 0 to 2.
    pub temperature: Option<f32>,
    /// From 0 to 1; 0 leaves the likeliest token only.
    pub top_p: Option<f32>,
    /// At least 1. `None`: all tokens.
    pub top_k: Option<u32>,
    /// From 0 to 1.
    pub min_p: Option<f32>,
    /// From -2 to 2.
    pub presence_penalty: Option<f32>,
    /// From -2 to 2.
    pub frequency_penalty: Option<f32>,
    /// Above 0, at most 2.
    pub repetition_penalty: Option<f32>,
    /// Makes the draw repeatable.
    pub seed: Option<i64>,
    /// Texts that end the answer; none is empty.
    pub stop: Vec<String>,
    /// Tokens that end the answer.
    pub stop_token_ids: Vec<u32>,
    /// The stop text stays in the answer.
    pub include_stop: bool,
    /// The model's own end does not end the answer.
    pub ignore_eos: bool,
    /// Added to the logits, by token id; from -100 to 100.
    pub logit_bias: BTreeMap<u32, f32>,
    /// Special tokens are left out of the text. `None`: they are.
    pub skip_special_tokens: Option<bool>,
    /// The engine's own priority; lower runs first.
    pub priority: Option<i32>,
    /// Keeps prefix caches apart.
    pub cache_salt: Option<String>,
}

impl Sampling {
    /// Reads everything but `max_tokens`, whose name and default differ by endpoint.
    pub(crate) fn read(fields: &mut Fields<'_>, max_tokens: Option<u32>) -> Result<Self, Invalid> {
        Ok(Self {
            max_tokens,
            min_tokens: fields.read("min_tokens", integer(0, max_tokens.unwrap_or(u32::MAX).into()))?,
            temperature: fields.read("temperature", decimal(0.0, 2.0))?,
            top_p: fields.read("top_p", decimal(0.0, 1.0))?,
            top_k: fields.read("top_k", top_k)?.flatten(),
            min_p: fields.read("min_p", decimal(0.0, 1.0))?,
            presence_penalty: fields.read("presence_penalty", decimal(-2.0, 2.0))?,
            frequency_penalty: fields.read("frequency_penalty", decimal(-2.0, 2.0))?,
            repetition_penalty: fields.read("repetition_penalty", repetition_penalty)?,
            seed: fields.read("seed", integer(i64::MIN, i64::MAX))?,
            stop: fields.read("stop", stop)?.unwrap_or_default(),
            stop_token_ids: fields.read("stop_token_ids", stop_token_ids)?.unwrap_or_default(),
            include_stop: fields.read("include_stop_str_in_output", boolean)?.unwrap_or(false),
            ignore_eos: fields.read("ignore_eos", boolean)?.unwrap_or(false),
            logit_bias: fields.read("logit_bias", logit_bias)?.unwrap_or_default(),
            skip_special_tokens: fields.read("skip_special_tokens", boolean)?,
            priority: fields.read("priority", integer(i32::MIN.into(), i32::MAX.into()))?,
            cache_salt: fields.read("cache_salt", cache_salt)?,
        })
    }
}

/// vLLM takes 0 and -1 for "all tokens", and clients send them.
fn top_k(path: &Path<'_>, value: Value) -> Result<Option<u32>, Invalid> {
    let tokens: i64 = integer(-1, u32::MAX.into())(path, value)?;
    Ok(u32::try_from(tokens).ok().filter(|tokens| *tokens > 0))
}

fn repetition_penalty(path: &Path<'_>, value: Value) -> Result<f32, Invalid> {
    let penalty = decimal(0.0, 2.0)(path, value)?;
    if penalty == 0.0 {
        return Err(Invalid::decimal_below(path, "> 0", penalty));
    }
    Ok(penalty)
}

fn stop(path: &Path<'_>, value: Value) -> Result<Vec<String>, Invalid> {
    match value {
        Value::String(_) => Ok(vec![stop_text(path, value)?]),
        Value::Array(texts) if texts.len() > MOST_STOPS => Err(Invalid::array_too_long(path, MOST_STOPS, texts.len())),
        Value::Array(texts) => reader::items(path, texts, stop_text),
        other => Err(Invalid::wrong_type(path, "one of a string or array of strings", reader::kind(&other))),
    }
}

fn stop_text(path: &Path<'_>, value: Value) -> Result<String, Invalid> {
    let text = reader::short_string(MOST_STOP_LENGTH)(path, value)?;
    if text.is_empty() {
        return Err(Invalid::empty_string(path));
    }
    Ok(text)
}

fn stop_token_ids(path: &Path<'_>, value: Value) -> Result<Vec<u32>, Invalid> {
    let ids = array("an array of integers", integer(0, u32::MAX.into()))(path, value)?;
    if ids.len() > MOST_STOP_TOKENS {
        return Err(Invalid::array_too_long(path, MOST_STOP_TOKENS, ids.len()));
    }
    Ok(ids)
}

fn logit_bias(path: &Path<'_>, value: Value) -> Result<BTreeMap<u32, f32>, Invalid> {
    let biases = reader::object(path, value)?;
    if biases.len() > MOST_BIASES {
        return Err(Invalid::too_many_properties(path, MOST_BIASES, biases.len()));
    }
    let mut read = BTreeMap::new();
    for (token, bias) in biases {
        let Ok(id) = token.parse() else {
            return Err(Invalid::new(format!(
                "Invalid key in '{path}': {}. You should only be submitting non-negative integers.",
                crate::invalid::shorten(&token)
            ))
            .param(path));
        };
        read.insert(id, decimal(-100.0, 100.0)(&path.field(&token), bias)?);
    }
    Ok(read)
}

fn cache_salt(path: &Path<'_>, value: Value) -> Result<String, Invalid> {
    let salt = reader::short_string(MOST_SALT_LENGTH)(path, value)?;
    if salt.is_empty() {
        return Err(Invalid::empty_string(path));
    }
    Ok(salt)
}
