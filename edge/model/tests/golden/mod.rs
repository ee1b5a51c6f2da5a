//! The real templates' cases: conversations, what the reference makes of them, and whether a result is the same.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on fails, and says what it skips")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cloudach_model::offered::Offered;
use cloudach_model::template::{Conversation, RenderError};
use serde_json::{Map, Value};

pub fn golden_folder() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/chat-templates");
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(std::env::var_os("CI").is_none(), "the golden chat templates are missing at {}", folder.display());
    println!("skipped: no golden chat templates at {}", folder.display());
    None
}

pub fn read<T: serde::de::DeserializeOwned>(path: &Path) -> T {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

pub fn request(request: &Value) -> Conversation {
    let list = |name: &str| request.get(name).and_then(Value::as_array).cloned();
    let flag = |name: &str| request.get(name).and_then(Value::as_bool);
    Conversation {
        messages: list("messages").unwrap(),
        tools: list("tools").map(|tools| Arc::new(Offered::new(&tools))),
        documents: list("documents"),
        kwargs: request.get("chat_template_kwargs").and_then(Value::as_object).cloned().unwrap_or_else(Map::new),
        reasoning_effort: request.get("reasoning_effort").and_then(Value::as_str).map(str::to_owned),
        add_generation_prompt: flag("add_generation_prompt").unwrap_or(true),
        continue_final_message: flag("continue_final_message").unwrap_or(false),
    }
}

/// Where the template raised, its text must come out; where Python itself refused, being more lenient
/// is no mistake.
pub fn judge(result: &Result<String, RenderError>, case: &Value) -> Result<(), String> {
    if let Some(expected) = case.get("expected").and_then(Value::as_str) {
        return match result {
            Ok(prompt) if prompt == expected => Ok(()),
            Ok(prompt) => Err(first_difference(expected, prompt)),
            Err(error) => Err(format!("{error}")),
        };
    }
    let message = case["error"]["message"].as_str().unwrap();
    match (result, case["error"]["kind"].as_str().unwrap()) {
        (Err(RenderError::Raised(text)), "raise_exception") if text == message => Ok(()),
        (other, "raise_exception") => Err(format!("should raise {message:?}, gave {other:?}")),
        (Err(RenderError::Raised(text)), _) => Err(format!("raised {text:?} instead of failing with {message:?}")),
        _ => Ok(()),
    }
}

fn first_difference(expected: &str, rendered: &str) -> String {
    let same = expected.chars().zip(rendered.chars()).take_while(|(a, b)| a == b).count();
    let around = |text: &str| text.chars().skip(same.saturating_sub(40)).take(80).collect::<String>();
    format!("differs at character {same}: {:?} expected, {:?} rendered", around(expected), around(rendered))
}
