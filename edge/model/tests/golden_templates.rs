//! Real templates of real models against the prompts that the reference implementation renders.
//!
//! The data lies outside of this repository, in a folder beside it; without it the test says so and
//! passes, except under CI.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on fails, and says what it skips")]

use std::fs;
use std::path::{Path, PathBuf};

use cloudach_model::template::{ChatTemplate, CivilTime, Conversation, RenderError, Source};
use serde_json::{Map, Value};

/// How many cases passed at best: all.
const RATCHET: usize = 2945;

#[test]
fn prompts_equal_the_reference() {
    let Some(folder) = golden_folder() else { return };
    let conversations: Vec<Value> = read(&folder.join("conversations.json"));
    let now = CivilTime::parse("2026-03-07T14:05:09").unwrap();
    let mut templates: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    templates.retain(|path| path.is_dir());
    templates.sort();
    let (mut passed, mut total, mut misses) = (0, 0, Vec::new());
    for path in &templates {
        let name = path.file_name().unwrap().to_string_lossy();
        let (mut good, cases) = (0, read::<Vec<Value>>(&path.join("cases.json")));
        let template = compile(path);
        for case in &cases {
            let conversation = conversations.iter().find(|conversation| conversation["id"] == case["case"]).unwrap();
            let result = match &template {
                Ok(template) => template.render(&request(&conversation["request"]), now),
                Err(error) => Err(RenderError::Failed { line: None, message: error.clone() }),
            };
            match judge(&result, case) {
                Ok(()) => good += 1,
                Err(why) => misses.push(format!("{name} / {}: {why}", case["case"].as_str().unwrap())),
            }
        }
        println!("{good:3} of {:3}  {name}", cases.len());
        passed += good;
        total += cases.len();
    }
    println!("{passed} of {total} cases in {} templates", templates.len());
    misses.iter().for_each(|miss| println!("MISS {miss}"));
    assert!(passed >= RATCHET, "{passed} cases pass, {RATCHET} did before");
}

fn golden_folder() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/chat-templates");
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(std::env::var_os("CI").is_none(), "the golden chat templates are missing at {}", folder.display());
    println!("skipped: no golden chat templates at {}", folder.display());
    None
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> T {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn compile(path: &Path) -> Result<ChatTemplate, String> {
    let text = fs::read_to_string(path.join("template.jinja")).unwrap();
    let meta: Value = read(&path.join("meta.json"));
    let source =
        Source { template: &text, bos_token: meta["bos_token"].as_str(), eos_token: meta["eos_token"].as_str() };
    ChatTemplate::compile(&source).map_err(|error| error.to_string())
}

fn request(request: &Value) -> Conversation {
    let list = |name: &str| request.get(name).and_then(Value::as_array).cloned();
    let flag = |name: &str| request.get(name).and_then(Value::as_bool);
    Conversation {
        messages: list("messages").unwrap(),
        tools: list("tools"),
        documents: list("documents"),
        kwargs: request.get("chat_template_kwargs").and_then(Value::as_object).cloned().unwrap_or_else(Map::new),
        reasoning_effort: request.get("reasoning_effort").and_then(Value::as_str).map(str::to_owned),
        add_generation_prompt: flag("add_generation_prompt").unwrap_or(true),
        continue_final_message: flag("continue_final_message").unwrap_or(false),
    }
}

/// Where the template raised, its text must come out; where Python itself refused, being more lenient
/// is no mistake.
fn judge(result: &Result<String, RenderError>, case: &Value) -> Result<(), String> {
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
