//! The families' own templates against what the reference makes of the models' templates: every case of every model of
//! the families, each where it belongs, and cases of our own for families of which there are no others.
//!
//! Those data lie outside of this repository, in a folder beside it; without it that test says so and passes, except
//! under CI.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;

use cloudach_model::template::families::Family;
use cloudach_model::template::{ChatTemplate, CivilTime, Conversation};
use serde_json::{Value, json};

use golden::{golden_folder, judge, read, request};

mod golden;

/// What else than its words a model's own template does, which the family's template does not.
#[derive(Clone, Copy, PartialEq)]
enum Slip {
    None,
    /// It prints its own source's indentation before the first token where there is a system message.
    Indented,
    /// It speaks for one model: who it is, and how it is to call tools, stands in the system message.
    SpeaksForItself,
}

/// The family's template, and a model whose prompts it must render, all of them.
const HELD: &[(&str, &str, Slip)] = &[
    ("llama-2", "llama-2-7b-chat", Slip::None),
    ("llama-3", "llama-3-8b-instruct", Slip::None),
    ("llama-3.1", "llama-3.1-8b-instruct", Slip::None),
    ("llama-3.2", "llama-3.2-3b-instruct", Slip::None),
    ("mistral-v1", "mixtral-8x7b-instruct", Slip::None),
    ("mistral-v3", "mistral-7b-instruct-v0.3-later", Slip::None),
    ("mistral-v3-tekken", "mistral-nemo-instruct-2407", Slip::None),
    ("mistral-v7", "mistral-large-2411", Slip::None),
    ("mistral-v7-tekken", "mistral-small-3.1", Slip::SpeaksForItself),
    ("qwen-1.5", "qwen1.5-72b-chat", Slip::None),
    ("qwen-2", "qwen2-instruct", Slip::None),
    ("qwen-2-vl", "qwen2.5-vl-7b-instruct", Slip::None),
    ("qwen-2.5", "qwen2.5-7b-instruct", Slip::None),
    ("qwq", "qwq-32b", Slip::None),
    ("qwen-3", "qwen3", Slip::None),
    ("qwen-3-instruct-2507", "qwen3-instruct-2507", Slip::None),
    ("qwen-3-thinking-2507", "qwen3-thinking-2507", Slip::None),
    ("chatml", "openhermes-2.5", Slip::None),
    ("chatml", "yi-34b-chat", Slip::None),
    ("gemma-2", "gemma-1-2-it", Slip::None),
    ("gemma-3", "gemma-3-it", Slip::None),
    ("gemma-3", "gemma-3n-it", Slip::None),
    ("phi-3", "phi-3-mini", Slip::None),
    ("phi-3.5", "phi-3.5-mini", Slip::None),
    ("deepseek-llm", "deepseek-llm-7b-chat", Slip::None),
    ("deepseek-v2.5", "deepseek-v2.5", Slip::Indented),
    ("deepseek-v3", "deepseek-v3-0324", Slip::None),
    ("deepseek-r1", "deepseek-r1", Slip::None),
    ("deepseek-r1-distill", "deepseek-r1-distill-llama", Slip::None),
    ("gpt-oss", "gpt-oss-120b", Slip::None),
];

/// Models of the same families that have a template of their own, which no configuration tells from the family's.
const NOT_HELD: &[(&str, &str)] = &[
    ("codellama-70b-instruct", "another format than all other Llama 2"),
    ("deepseek-coder-33b-instruct", "another format than DeepSeek's models for chats: instructions and responses"),
    ("deepseek-r1-0528-qwen3-8b", "a later format of R1 on Qwen 3, for which there is no family"),
    ("deepseek-r1-distill-qwen-32b", "llama.cpp's variant; its owner's is that of the Llamas"),
    ("deepseek-v3", "its owner replaced it by 0324's: it loses the model's calls"),
    ("gpt-oss-20b-other", "another revision: other empty lines around the developer's message"),
    ("hermes-2-pro-llama-3-tool-use", "one of two templates of its owner; the other is ChatML"),
    ("hermes-3-llama-3.1", "ChatML with a system message of its own"),
    ("hermes-3-llama-3.1-tool-use", "one of two templates of its owner; the other is ChatML"),
    ("llama-3.2-11b-vision-instruct", "it prints texts as Python prints lists where content comes in parts"),
    ("llama-guard-3", "a classifier: it asks one question about a conversation"),
    ("mistral-7b-instruct-v0.1", "its owner replaced it by Mixtral's later one: it refuses system messages"),
    ("mistral-7b-instruct-v0.3", "its owner replaced it by the later one"),
    ("mixtral-8x7b-instruct-first", "its owner replaced it by the later one: it refuses system messages"),
    ("phi-3-medium", "as phi-3, but it drops system messages and always opens an answer"),
    ("qwen3-coder", "another format than all other Qwen 3: tools and calls in tags"),
    ("qwen3-vl-instruct", "for images; for text its family is ChatML"),
    ("smollm2", "ChatML with a system message of its own"),
    ("smolvlm", "another format than SmolLM"),
    ("vllm-deepseekr1", "vLLM's variant with tools"),
    ("vllm-gemma3-pythonic", "vLLM's variant with tools"),
    ("vllm-llama3.1-json", "vLLM's variant with tools"),
    ("vllm-mistral-parallel", "vLLM's variant with tools"),
    ("yi-1.5-chat", "ChatML without marks around the system message"),
];

