//! What a client is told in the first choice of a chat, put together from a whole answer or from a stream as SDKs do it.

use serde_json::Value;

/// One choice, without the ids of its calls, which are drawn.
#[derive(Debug, Default, PartialEq)]
pub struct Told {
    pub content: String,
    pub reasoning: String,
    /// Names and arguments.
    pub calls: Vec<(String, String)>,
    pub finish_reason: String,
}

impl Told {
    /// Reads a whole answer.
    ///
    /// # Panics
    /// When it has calls without being allowed to: an empty list, or empty text beside them.
    pub fn whole(answer: &Value) -> Self {
        let choice = &answer["choices"][0];
        let message = &choice["message"];
        let calls = message["tool_calls"].as_array();
        assert!(calls.is_none_or(|calls| !calls.is_empty()), "absent without calls: {message}");
        assert!(calls.is_none() || !message["content"].is_string() || message["content"] != "", "{message}");
        let call = |call: &Value| (text(&call["function"]["name"]), text(&call["function"]["arguments"]));
        Self {
            content: text(&message["content"]),
            reasoning: text(&message["reasoning_content"]),
            calls: calls.into_iter().flatten().map(call).collect(),
            finish_reason: text(&choice["finish_reason"]),
        }
    }

    /// Puts the chunks of a stream together.
    ///
    /// # Panics
    /// When a call goes on before it has begun.
    pub fn streamed(chunks: &[Value]) -> Self {
        let mut told = Self::default();
        for choice in chunks.iter().map(|chunk| &chunk["choices"][0]) {
            told.content += &text(&choice["delta"]["content"]);
            told.reasoning += &text(&choice["delta"]["reasoning_content"]);
            told.finish_reason += &text(&choice["finish_reason"]);
            for call in choice["delta"]["tool_calls"].as_array().into_iter().flatten() {
                if call.get("id").is_some() {
                    told.calls.push((text(&call["function"]["name"]), String::new()));
                }
                let (_, arguments) = told.calls.last_mut().expect("a call begins with its id");
                *arguments += &text(&call["function"]["arguments"]);
            }
        }
        told
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
