//! Messages as spans tell of them: OpenTelemetry's JSON for generative AI.

use cloudach_openai::{
    FinishReason, PromptInput,
    chat::{Content, Message},
};
use serde_json::{Value, json};

use super::redaction::{Redaction, start};

/// What a part of a message counts as, beside its text, in bytes.
const BESIDE: usize = 64;

/// A part of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    Text(String),
    Reasoning(String),
    Call { name: String, arguments: String },
    Response { id: String, text: String },
}

/// A message, or as much of it as is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spoken {
    pub role: &'static str,
    pub parts: Vec<Part>,
    /// Of an answer: why it ended. None: it is no answer.
    pub finish: Option<&'static str>,
    /// Its last part is not all that there was.
    pub is_cut: bool,
}

/// Messages to be told, in order.
#[derive(Debug)]
pub struct Held {
    pub messages: Vec<Spoken>,
    /// There were more.
    pub is_cut: bool,
}

impl Part {
    fn bytes(&self) -> usize {
        BESIDE
            + match self {
                Self::Text(text) | Self::Reasoning(text) => text.len(),
                Self::Call { name, arguments } => name.len() + arguments.len(),
                Self::Response { id, text } => id.len() + text.len(),
            }
    }

    /// As it may be seen, of at most so many bytes of text, and whether that is less than all.
    fn redacted(self, redaction: &Redaction, is_cut: bool, most: usize) -> (Self, bool) {
        let mut is_less = is_cut;
        let mut left = most;
        let mut fit = |text: String| {
            let fits = start(&text, left).len();
            is_less |= fits < text.len();
            left -= fits;
            text[..fits].to_owned()
        };
        let part = match self {
            Self::Text(text) => Self::Text(fit(redaction.of(&text, is_cut))),
            Self::Reasoning(text) => Self::Reasoning(fit(redaction.of(&text, is_cut))),
            Self::Call { name, arguments } => Self::Call {
                name: fit(redaction.of(&name, false)),
                arguments: fit(redaction.of(&plain(arguments), is_cut)),
            },
            Self::Response { id, text } => {
                Self::Response { id: fit(redaction.of(&id, false)), text: fit(redaction.of(&plain(text), is_cut)) }
            }
        };
        (part, is_less)
    }

    fn json(&self) -> Value {
        match self {
            Self::Text(text) => json!({ "type": "text", "content": text }),
            Self::Reasoning(text) => json!({ "type": "reasoning", "content": text }),
            Self::Call { name, arguments } => json!({ "type": "tool_call", "name": name, "arguments": arguments }),
            Self::Response { id, text } => json!({ "type": "tool_call_response", "id": id, "response": text }),
        }
    }
}

/// JSON without escapes that would hide its characters from the rules. What is no JSON is as it is.
fn plain(text: String) -> String {
    match serde_json::from_str::<Value>(&text) {
        Ok(value) => value.to_string(),
        Err(_) => text,
    }
}

impl Held {
    /// The last messages of a conversation, of so many bytes.
    pub fn of_conversation(messages: &[Message], longest: usize) -> Self {
        Self::last(messages.iter().rev().map(spoken), longest)
    }

    /// Texts that are to be gone on with. What was sent as token ids is not told.
    pub fn of_prompts(prompts: &[PromptInput], longest: usize) -> Self {
        let texts = prompts.iter().rev().filter_map(|prompt| match prompt {
            PromptInput::Text(text) => Some(vec![(Kind::Text, text.as_str())]),
            PromptInput::Tokens(_) => None,
        });
        Self::last(texts.map(|parts| Borrowed { role: "user", parts }), longest)
    }

    /// Copies no more than is looked through.
    fn last<'a>(newest_first: impl Iterator<Item = Borrowed<'a>>, longest: usize) -> Self {
        let (mut left, mut messages, mut is_cut) = (longest, Vec::new(), false);
        for message in newest_first {
            if left < BESIDE {
                is_cut = true;
                break;
            }
            let mut spoken = Spoken { role: message.role, parts: Vec::new(), finish: None, is_cut: false };
            for (kind, text) in message.parts {
                if left < BESIDE {
                    spoken.is_cut = true;
                    break;
                }
                let held = start(text, left - BESIDE);
                spoken.is_cut = held.len() < text.len();
                let part = kind.part(held);
                left = left.saturating_sub(part.bytes());
                spoken.parts.push(part);
                if spoken.is_cut {
                    break;
                }
            }
            messages.push(spoken);
        }
        messages.reverse();
        Self { messages, is_cut }
    }

    /// As JSON, with so many bytes of text, the last messages before others, and whether that is less than all.
    pub fn write(self, redaction: &Redaction, bytes: usize) -> (String, bool) {
        let (mut left, mut is_less, mut told) = (bytes, self.is_cut, Vec::new());
        for message in self.messages.into_iter().rev() {
            let Some(room) = left.checked_sub(BESIDE) else {
                is_less = true;
                break;
            };
            left = room;
            let (mut parts, last) = (Vec::new(), message.parts.len().saturating_sub(1));
            for (number, part) in message.parts.into_iter().enumerate() {
                let Some(room) = left.checked_sub(BESIDE) else {
                    is_less = true;
                    break;
                };
                let (part, is_part) = part.redacted(redaction, message.is_cut && number == last, room);
                left = room.saturating_sub(part.bytes() - BESIDE);
                is_less |= is_part;
                parts.push(part.json());
            }
            let mut json = json!({ "role": message.role, "parts": parts });
            if let Some(finish) = message.finish {
                json["finish_reason"] = finish.into();
            }
            told.push(json);
        }
        told.reverse();
        (Value::from(told).to_string(), is_less)
    }
}