/// The families of models, by the words of their data.
const FAMILIES: &[&str] = &[
    "llama2",
    "llama3",
    "llama3.1",
    "mistral",
    "mistral-small3.1",
    "qwen1.5-2",
    "qwen2.5",
    "qwen3",
    "qwen3-coder",
    "gemma",
    "phi3",
    "deepseek-v2",
    "deepseek-v3",
    "gpt-oss",
    "hermes",
    "smollm2",
    "yi",
];

#[test]
fn family_templates_render_what_the_models_own_do() {
    let Some(folder) = golden_folder() else { return };
    let conversations: Vec<Value> = read(&folder.join("conversations.json"));
    let mut misses = Vec::new();
    let (mut passed, mut total) = (0, 0);
    for (family, model, slip) in HELD {
        let (template, mut good) = (compile(family), 0);
        let cases: Vec<Value> = read(&folder.join(model).join("cases.json"));
        for case in &cases {
            let conversation = conversations.iter().find(|conversation| conversation["id"] == case["case"]).unwrap();
            let (request, case) = without(*slip, request(&conversation["request"]), case.clone());
            match judge(&template.render(&request, now()), &case) {
                Ok(()) => good += 1,
                Err(why) => misses.push(format!("{family} / {model} / {}: {why}", case["case"])),
            }
        }
        println!("{good:3} of {:3}  {family} for {model}", cases.len());
        passed += good;
        total += cases.len();
    }
    println!("{passed} of {total} cases");
    assert!(misses.is_empty(), "{}", misses.join("\n"));
}

#[test]
fn every_model_of_the_families_is_held_or_named() {
    let Some(folder) = golden_folder() else { return };
    let mut models: Vec<String> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir())
        .filter(|entry| {
            let meta: Value = read(&entry.path().join("meta.json"));
            FAMILIES.contains(&meta["family"].as_str().unwrap())
        })
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    models.sort();
    let held = HELD.iter().map(|(_, model, _)| *model);
    let mut named: Vec<&str> = held.chain(NOT_HELD.iter().map(|(model, _)| *model)).collect();
    named.sort_unstable();
    assert_eq!(models, named);
}

/// Rendered by Llama 4's, Phi 4's and DeepSeek V3.1's own templates, and by Mistral's own library.
#[test]
fn family_templates_render_our_own_cases() {
    let cases = include_str!("cases/families.jsonl").lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut misses = Vec::new();
    for case in cases {
        let family = case["family"].as_str().unwrap();
        if let Err(why) = judge(&compile(family).render(&request(&case["request"]), now()), &case) {
            misses.push(format!("{family} / {}: {why}", case["case"]));
        }
    }
    assert!(misses.is_empty(), "{}", misses.join("\n"));
}

#[test]
fn every_family_has_cases() {
    let own = include_str!("cases/families.jsonl");
    for family in Family::all() {
        let named = format!("\"family\": \"{}\"", family.name);
        assert!(HELD.iter().any(|(held, ..)| *held == family.name) || own.contains(&named), "{}", family.name);
    }
}

fn compile(family: &str) -> ChatTemplate {
    let family: &Family = family.parse().unwrap();
    ChatTemplate::compile(&family.source(None, None)).unwrap_or_else(|error| panic!("{}: {error}", family.name))
}

fn now() -> CivilTime {
    CivilTime::parse("2026-03-07T14:05:09").unwrap()
}

/// The same request and case without what the model's own template does beside its words.
fn without(slip: Slip, mut request: Conversation, mut case: Value) -> (Conversation, Value) {
    let Some(expected) = case["expected"].as_str().map(str::to_owned) else { return (request, case) };
    match slip {
        Slip::None => {}
        Slip::Indented => case["expected"] = expected.trim_start().into(),
        Slip::SpeaksForItself => {
            let system =
                expected.split("[SYSTEM_PROMPT]").nth(1).and_then(|rest| rest.split("[/SYSTEM_PROMPT]").next());
            // Developers' messages are the system's for a template that does not know them.
            request.messages.retain(|message| message["role"] != "system" && message["role"] != "developer");
            request.messages.insert(0, json!({ "role": "system", "content": system }));
        }
    }
    (request, case)
}
