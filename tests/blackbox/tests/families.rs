//! A model that ships no chat template is prompted by its family's, which its configuration shows, and one whose family
//! is not known is refused clearly; the catalogue goes before both. A template that is broken fails its model.

#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

use std::{fs, path::Path};

use cloudach_blackbox::{Fleet, Plan, Replica, Shared, chat, completion, error_of, with};
use cloudach_fake_engine::Script;
use serde_json::{Value, json};
use tempfile::TempDir;

const CHAT: &str = "/v1/chat/completions";
const COMPLETIONS: &str = "/v1/completions";

/// Which model each engine has, in the order of the replicas.
const MODELS: [&str; 7] = ["by-files", "by-marks", "by-gguf", "unknown", "by-catalogue", "templated", "broken"];

static FLEET: Shared = Shared::new(|| {
    let folder = TempDir::with_prefix("cloudach-models-").unwrap().keep();
    let marks = |marks: &[&str]| marks.iter().map(|mark| (*mark).to_owned()).collect::<Vec<_>>();
    let [files, own, gguf] = [folder.join("files"), folder.join("own"), folder.join("model.gguf")];
    write_model(&files, "Qwen2ForCausalLM", &["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tool_call>"]);
    write_model(&own, "Qwen2ForCausalLM", &["<|im_start|>", "<|im_end|>"]);
    fs::write(own.join("chat_template.jinja"), "OWN {{ messages[0].content }}").unwrap();
    fs::write(&gguf, gguf_of("phi3")).unwrap();
    let root = |path: &Path| Some(path.display().to_string());
    // What llama.cpp tells of a model without a template.
    let stopgap = Script::default().chat_template;
    let scripts = [
        Script { root: root(&files), ..Script::vllm() },
        Script { special_tokens: marks(&["<s>", "</s>", "[INST]", "[/INST]", "[TOOL_CALLS]"]), ..Script::vllm() },
        Script {
            root: root(&gguf),
            special_tokens: marks(&["<|user|>", "<|assistant|>", "<|end|>"]),
            chat_template: stopgap,
            ..Script::llama_cpp()
        },
        Script { special_tokens: marks(&["<s>", "<|strange|>"]), ..Script::vllm() },
        Script { root: root(&own), ..Script::vllm() },
        Script { root: root(&own), ..Script::vllm() },
        Script { root: root(&own), ..Script::vllm() },
    ];
    Fleet::start(Plan {
        replicas: MODELS.into_iter().zip(scripts).map(|(model, script)| Replica::of(model, script)).collect(),
        models: json!({
            "by-catalogue": { "template_family": "gemma-2" },
            "broken": { "chat_template": "{{ bos_token }}\n{% for message in messages %}\n{% endfo %}" },
        }),
        sidecar: json!({ "engine": { "chat_template_file": null } }),
        ..Plan::default()
    })
});

/// A model's folder without a chat template.
fn write_model(folder: &Path, architecture: &str, tokens: &[&str]) {
    fs::create_dir(folder).unwrap();
    let config = json!({ "architectures": [architecture], "vocab_size": 200_000 });
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let added: Vec<Value> = tokens.iter().map(|token| json!({ "content": token, "special": true })).collect();
    fs::write(folder.join("tokenizer.json"), json!({ "added_tokens": added }).to_string()).unwrap();
}

/// The beginning of a GGUF of this architecture.
fn gguf_of(architecture: &str) -> Vec<u8> {
    let text = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    let head = [b"GGUF".as_slice(), &3_u32.to_le_bytes(), &0_u64.to_le_bytes(), &1_u64.to_le_bytes()].concat();
    [head, text("general.architecture"), 8_u32.to_le_bytes().to_vec(), text(architecture)].concat()
}

fn of(model: &str, request: Value) -> Value {
    with(request, json!({ "model": model, "max_tokens": 3 }))
}

