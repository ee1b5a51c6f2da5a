//! What a response repeats of its request, with the defaults filled in.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::json;

/// See above. Numbers are as the client wrote them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Echo {
    pub(crate) background: bool,
    #[serde(default)]
    pub(crate) conversation: Option<String>,
    pub(crate) frequency_penalty: Value,
    pub(crate) instructions: Value,
    pub(crate) max_output_tokens: Option<u32>,
    pub(crate) max_tool_calls: Option<u32>,
    pub(crate) parallel_tool_calls: bool,
    pub(crate) presence_penalty: Value,
    pub(crate) previous_response_id: Option<String>,
    pub(crate) prompt_cache_key: Option<String>,
    pub(crate) prompt_cache_retention: Option<String>,
    pub(crate) reasoning: Value,
    pub(crate) safety_identifier: Option<String>,
    /// Of the answer; until then a response says `auto`.
    pub(crate) service_tier: String,
    pub(crate) store: bool,
    pub(crate) temperature: Value,
    pub(crate) text: Value,
    pub(crate) tool_choice: Value,
    pub(crate) tools: Vec<Value>,
    pub(crate) top_logprobs: u8,
    pub(crate) top_p: Value,
    pub(crate) truncation: String,
    pub(crate) user: Option<String>,
    pub(crate) metadata: Map<String, Value>,
}

/// Appends a field with the comma before it.
pub(crate) fn field<T: Serialize + ?Sized>(name: &str, value: &T, out: &mut Vec<u8>) {
    out.push(b',');
    json::write(out, name);
    out.push(b':');
    json::write(out, value);
}

impl Echo {
    /// The fields that stand before the output.
    pub(crate) fn write_before(&self, out: &mut Vec<u8>) {
        field("instructions", &self.instructions, out);
        field("max_output_tokens", &self.max_output_tokens, out);
        field("max_tool_calls", &self.max_tool_calls, out);
    }

    /// Those behind it, up to the usage.
    pub(crate) fn write_behind(&self, is_over: bool, out: &mut Vec<u8>) {
        field("parallel_tool_calls", &self.parallel_tool_calls, out);
        field("presence_penalty", &self.presence_penalty, out);
        field("previous_response_id", &self.previous_response_id, out);
        field("prompt_cache_key", &self.prompt_cache_key, out);
        field("prompt_cache_retention", &self.prompt_cache_retention, out);
        field("reasoning", &self.reasoning, out);
        field("safety_identifier", &self.safety_identifier, out);
        field("service_tier", if is_over { self.service_tier.as_str() } else { "auto" }, out);
        field("store", &self.store, out);
        field("temperature", &self.temperature, out);
        field("text", &self.text, out);
        field("tool_choice", &self.tool_choice, out);
        field("tools", &self.tools, out);
        field("top_logprobs", &self.top_logprobs, out);
        field("top_p", &self.top_p, out);
        field("truncation", &self.truncation, out);
    }
}
