//! The commands that say what a model is told, what its words become and what an engine is held to.

#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

/// What the command answers to these lines.
fn ask(command: &str, lines: &[Value]) -> Vec<Value> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_cloudach"))
        .arg(command)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    for line in lines {
        writeln!(input, "{line}").unwrap();
    }
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let output = String::from_utf8(output.stdout).unwrap();
    output.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn render_says_what_a_model_is_told() {
    let template = "{{ bos_token }}{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}\
                    {{ raise_exception('too long') if messages | length > 1 }}{{ strftime_now('%Y') }}";
    let line = |messages: Value| json!({ "template": template, "bos_token": "<s>", "eos_token": null, "now": "2026-03-07T14:05:09", "request": { "messages": messages } });
    let user = json!({ "role": "user", "content": "hi" });
    let answers = ask("render", &[line(json!([user])), line(json!([user, user])), json!({ "template": "{%" })]);
    assert_eq!(answers[0], json!({ "prompt": "<s><user>hi2026" }));
    assert_eq!(answers[1], json!({ "error": { "kind": "raise_exception", "message": "too long" } }));
    assert_eq!(answers[2]["error"]["kind"], "invalid_input");
    assert_eq!(answers.len(), 3);
}

#[test]
fn render_knows_the_families() {
    let request = json!({ "messages": [{ "role": "user", "content": "hi" }] });
    let line = |family: &str| json!({ "template_family": family, "request": request });
    let answers = ask("render", &[line("gemma-2"), line("gemma-0"), json!({ "request": request })]);
    assert_eq!(answers[0]["prompt"], "<bos><start_of_turn>user\nhi<end_of_turn>\n<start_of_turn>model\n");
    assert_eq!(answers[1]["error"]["kind"], "invalid_input");
    assert_eq!(answers[2]["error"]["message"], "a line has a `template` or a `template_family`");
}

#[test]
fn parse_says_what_a_models_words_become() {
    let tool = json!({ "type": "function", "function": { "name": "f", "parameters": { "type": "object" } } });
    let text = "<think>hm</think>Sure.<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call>";
    let chunks: Vec<String> = text.chars().map(String::from).collect();
    let line = json!({ "tool_format": "hermes", "reasoning_format": "deepseek_r1", "prompt_ends_with": "", "tools": [tool], "tool_choice": "auto", "chunks": chunks });
    let plain = json!({ "tool_format": null, "reasoning_format": null, "prompt_ends_with": "", "tools": [], "tool_choice": null, "chunks": ["a", "b"] });
    let unknown = json!({ "tool_format": "nobody's", "chunks": [] });
    let answers = ask("parse", &[line, plain, unknown]);
    let call = json!({ "name": "f", "arguments": "{\"a\": 1}" });
    assert_eq!(answers[0], json!({ "content": "Sure.", "reasoning": "hm", "tool_calls": [call] }));
    assert_eq!(answers[1], json!({ "content": "ab", "reasoning": null, "tool_calls": [] }));
    assert_eq!(answers[2]["error"]["kind"], "unknown_format");
}

#[test]
fn schema_says_what_an_engine_is_held_to() {
    let schema = json!({ "type": "object", "properties": { "a": { "$ref": "#/$defs/n" } }, "required": ["a"], "$defs": { "n": { "type": "integer" } } });
    let lines = [
        json!({ "schema": schema, "dialect": "vllm" }),
        json!({ "schema": { "uniqueItems": true }, "dialect": "llama_cpp" }),
    ];
    let answers = ask("schema", &lines);
    assert_eq!(answers[0]["schema"]["required"], json!(["a"]));
    let message = answers[1]["error"]["message"].as_str().unwrap();
    assert!(message.contains("/uniqueItems"), "{message}");
}
