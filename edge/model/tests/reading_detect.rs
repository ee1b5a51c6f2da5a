//! Which formats are found in chat templates: small ones of each kind, and the real ones beside the project.

use std::fs;
use std::path::Path;

use cloudach_model::reading::detect;
use serde_json::Value;

/// A template, tokens, an architecture; the formats of calls and of reasoning.
type Sign = (&'static str, &'static [&'static str], Option<&'static str>, Option<&'static str>, Option<&'static str>);

const SIGNS: &[Sign] = &[
    ("{{ messages[0].content }}", &[], None, None, None),
    ("{% if tools %}<tool_call>{% endif %}", &[], None, Some("hermes"), None),
    ("{% if tools %}<tool_call>{% endif %}", &[], Some("Ernie4_5_MoeForCausalLM"), Some("ernie45"), None),
    ("{% if tools %}<tool_call>{% endif %}", &[], Some("GraniteMoeHybridForCausalLM"), Some("granite4"), None),
    ("{% if tools %}<tool_call>{% endif %}", &[], Some("granitehybrid"), Some("granite4"), None),
    ("{% if tools %}<tool_call>{% endif %}", &["<tool_call>"], Some("Qwen2ForCausalLM"), Some("hermes"), None),
    ("<|im_start|><think></think><tool_call>", &[], None, Some("hermes"), Some("qwen3")),
    ("<tool_call><function=f><parameter=p>", &[], None, Some("qwen3_coder"), None),
    ("{% if tools %}{{ tools }}{% endif %}", &["<|tool_call_start|>"], None, Some("lfm2"), None),
    ("{% if tools %}{{ tools }}{% endif %}", &[], None, Some("json"), None),
    ("<|start|>assistant<|channel|>final<|message|>", &[], None, Some("harmony"), Some("harmony")),
    // Where all markers are put together by macros.
    ("{{ '<|open|>' + tag }}{{ '<|sep|>' }}{{ '<|close|>' + tag }}", &[], None, Some("kimi_k3"), Some("kimi_k3")),
    ("{{ '<|plamo:begin_tool_requests:plamo|>' }}", &[], None, Some("plamo3"), None),
    ("<ifm|think_fast><ifm|tool_call>", &[], None, Some("k2_horizon"), Some("k2_horizon")),
    ("{%- set ns = ']<]minimax[>[' -%}<mm:think>", &[], None, Some("minimax_m3"), Some("minimax_m3")),
    ("<dots_function_call>", &[], None, Some("dots"), None),
    ("<think>", &[], None, None, None),
    ("{{ '<think>' + r + '</think>' }}", &[], None, None, Some("deepseek_v3")),
];

#[test]
fn signs() {
    for (template, tokens, architecture, tool, reasoning) in SIGNS {
        let (found_tool, found_reasoning) = detect(template, tokens, *architecture);
        assert_eq!(found_tool.map(|format| format.name()), *tool, "{template}");
        assert_eq!(found_reasoning.map(|format| format.name()), *reasoning, "{template}");
    }
}

/// What the owners of these models, or vLLM's documentation, say of them.
const KNOWN: &[(&str, &str, &str)] = &[
    ("deepseek-r1", "deepseek_v3", "deepseek_r1"),
    ("deepseek-r1-distill-llama", "deepseek_v3", "deepseek_r1"),
    ("deepseek-v3-0324", "deepseek_v3", ""),
    ("glm-4.5", "glm45", "glm45"),
    ("glm-4.6", "glm45", "glm45"),
    ("gpt-oss-120b", "harmony", "harmony"),
    ("granite-3.1-moe", "granite", ""),
    ("granite-3.2", "granite", "granite"),
    ("hammer2.1", "xlam", ""),
    ("hermes-3-llama-3.1-tool-use", "hermes", ""),
    ("jamba-large-1.6", "jamba", ""),
    ("kimi-k2-instruct", "kimi_k2", ""),
    ("kimi-k2-thinking", "kimi_k2", "kimi_k2"),
    ("lfm2.5-8b-a1b", "lfm2", "deepseek_v3"),
    ("llama-2-7b-chat", "", ""),
    ("llama-3.1-8b-instruct", "llama3_json", ""),
    ("llama-3.2-3b-instruct", "llama3_json", ""),
    ("llama-guard-3", "", ""),
    ("minimax-m2", "minimax_m2", "minimax_m2"),
    ("mistral-7b-instruct-v0.3", "mistral", ""),
    ("mistral-small-3.1", "mistral", ""),
    ("nemotron-nano-v2", "nemotron_json", "nemotron_v3"),
    ("qwen2.5-7b-instruct", "hermes", ""),
    ("qwen3", "hermes", "qwen3"),
    ("qwen3-coder", "qwen3_coder", ""),
    ("qwen3-instruct-2507", "hermes", ""),
    ("qwen3-thinking-2507", "hermes", "qwen3"),
    ("qwq-32b", "hermes", "qwen3"),
    ("seed-oss-36b", "seed_oss", "seed_oss"),
    ("vllm-gemma3-pythonic", "pythonic", ""),
    ("vllm-internlm2-tool", "internlm", ""),
    ("vllm-llama3.1-json", "llama3_json", ""),
    ("vllm-mistral-parallel", "mistral", ""),
    ("vllm-olmo3", "olmo3", ""),
    ("vllm-toolace", "pythonic", ""),
    ("vllm-xlam-llama", "xlam", ""),
    ("zephyr-7b-beta", "", ""),
];

#[test]
fn real_templates() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/chat-templates");
    if !folder.is_dir() {
        assert!(std::env::var_os("CI").is_none(), "the templates are missing: {}", folder.display());
        println!("skipped: there are no templates in {}", folder.display());
        return;
    }
    let mut names: Vec<String> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    let mut wrong = Vec::new();
    for name in names {
        let template = fs::read_to_string(folder.join(&name).join("template.jinja")).unwrap();
        let meta: Value =
            serde_json::from_str(&fs::read_to_string(folder.join(&name).join("meta.json")).unwrap()).unwrap();
        let (tool, reasoning) = detect(&template, &[], None);
        let tool = tool.map_or("", |format| format.name());
        let reasoning = reasoning.map_or("", |format| format.name());
        println!("{name:32} {:18} {tool:16} {reasoning}", meta["family"].as_str().unwrap_or_default());
        if let Some(known) = KNOWN.iter().find(|known| known.0 == name)
            && (known.1, known.2) != (tool, reasoning)
        {
            wrong.push(format!("{name}: {tool} {reasoning}, and not {} {}", known.1, known.2));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
