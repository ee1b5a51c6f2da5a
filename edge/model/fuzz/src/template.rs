//! Any template with any conversation: it compiles or not, renders or not, and always says so in bounded time, with a
//! text that has a bound.

use std::sync::Arc;

use arbitrary::{Result, Unstructured};
use cloudach_model::offered::Offered;
use cloudach_model::template::{ChatTemplate, CivilTime, Conversation, RenderError, Source};
use serde_json::{Map, Value, json};

/// How many bytes make the conversation; the others are the template.
const CONVERSATION: usize = 48;

/// The longest prompt that a template may make.
const MOST_OUTPUT: usize = 16 * 1024 * 1024;

/// Checks one input.
pub fn check(data: &[u8]) {
    let (choices, template) = data.split_at(CONVERSATION.min(data.len()));
    let conversation = conversation(&mut Unstructured::new(choices)).unwrap_or_default();
    let template = String::from_utf8_lossy(template);
    let source = Source { template: &template, bos_token: Some("<s>"), eos_token: None };
    let Ok(compiled) = ChatTemplate::compile(&source) else { return };
    let now = CivilTime::from_unix(1_772_892_309);
    let rendered = compiled.render(&conversation, now);
    if let Ok(prompt) = &rendered {
        assert!(prompt.len() <= MOST_OUTPUT);
        compiled.starts_with_bos(prompt);
    }
    // A template is shared by its model's requests: one leaves nothing behind for the next.
    if !matches!(rendered, Err(RenderError::TooMuchWork | RenderError::TooLong { .. })) {
        assert_eq!(compiled.render(&conversation, now), rendered);
    }
}

fn conversation(u: &mut Unstructured<'_>) -> Result<Conversation> {
    let flags = u.int_in_range(0..=15_u8)?;
    let messages = (0..u.int_in_range(0..=5)?).map(|_| message(u)).collect::<Result<_>>()?;
    let tool = json!({"type": "function", "function": {"name": "f", "parameters": {"properties": {"a": {"type": ["string", "null"]}}}}});
    Ok(Conversation {
        messages,
        tools: (flags & 1 != 0).then(|| Arc::new(Offered::new(&[tool]))),
        documents: (flags & 2 != 0).then(|| vec![json!({"title": "t", "text": "é<&>'\""})]),
        kwargs: if flags & 4 != 0 { variables() } else { Map::new() },
        reasoning_effort: (flags & 8 != 0).then(|| "low".to_owned()),
        add_generation_prompt: u.arbitrary()?,
        continue_final_message: u.ratio(1, 8)?,
    })
}

fn message(u: &mut Unstructured<'_>) -> Result<Value> {
    let role = *u.choose(&["user", "assistant", "system", "tool", "developer", "other"])?;
    let content = match u.int_in_range(0..=4)? {
        0 => Value::Null,
        1 => json!([{"type": "text", "text": "a "}, {"type": "text", "text": ""}]),
        2 => json!([]),
        3 => json!(" é\n<think>x</think>{{ y }} "),
        _ => json!("Hello"),
    };
    let mut message = json!({"role": role, "content": content});
    if role == "assistant" && u.arbitrary()? {
        message["tool_calls"] =
            json!([{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{\"a\": [1, null, 1.5]}"}}]);
    }
    if role == "tool" {
        message["tool_call_id"] = "1".into();
    }
    Ok(message)
}

/// Values of every kind, for filters and methods.
fn variables() -> Map<String, Value> {
    let variables = json!({
        "s": "Hello, World", "t": "  a b  c\n", "u": "déjà vu 🚀", "n": 3, "f": 2.5, "l": [3, 1, 2], "ls": ["b", "a", "C"],
        "d": {"b": 1, "a": {"x": [1, null, true]}}, "none": null, "e": [], "big": 1e20, "html": "<a href='x'>\"&\"</a>",
        "rows": [{"k": "x", "v": 1}, {"k": "y", "v": 2}, {"k": "x", "v": 3}, {"k": "Z"}],
    });
    variables.as_object().cloned().unwrap_or_default()
}
