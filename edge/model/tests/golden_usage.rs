//! Token counts against those that OpenAI billed in recorded exchanges, by the rules of the compat-spec, section c.
//!
//! The recordings lie outside of this repository, in a folder beside it; without them the test says so
//! and passes, except under CI.

use std::fs;
use std::path::Path;

use cloudach_model::tokens::{Encoding, chat_prompt, count};
use serde_json::Value;

/// A kind of count, and how far the rule for it reaches.
struct Rule {
    name: &'static str,
    /// What is counted and what was billed, where the recording is of this kind.
    counts: fn(&Exchange) -> Option<(u64, u64)>,
    /// How much more OpenAI may bill: for texts that ended by themselves it sometimes bills one token more.
    slack: u64,
    /// Recordings of this kind there are at least.
    least: usize,
}

const RULES: &[Rule] = &[
    Rule { name: "chat prompts", counts: plain_prompt, slack: 0, least: 20 },
    Rule { name: "chat prompts with tools (gpt-4, gpt-3.5)", counts: prompt_with_tools, slack: 0, least: 5 },
    Rule { name: "chat answers", counts: answer, slack: 1, least: 15 },
    Rule { name: "completion prompts", counts: completion_prompt, slack: 0, least: 8 },
    Rule { name: "embedding inputs", counts: embedding_input, slack: 0, least: 10 },
];

#[test]
fn counts_are_as_billed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/openai-recorded");
    if !folder.is_dir() {
        assert!(std::env::var_os("CI").is_none(), "the recorded exchanges are missing at {}", folder.display());
        println!("skipped: no recorded exchanges at {}", folder.display());
        return;
    }
    let files = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let texts = files.filter_map(|path| fs::read_to_string(path).ok());
    let exchanges: Vec<Exchange> = texts.filter_map(|text| Exchange::read(&text)).collect();
    for rule in RULES {
        let (mut compared, mut missed) = (0, Vec::new());
        for exchange in &exchanges {
            let Some((counted, billed)) = (rule.counts)(exchange) else { continue };
            compared += 1;
            if !(counted..=counted + rule.slack).contains(&billed) {
                missed.push(format!("{}: {counted} counted, {billed} billed", exchange.id));
            }
        }
        println!("{}: {} of {compared} as billed {missed:?}", rule.name, compared - missed.len());
        assert!(compared >= rule.least, "{}: only {compared} recordings", rule.name);
        assert!(missed.is_empty(), "{}: {missed:#?}", rule.name);
    }
}

/// An exchange that was billed and is not known to have been edited.
struct Exchange {
    id: String,
    path: String,
    request: Value,
    /// The whole body, or none where the answer was streamed.
    answer: Option<Value>,
    usage: Value,
    encoding: Encoding,
}

impl Exchange {
    fn read(text: &str) -> Option<Self> {
        let recording: Value = serde_json::from_str(text).ok()?;
        if recording["authenticity"] == "doubtful" || recording["response"]["status"] != 200 {
            return None;
        }
        let request = recording["request"]["body"].clone();
        let path = recording["request"]["path"].as_str()?.to_owned();
        let answer = Some(recording["response"]["body"].clone()).filter(Value::is_object);
        let usage =
            answer.as_ref().map_or_else(|| streamed_usage(&recording), |answer| Some(answer["usage"].clone()))?;
        let encoding = if path.ends_with("/chat/completions") {
            chat_encoding(request["model"].as_str()?)?
        } else {
            Encoding::Cl100kBase
        };
        Some(Self { id: recording["id"].as_str()?.to_owned(), path, request, answer, usage, encoding })
    }

    fn billed(&self, count: &str) -> Option<u64> {
        self.usage[count].as_u64()
    }

