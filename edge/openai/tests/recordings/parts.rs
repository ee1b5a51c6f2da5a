//! The parts of recorded answers that ours are made of.

use cloudach_openai::{FinishReason, TokenLogprob, TopLogprob, Usage};
use serde_json::Value;

/// As an engine says it, which knows nothing of calls: what a client reads of them is for the reply to find.
pub(crate) fn reason_of(choice: &Value) -> Option<FinishReason> {
    match choice["finish_reason"].as_str()? {
        "stop" | "tool_calls" | "function_call" => Some(FinishReason::Stop),
        "length" => Some(FinishReason::Length),
        other => panic!("finish reason {other}"),
    }
}

pub(crate) fn usage_of(usage: &Value) -> Option<Usage> {
    usage.as_object()?;
    Some(Usage {
        prompt_tokens: usage["prompt_tokens"].as_u64()?,
        completion_tokens: usage["completion_tokens"].as_u64()?,
        cached_tokens: usage["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap_or(0),
        reasoning_tokens: usage["completion_tokens_details"]["reasoning_tokens"].as_u64().unwrap_or(0),
    })
}

pub(crate) fn logprobs_of(choice: &Value) -> Vec<TokenLogprob> {
    let entries = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let token = |entry: &Value| entry["token"].as_str().unwrap().to_owned();
    let bytes = |entry: &Value| {
        Some(entry["bytes"].as_array()?.iter().map(|byte| u8::try_from(byte.as_u64().unwrap()).unwrap()).collect())
    };
    #[expect(clippy::cast_possible_truncation, reason = "engines compute with 32 bits")]
    let logprob = |entry: &Value| entry["logprob"].as_f64().unwrap() as f32;
    entries(&choice["logprobs"]["content"])
        .iter()
        .map(|entry| TokenLogprob {
            token: token(entry),
            bytes: bytes(entry),
            logprob: logprob(entry),
            top: entries(&entry["top_logprobs"])
                .iter()
                .map(|top| TopLogprob { token: token(top), bytes: bytes(top), logprob: logprob(top) })
                .collect(),
        })
        .collect()
}
