//! Prompt token counts against those that OpenAI billed in recorded exchanges.
//!
//! The recordings lie outside of this repository, in a folder beside it; without them the test says so
//! and passes, except under CI.

use std::fs;
use std::path::Path;

use cloudach_model::tokens::{Encoding, chat_prompt};
use serde_json::Value;

#[test]
fn chat_prompts_count_as_billed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/openai-recorded");
    if !folder.is_dir() {
        assert!(std::env::var_os("CI").is_none(), "the recorded exchanges are missing at {}", folder.display());
        println!("skipped: no recorded exchanges at {}", folder.display());
        return;
    }
    let mut compared = 0;
    let mut exact = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let Some(recording) = fs::read_to_string(&path).ok().and_then(|text| serde_json::from_str::<Value>(&text).ok())
        else {
            continue;
        };
        let Some((counted, billed)) = plain_chat(&recording) else { continue };
        compared += 1;
        if counted == billed {
            exact += 1;
        } else {
            println!("MISS {}: {counted} counted, {billed} billed", path.file_stem().unwrap().to_string_lossy());
        }
    }
    println!("{exact} of {compared} recorded chat prompts count as billed");
    assert!(compared >= 10 && exact == compared);
}

/// What is counted and what was billed, for chats whose billing has a known rule: text only, no tools, no
/// schema, no reasoning.
fn plain_chat(recording: &Value) -> Option<(u64, u64)> {
    let request = &recording["request"];
    let body = &request["body"];
    let model = body["model"].as_str()?;
    let known = [
        ("gpt-4o", Encoding::O200kBase),
        ("gpt-4.1", Encoding::O200kBase),
        ("gpt-4", Encoding::Cl100kBase),
        ("gpt-3.5", Encoding::Cl100kBase),
    ];
    let (_, encoding) = known.into_iter().find(|(prefix, _)| model.starts_with(prefix))?;
    let plain = request["path"].as_str()?.ends_with("/chat/completions")
        && ["tools", "functions", "response_format", "web_search_options"].iter().all(|key| body[*key].is_null());
    let messages = body["messages"].as_array().filter(|_| plain)?;
    messages.iter().all(is_text).then_some(())?;
    let billed = recording["response"]["body"]["usage"]["prompt_tokens"].as_u64()?;
    Some((chat_prompt(encoding, messages, &[]), billed))
}

fn is_text(message: &Value) -> bool {
    let text_part = |part: &Value| part["type"] == "text";
    let text = message["content"].is_string()
        || message["content"].as_array().is_some_and(|parts| parts.iter().all(text_part));
    text && message["tool_calls"].is_null() && message["role"] != "tool"
}