/// A message that is not copied yet.
struct Borrowed<'a> {
    role: &'static str,
    parts: Vec<(Kind<'a>, &'a str)>,
}

#[derive(Clone, Copy)]
enum Kind<'a> {
    Text,
    Reasoning,
    CallOf(&'a str),
    ResponseTo(&'a str),
}

impl Kind<'_> {
    fn part(self, text: &str) -> Part {
        let text = text.to_owned();
        match self {
            Self::Text => Part::Text(text),
            Self::Reasoning => Part::Reasoning(text),
            Self::CallOf(name) => Part::Call { name: start(name, BESIDE).to_owned(), arguments: text },
            Self::ResponseTo(id) => Part::Response { id: start(id, BESIDE).to_owned(), text },
        }
    }
}

fn spoken(message: &Message) -> Borrowed<'_> {
    let texts = message.content().map(Content::texts).unwrap_or_default().iter().map(String::as_str);
    let parts = match message {
        Message::Tool { tool_call_id, .. } => texts.map(|text| (Kind::ResponseTo(tool_call_id), text)).collect(),
        Message::Assistant { reasoning, tool_calls, .. } => {
            let reasoning = reasoning.iter().map(|text| (Kind::Reasoning, text.as_str()));
            let calls = tool_calls.iter().map(|call| (Kind::CallOf(&call.name), call.arguments.as_str()));
            reasoning.chain(texts.map(|text| (Kind::Text, text))).chain(calls).collect()
        }
        _ => texts.map(|text| (Kind::Text, text)).collect(),
    };
    Borrowed { role: message.role(), parts }
}

/// Why an answer ended, in the conventions' words. None: it did not come to its end.
pub fn finish(reason: Option<FinishReason>) -> &'static str {
    match reason {
        Some(FinishReason::ToolCalls | FinishReason::FunctionCall) => "tool_call",
        Some(reason) => reason.as_str(),
        None => "error",
    }
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::{super::redaction::Rule, *};

    fn redaction(margin: usize) -> Redaction {
        let rule = Rule { pattern: Regex::new(r"\d{4}").unwrap(), with: "#".to_owned() };
        Redaction { rules: vec![rule], longest: 10_000, margin }
    }

    fn user(text: &str) -> Message {
        Message::User { content: Content::Text(text.to_owned()), name: None }
    }

    fn write(messages: &[Message], longest: usize, bytes: usize) -> (Value, bool) {
        let (json, is_cut) = Held::of_conversation(messages, longest).write(&redaction(4), bytes);
        (serde_json::from_str(&json).unwrap(), is_cut)
    }

    #[test]
    fn every_text_of_a_conversation_is_redacted() {
        let call = cloudach_openai::chat::ToolCall {
            id: "c".to_owned(),
            name: "f1234".to_owned(),
            arguments: r#"{"a": "\u0031\u0032\u0033\u0034", "b": 12345}"#.to_owned(),
        };
        let messages = [
            Message::System { content: Content::Text("S 1234".to_owned()), name: None },
            Message::User { content: Content::Parts(vec!["a 1234".to_owned(), "b".to_owned()]), name: None },
            Message::Assistant {
                content: Some(Content::Text("12345".to_owned())),
                name: None,
                reasoning: Some("r 1234".to_owned()),
                tool_calls: vec![call],
            },
            Message::Tool {
                content: Content::Text("no JSON 1234".to_owned()),
                tool_call_id: "c".to_owned(),
                name: None,
            },
        ];
        let (told, is_cut) = write(&messages, 10_000, 10_000);
        let text = |text: &str| json!({ "type": "text", "content": text });
        let expected = json!([
            { "role": "system", "parts": [text("S #")] },
            { "role": "user", "parts": [text("a #"), text("b")] },
            { "role": "assistant", "parts": [
                { "type": "reasoning", "content": "r #" },
                text("#5"),
                { "type": "tool_call", "name": "f#", "arguments": r##"{"a":"#","b":#5}"## },
            ] },
            { "role": "tool", "parts": [{ "type": "tool_call_response", "id": "c", "response": "no JSON #" }] },
        ]);
        assert_eq!((told, is_cut), (expected, false));
    }

    #[test]
    fn what_is_too_long_is_cut_and_the_last_messages_go_before() {
        let messages = [user("first"), user(&"x".repeat(500)), user("last")];
        let (told, is_cut) = write(&messages, 10_000, 400);
        assert!(is_cut);
        assert_eq!(told.as_array().unwrap().len(), 2);
        assert_eq!(told[1]["parts"][0]["content"], "last");
        assert_eq!(told[0]["parts"][0]["content"].as_str().unwrap().len(), 400 - 4 * BESIDE - 4);
        // Cut before the rules see it: what one may have found at its end is left off.
        let (told, is_cut) = write(&[user("0123456789 999"), user("last")], 2 * BESIDE + 4 + 13, 10_000);
        assert!(is_cut);
        assert_eq!(told[0]["parts"][0]["content"], "##8", "{told}");
        for bytes in 0..200 {
            write(&messages, bytes, bytes);
        }
    }
}