    /// The messages, where all of them are text and nothing else shapes the prompt.
    fn text_messages(&self) -> Option<&Vec<Value>> {
        let others = ["response_format", "web_search_options", "audio"];
        let plain = self.path.ends_with("/chat/completions") && others.iter().all(|key| self.request[*key].is_null());
        let messages = self.request["messages"].as_array().filter(|_| plain)?;
        messages.iter().all(is_text).then_some(messages)
    }
}

fn streamed_usage(recording: &Value) -> Option<Value> {
    let events = recording["response"]["sse_events"].as_array()?;
    let chunks = events.iter().filter_map(|event| event.as_str()?.strip_prefix("data: "));
    let mut chunks = chunks.filter_map(|chunk| serde_json::from_str::<Value>(chunk).ok());
    chunks.find(|chunk| chunk["usage"].is_object()).map(|chunk| chunk["usage"].clone())
}

/// Reasoning models add what nobody sees, and others hear and search: their rules are not these.
fn chat_encoding(model: &str) -> Option<Encoding> {
    let other = ["audio", "search", "vision", "realtime"];
    let known = [
        ("gpt-4o", Encoding::O200kBase),
        ("gpt-4.1", Encoding::O200kBase),
        ("gpt-4", Encoding::Cl100kBase),
        ("gpt-3.5", Encoding::Cl100kBase),
    ];
    let known = known.into_iter().find(|(prefix, _)| model.starts_with(prefix)).map(|(_, encoding)| encoding);
    known.filter(|_| !other.iter().any(|word| model.contains(word)))
}

fn plain_prompt(exchange: &Exchange) -> Option<(u64, u64)> {
    let bare = ["tools", "functions"].iter().all(|key| exchange.request[*key].is_null());
    let messages = exchange.text_messages().filter(|_| bare)?;
    Some((chat_prompt(exchange.encoding, messages, &[]), exchange.billed("prompt_tokens")?))
}

/// Of newer models the form is not known (compat-spec, section c).
fn prompt_with_tools(exchange: &Exchange) -> Option<(u64, u64)> {
    let older = exchange.encoding == Encoding::Cl100kBase && !exchange.request["tool_choice"].is_object();
    let tools = exchange.request["tools"].as_array().filter(|_| older)?;
    let messages = exchange.text_messages()?;
    Some((chat_prompt(exchange.encoding, messages, tools), exchange.billed("prompt_tokens")?))
}

fn answer(exchange: &Exchange) -> Option<(u64, u64)> {
    let [choice] = &exchange.answer.as_ref()?["choices"].as_array()?[..] else { return None };
    let text = choice["message"]["content"].as_str()?;
    let shaped = !exchange.request["response_format"].is_null() || choice["message"].get("tool_calls").is_some();
    let chat = exchange.path.ends_with("/chat/completions") && !shaped;
    chat.then(|| Some((count(exchange.encoding, text), exchange.billed("completion_tokens")?)))?
}

fn completion_prompt(exchange: &Exchange) -> Option<(u64, u64)> {
    let prompt = Some(&exchange.request["prompt"]).filter(|_| exchange.path.ends_with("/v1/completions"))?;
    Some((inputs(prompt)?, exchange.billed("prompt_tokens")?))
}

fn embedding_input(exchange: &Exchange) -> Option<(u64, u64)> {
    let input = Some(&exchange.request["input"]).filter(|_| exchange.path.ends_with("/embeddings"))?;
    Some((inputs(input)?, exchange.billed("prompt_tokens")?))
}

/// A text, texts, ids or lists of ids.
fn inputs(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) => Some(count(Encoding::Cl100kBase, text)),
        Value::Number(_) => Some(1),
        Value::Array(values) => values.iter().map(inputs).sum(),
        _ => None,
    }
}

fn is_text(message: &Value) -> bool {
    let content = &message["content"];
    let bare = ["tool_calls", "function_call"].iter().all(|key| message.get(*key).is_none_or(Value::is_null));
    bare && (content.is_string()
        || content.as_array().is_some_and(|parts| parts.iter().all(|part| part["type"] == "text")))
}