/// The prompt that the model's engine got for a chat that says `said`.
fn prompt(fleet: &Fleet, model: &str, said: &str) -> Value {
    let answer = fleet.client().post(CHAT, &of(model, chat(said)));
    assert_eq!(answer.head.status, 200, "{model}: {}", answer.text());
    let engine = &fleet.engines[MODELS.iter().position(|name| *name == model).unwrap()];
    engine.requests().last().unwrap()["prompt"].clone()
}

/// What the edge's log says of the model's template.
fn told(fleet: &Fleet, model: &str, key: &str) -> String {
    let log = fleet.edges[0].log();
    let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let line = lines.rfind(|line| line["model"] == model && line["template"].is_string());
    line.unwrap_or_else(|| panic!("nothing of {model} in\n{log}"))[key].as_str().unwrap().to_owned()
}

#[test]
fn a_model_without_a_template_gets_its_familys() {
    let fleet = FLEET.visit();
    let system = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.";
    let qwen =
        format!("<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n");
    assert_eq!(prompt(&fleet, "by-files", "hi"), json!(qwen));
    assert_eq!(told(&fleet, "by-files", "tools"), "hermes");
    let why = told(&fleet, "by-files", "template");
    assert_eq!(why, "family qwen-2.5, by Qwen2ForCausalLM with <|im_start|> <|im_end|> <tool_call>");
    assert_eq!(prompt(&fleet, "by-marks", "hi"), json!("<s>[INST] hi[/INST]"));
    assert_eq!(told(&fleet, "by-marks", "template"), "family mistral-v3, by [INST] [/INST] [TOOL_CALLS]");
}

/// For such a model llama.cpp tells of ChatML, for which the model has no tokens.
#[test]
fn a_gguf_without_a_template_gets_its_familys() {
    let fleet = FLEET.visit();
    assert!(prompt(&fleet, "by-gguf", "hi").is_array(), "llama.cpp gets ids");
    assert_eq!(told(&fleet, "by-gguf", "template"), "family phi-3, by phi3 with <|user|> <|assistant|> <|end|>");
}

#[test]
fn a_model_of_no_known_family_completes_and_does_not_chat() {
    let fleet = FLEET.visit();
    for stream in [false, true] {
        let request = with(of("unknown", chat("hi")), json!({ "stream": stream }));
        let answer = fleet.client().post(CHAT, &request);
        assert_eq!(answer.head.status, 404);
        let error = error_of(&answer);
        assert!(error["message"].as_str().unwrap().starts_with("This is not a chat model"), "{error}");
    }
    assert_eq!(fleet.client().post(COMPLETIONS, &of("unknown", completion("go on"))).head.status, 200);
    let why = told(&fleet, "unknown", "template");
    assert!(why.starts_with("none: ") && why.contains("architecture unknown with <s>"), "{why}");
}

#[test]
fn the_catalogue_goes_before_the_model_and_the_model_before_its_family() {
    let fleet = FLEET.visit();
    let gemma = "<bos><start_of_turn>user\nhi<end_of_turn>\n<start_of_turn>model\n";
    assert_eq!(prompt(&fleet, "by-catalogue", "hi"), json!(gemma));
    assert_eq!(told(&fleet, "by-catalogue", "template"), "family gemma-2, by the catalogue");
    assert_eq!(prompt(&fleet, "templated", "hi"), json!("OWN hi"));
    assert_eq!(told(&fleet, "templated", "template"), "the model's own");
}

/// The model is not ready, with the line that is wrong; all others are.
#[test]
fn a_broken_template_fails_its_model() {
    let fleet = FLEET.visit();
    for (path, request) in [(CHAT, chat("hi")), (COMPLETIONS, completion("hi"))] {
        let answer = fleet.client().post(path, &of("broken", request));
        assert_eq!(answer.head.status, 503);
        assert_eq!(answer.head.get("x-should-retry"), Some("false"));
        let error = error_of(&answer);
        let message = error["message"].as_str().unwrap();
        assert!(message.starts_with("This model is not ready: ") && message.contains("line 3"), "{message}");
    }
    assert!(told(&fleet, "broken", "error").contains("line 3"));
    assert_eq!(told(&fleet, "broken", "template"), "the catalogue's");
    assert!(fleet.edges[0].is_ready());
}
