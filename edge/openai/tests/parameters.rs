//! Every parameter of OpenAI's own description is known here, and `null` is the same as its absence.

#![expect(clippy::print_stdout, reason = "says what was compared and what was skipped")]

use std::collections::BTreeSet;
use std::path::PathBuf;

use cloudach_openai::{Invalid, chat, completions, embeddings};
use serde_json::{Value, json};

#[derive(Debug, Clone, Copy)]
enum Endpoint {
    Chat,
    Completions,
    Embeddings,
}

impl Endpoint {
    const ALL: [(Self, &'static str); 3] = [
        (Self::Chat, "CreateChatCompletionRequest"),
        (Self::Completions, "CreateCompletionRequest"),
        (Self::Embeddings, "CreateEmbeddingRequest"),
    ];

    fn plain(self) -> Value {
        match self {
            Self::Chat => json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]}),
            Self::Completions => json!({"model": "m", "prompt": "hi"}),
            Self::Embeddings => json!({"model": "m", "input": "hi"}),
        }
    }

    /// What a request means, for comparison.
    fn read(self, body: &Value) -> Result<String, Invalid> {
        let body = body.to_string();
        match self {
            Self::Chat => chat::parse(body.as_bytes()).map(|request| format!("{request:?}")),
            Self::Completions => completions::parse(body.as_bytes()).map(|request| format!("{request:?}")),
            Self::Embeddings => embeddings::parse(body.as_bytes()).map(|request| format!("{request:?}")),
        }
    }

    /// Beyond OpenAI's description: vLLM's extras, and what is refused by its name.
    fn extras(self) -> &'static [&'static str] {
        match self {
            Self::Chat => &[
                "min_tokens",
                "top_k",
                "min_p",
                "repetition_penalty",
                "stop_token_ids",
                "include_stop_str_in_output",
                "ignore_eos",
                "skip_special_tokens",
                "priority",
                "cache_salt",
                "documents",
                "structured_outputs",
                "chat_template_kwargs",
                "chat_template",
                "add_generation_prompt",
                "continue_final_message",
                "add_special_tokens",
                "include_reasoning",
                "guided_json",
                "use_beam_search",
                "best_of",
                "echo",
            ],
            Self::Completions => &[
                "min_tokens",
                "top_k",
                "min_p",
                "repetition_penalty",
                "stop_token_ids",
                "include_stop_str_in_output",
                "ignore_eos",
                "skip_special_tokens",
                "priority",
                "cache_salt",
                "add_special_tokens",
                "structured_outputs",
                "response_format",
                "metadata",
                "guided_json",
                "use_beam_search",
            ],
            Self::Embeddings => &["truncate_prompt_tokens", "messages", "embed_dtype"],
        }
    }
}

#[test]
fn no_parameter_is_a_stranger() {
    let Some(document) = document() else { return };
    for (endpoint, schema) in Endpoint::ALL {
        let names = properties(&document, schema);
        assert!(names.len() >= 5 && names.contains("model"), "{schema}: {names:?}");
        for name in &names {
            for value in [json!(true), json!({"probe": 1}), json!("probe"), json!(1), json!(["probe"])] {
                let mut body = endpoint.plain();
                body[name] = value.clone();
                if let Err(error) = endpoint.read(&body) {
                    assert!(!error.message.starts_with("Unrecognized"), "{name}: {value}");
                }
            }
        }
        println!("{schema}: {} parameters", names.len());
    }
}

#[test]
fn null_is_absent() {
    let document = document();
    for (endpoint, schema) in Endpoint::ALL {
        let mut names: BTreeSet<String> = endpoint.extras().iter().map(|name| (*name).to_owned()).collect();
        names.extend(document.iter().flat_map(|document| properties(document, schema)));
        let plain = endpoint.plain();
        let expected = endpoint.read(&plain).unwrap();
        let mut all = plain.clone();
        for name in names.iter().filter(|name| plain.get(name.as_str()).is_none()) {
            let mut body = plain.clone();
            body[name] = Value::Null;
            all[name] = Value::Null;
            assert_eq!(endpoint.read(&body).as_ref(), Ok(&expected), "{name}");
        }
        assert_eq!(endpoint.read(&all).as_ref(), Ok(&expected), "{schema}: all at once");
    }
}

#[test]
fn null_is_absent_inside_too() {
    let chat = |more: Value| {
        let mut body = Endpoint::Chat.plain();
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Endpoint::Chat.read(&body).unwrap_or_else(|error| panic!("{error}: {body}"))
    };
    let schema = json!({"type": "object"});
    let cases = [
        (
            json!({"stream": true, "stream_options": {"include_usage": null, "include_obfuscation": null}}),
            json!({"stream": true}),
        ),
        (
            json!({"tools": [{"type": "function", "function": {"name": "f", "description": null, "parameters": null, "strict": null}}]}),
            json!({"tools": [{"type": "function", "function": {"name": "f"}}]}),
        ),
        (
            json!({"functions": [{"name": "f", "description": null, "parameters": null}], "function_call": null}),
            json!({"functions": [{"name": "f"}]}),
        ),
        (
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "r", "description": null, "strict": null, "schema": schema}}}),
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "r", "schema": schema}}}),
        ),
        (
            json!({"messages": [{"role": "assistant", "content": null, "name": null, "refusal": null, "audio": null,
                "tool_calls": null, "function_call": null, "reasoning": null, "reasoning_content": null}]}),
            json!({"messages": [{"role": "assistant"}]}),
        ),
    ];
    for (with_nulls, without) in cases {
        assert_eq!(chat(with_nulls.clone()), chat(without), "{with_nulls}");
    }
}

/// OpenAI's description of its API, which lies beside the project.
fn document() -> Option<String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/openai-openapi/openapi.yaml");
    match std::fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "{}: {error}", path.display());
            println!("skipped: no description in {}", path.display());
            None
        }
    }
}

/// The names of a schema's properties and of those it is built upon, by the indentation of the document.
fn properties(document: &str, schema: &str) -> BTreeSet<String> {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let start = format!("    {schema}:");
    let block: Vec<&str> = document
        .lines()
        .skip_while(|line| *line != start)
        .skip(1)
        .take_while(|line| line.trim().is_empty() || indent(line) > 4)
        .collect();
    let mut names = BTreeSet::new();
    for base in block.iter().filter(|line| indent(line) <= 8) {
        if let Some(base) = base.trim().strip_prefix("- $ref: '#/components/schemas/") {
            names.extend(properties(document, base.trim_end_matches('\'')));
        }
    }
    let Some(at) = block.iter().position(|line| line.trim() == "properties:" && indent(line) <= 10) else {
        return names;
    };
    let depth = indent(block[at]);
    let own = block[at + 1..].iter().take_while(|line| line.trim().is_empty() || indent(line) > depth);
    names.extend(own.filter(|line| indent(line) == depth + 2).filter_map(|line| {
        let (name, _) = line.trim().split_once(':')?;
        Some(name.to_owned())
    }));
    names
}
