//! The families, and what tells them.
//!
//! To add one: its template as a file, a row here, and rows of `SIGNS`, the narrower ones first.

use super::{Family, Sign};

/// The text of a template: what its family shares, and what is its own.
macro_rules! template {
    ($file:literal) => {
        include_str!($file)
    };
    ($shared:literal, $file:literal) => {
        concat!(include_str!($shared), include_str!($file))
    };
}

pub(super) static FAMILIES: &[Family] = &[
    Family {
        name: "chatml",
        template: template!("chatml.jinja"),
        bos_token: None,
        eos_token: "<|im_end|>",
        tool_format: None,
        reasoning_format: None,
    },
    Family {
        name: "llama-2",
        template: template!("llama-2.jinja"),
        bos_token: Some("<s>"),
        eos_token: "</s>",
        tool_format: None,
        reasoning_format: None,
    },
    Family {
        name: "llama-3",
        template: template!("llama-3.jinja"),
        bos_token: Some("<|begin_of_text|>"),
        eos_token: "<|eot_id|>",
        tool_format: None,
        reasoning_format: None,
    },
    Family {
        name: "llama-3.1",
        template: template!("parts/llama-3.jinja", "llama-3.1.jinja"),
        bos_token: Some("<|begin_of_text|>"),
        eos_token: "<|eot_id|>",
        tool_format: Some("llama3_json"),
        reasoning_format: None,
    },
    Family {
        name: "llama-3.2",
        template: template!("parts/llama-3.jinja", "llama-3.2.jinja"),
        bos_token: Some("<|begin_of_text|>"),
        eos_token: "<|eot_id|>",
        tool_format: Some("llama3_json"),
        reasoning_format: None,
    },
    Family {
        name: "llama-4",
        template: template!("parts/llama-3.jinja", "llama-4.jinja"),
        bos_token: Some("<|begin_of_text|>"),
        eos_token: "<|eot|>",
        tool_format: Some("llama3_json"),
        reasoning_format: None,
    },
    Family {
        name: "mistral-v1",
        template: template!("mistral-v1.jinja"),
        bos_token: Some("<s>"),
        eos_token: "</s>",
        tool_format: None,
        reasoning_format: None,
    },
    Family {
        name: "mistral-v2",
        template: template!("parts/mistral.jinja", "mistral-v2.jinja"),
        bos_token: Some("<s>"),
        eos_token: "</s>",
        tool_format: Some("mistral"),
        reasoning_format: None,
    },
    Family {
        name: "mistral-v3",
        template: template!("parts/mistral.jinja", "mistral-v3.jinja"),
        bos_token: Some("<s>"),
        eos_token: "</s>",
        tool_format: Some("mistral"),
        reasoning_format: None,
    },
    Family {
        name: "mistral-v3-tekken",
        template: template!("parts/mistral.jinja", "mistral-v3-tekken.jinja"),
        bos_token: Some("<s>"),
        eos_token: "</s>",
        tool_format: Some("mistral"),
        reasoning_format: None,
    },
    Family {
        name: "mistral-v7",
        template: template!("mistral-v7.jinja"),
        bos_token: Some("<s>"),
        eos_token: "</s>",
        tool_format: None,
        reasoning_format: None,
    },
    Family {
        name: "mistral-v7-tekken",
        template: template!("parts/mistral.jinja", "mistral-v7-tekken.jinja"),
        bos_token: Some("<s>"),
        eos_token: "</s>",
        tool_format: Some("mistral"),
        reasoning_format: None,
    },
    Family {
        name: "mistral-v11",
        template: template!("parts/mistral.jinja", "mistral-v11.jinja"),
        bos_token: Some("<s>"),
        eos_token: "</s>",
        tool_format: Some("mistral"),
        reasoning_format: None,
    },
    Family {
        name: "mistral-v13",
        template: template!("parts/mistral.jinja", "mistral-v13.jinja"),
        bos_token: Some("<s>"),
        eos_token: "</s>",
        tool_format: Some("mistral"),
        reasoning_format: Some("mistral"),
    },
    Family {
        name: "qwen-1.5",
        template: template!("qwen-1.5.jinja"),
        bos_token: None,
        eos_token: "<|im_end|>",
        tool_format: None,
        reasoning_format: None,
    },
    Family {
        name: "qwen-2",
        template: template!("qwen-2.jinja"),
        bos_token: None,
        eos_token: "<|im_end|>",
        tool_format: None,
        reasoning_format: None,
    },
    Family {
        name: "qwen-2-vl",
        template: template!("qwen-2-vl.jinja"),
        bos_token: None,
        eos_token: "<|im_end|>",
        tool_format: None,
        reasoning_format: None,
    },
    Family {
        name: "qwen-2.5",
        template: template!("parts/qwen.jinja", "qwen-2.5.jinja"),
        bos_token: None,
        eos_token: "<|im_end|>",
        tool_format: Some("hermes"),
        reasoning_format: None,
    },
    Family {
        name: "qwq",
        template: template!("parts/qwen.jinja", "qwq.jinja"),
        bos_token: None,
        eos_token: "<|im_end|>",
        tool_format: Some("hermes"),
        reasoning_format: Some("qwen3"),
    },
    Family {
        name: "qwen-3",
        template: template!("parts/qwen.jinja", "qwen-3.jinja"),
        bos_token: None,
        eos_token: "<|im_end|>",
        tool_format: Some("hermes"),
        reasoning_format: Some("qwen3"),
    },
    Family {
        name: "qwen-3-instruct-2507",
        template: template!("parts/qwen.jinja", "qwen-3-instruct-2507.jinja"),
        bos_token: None,
        eos_token: "<|im_end|>",
        tool_format: Some("hermes"),
        reasoning_format: None,
    },
    Family {
        name: "qwen-3-thinking-2507",
        template: template!("parts/qwen.jinja", "qwen-3-thinking-2507.jinja"),
        bos_token: None,
        eos_token: "<|im_end|>",
        tool_format: Some("hermes"),
        reasoning_format: Some("qwen3"),
    },
    Family {
        name: "gemma-2",
        template: template!("gemma-2.jinja"),
        bos_token: Some("<bos>"),
        eos_token: "<eos>",
        tool_format: None,
        reasoning_format: None,
    },
    Family {
        name: "gemma-3",
        template: template!("gemma-3.jinja"),
        bos_token: Some("<bos>"),
        eos_token: "<eos>",
        tool_format: None,
        reasoning_format: None,
    },
    Family {
        name: "phi-3",
        template: template!("phi-3.jinja"),
        bos_token: None,
        eos_token: "<|endoftext|>",
        tool_format: None,
        reasoning_format: None,
    },
    Family {
        name: "phi-3.5",
        template: template!("phi-3.5.jinja"),
        bos_token: None,
        eos_token: "<|endoftext|>",
        tool_format: None,
        reasoning_format: None,
    },
    Family {
        name: "phi-4",
        template: template!("phi-4.jinja"),
        bos_token: None,
        eos_token: "<|im_end|>",
        tool_format: None,
        reasoning_format: None,
    },
    Family {
        name: "phi-4-mini",
        template: template!("phi-4-mini.jinja"),
        bos_token: None,
        eos_token: "<|endoftext|>",
        tool_format: Some("phi4_mini_json"),
        reasoning_format: None,
    },
    Family {
        name: "deepseek-llm",
        template: template!("deepseek-llm.jinja"),
        bos_token: Some("<｜begin▁of▁sentence｜>"),
        eos_token: "<｜end▁of▁sentence｜>",
        tool_format: None,
        reasoning_format: None,
    },
    Family {
        name: "deepseek-v2.5",
        template: template!("parts/deepseek.jinja", "deepseek-v2.5.jinja"),
        bos_token: Some("<｜begin▁of▁sentence｜>"),
        eos_token: "<｜end▁of▁sentence｜>",
        tool_format: None,
        reasoning_format: None,
    },
    Family {
        name: "deepseek-v3",
        template: template!("parts/deepseek.jinja", "deepseek-v3.jinja"),
        bos_token: Some("<｜begin▁of▁sentence｜>"),
        eos_token: "<｜end▁of▁sentence｜>",
        tool_format: Some("deepseek_v3"),
        reasoning_format: None,
    },
    Family {
        name: "deepseek-v3.1",
        template: template!("parts/deepseek.jinja", "deepseek-v3.1.jinja"),
        bos_token: Some("<｜begin▁of▁sentence｜>"),
        eos_token: "<｜end▁of▁sentence｜>",
        tool_format: Some("deepseek_v31"),
        reasoning_format: Some("deepseek_v3"),
    },
    Family {
        name: "deepseek-r1",
        template: template!("parts/deepseek.jinja", "deepseek-r1.jinja"),
        bos_token: Some("<｜begin▁of▁sentence｜>"),
        eos_token: "<｜end▁of▁sentence｜>",
        tool_format: Some("deepseek_v3"),
        reasoning_format: Some("deepseek_r1"),
    },
    Family {
        name: "deepseek-r1-distill",
        template: template!("parts/deepseek.jinja", "deepseek-r1-distill.jinja"),
        bos_token: Some("<｜begin▁of▁sentence｜>"),
        eos_token: "<｜end▁of▁sentence｜>",
        tool_format: None,
        reasoning_format: Some("deepseek_r1"),
    },
    Family {
        name: "gpt-oss",
        template: template!("gpt-oss.jinja"),
        bos_token: None,
        eos_token: "<|return|>",
        tool_format: Some("harmony"),
        reasoning_format: Some("harmony"),
    },
];

const SIGN: Sign = Sign { family: "", architectures: &[], tokens: &[], without: &[], nothing_else: false };

pub(super) static SIGNS: &[Sign] = &[
    // Marks that no other family has.
    Sign { family: "gpt-oss", tokens: &["<|start|>", "<|channel|>", "<|message|>"], ..SIGN },
    Sign { family: "gemma-3", tokens: &["<start_of_turn>", "<end_of_turn>", "<start_of_image>"], ..SIGN },
    Sign {
        family: "gemma-3",
        architectures: &["Gemma3nForConditionalGeneration", "Gemma3nForCausalLM", "gemma3n"],
        tokens: &["<start_of_turn>", "<end_of_turn>"],
        ..SIGN
    },
    Sign { family: "gemma-2", tokens: &["<start_of_turn>", "<end_of_turn>"], ..SIGN },
    Sign { family: "phi-4", tokens: &["<|im_start|>", "<|im_sep|>", "<|im_end|>"], ..SIGN },
    Sign { family: "llama-4", tokens: &["<|header_start|>", "<|header_end|>", "<|eot|>"], ..SIGN },
    // DeepSeek, before those whose vocabularies its distilled models have kept.
    Sign {
        family: "deepseek-v3.1",
        architectures: &["DeepseekV3ForCausalLM", "deepseek2"],
        tokens: &["<｜User｜>", "<｜Assistant｜>", "<think>", "<｜search▁begin｜>"],
        ..SIGN
    },
    Sign {
        family: "deepseek-r1",
        architectures: &["DeepseekV3ForCausalLM", "deepseek2"],
        tokens: &["<｜User｜>", "<｜Assistant｜>", "<think>"],
        ..SIGN
    },
    Sign {
        family: "deepseek-v3",
        architectures: &["DeepseekV3ForCausalLM"],
        tokens: &["<｜User｜>", "<｜Assistant｜>"],
        ..SIGN
    },
    Sign {
        family: "deepseek-v3",
        architectures: &["deepseek2"],
        tokens: &["<｜User｜>", "<｜Assistant｜>", "<｜place▁holder▁no▁#｜>"],
        ..SIGN
    },
    Sign {
        family: "deepseek-v2.5",
        architectures: &["DeepseekV2ForCausalLM", "deepseek2"],
        tokens: &["<｜User｜>", "<｜Assistant｜>", "<｜tool▁calls▁begin｜>"],
        ..SIGN
    },
    Sign {
        family: "deepseek-r1-distill",
        architectures: &["LlamaForCausalLM", "Qwen2ForCausalLM", "llama", "qwen2"],
        tokens: &["<｜User｜>", "<｜Assistant｜>", "<think>"],
        ..SIGN
    },
    Sign {
        family: "deepseek-llm",
        architectures: &["LlamaForCausalLM", "llama"],
        tokens: &["<｜begin▁of▁sentence｜>"],
        without: &["<｜User｜>", "<|EOT|>"],
        ..SIGN
    },
    // Qwen, before what else speaks ChatML.
    Sign {
        family: "qwen-3",
        architectures: &["Qwen3ForCausalLM", "Qwen3MoeForCausalLM", "qwen3", "qwen3moe"],
        tokens: &["<|im_start|>", "<|im_end|>"],
        ..SIGN
    },
    Sign {
        family: "qwen-2-vl",
        architectures: &["Qwen2VLForConditionalGeneration", "Qwen2_5_VLForConditionalGeneration", "qwen2vl"],
        tokens: &["<|im_start|>", "<|im_end|>"],
        ..SIGN
    },
    Sign {
        family: "qwq",
        architectures: &["Qwen2ForCausalLM", "qwen2"],
        tokens: &["<|im_start|>", "<|im_end|>", "<think>"],
        ..SIGN
    },
    Sign {
        family: "qwen-2.5",
        architectures: &["Qwen2ForCausalLM", "Qwen2MoeForCausalLM", "qwen2", "qwen2moe"],
        tokens: &["<|im_start|>", "<|im_end|>", "<tool_call>"],
        ..SIGN
    },
    Sign {
        family: "qwen-2",
        architectures: &["Qwen2ForCausalLM", "Qwen2MoeForCausalLM", "qwen2", "qwen2moe"],
        tokens: &["<|im_start|>", "<|im_end|>"],
        ..SIGN
    },
    // Whatever it is built as: Hermes is a Llama, and keeps the tokens of Llama 3.
    Sign { family: "chatml", tokens: &["<|im_start|>", "<|im_end|>"], ..SIGN },
    Sign {
        family: "llama-3.2",
        architectures: &["MllamaForConditionalGeneration", "mllama"],
        tokens: &["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
        ..SIGN
    },
    Sign {
        family: "llama-3.1",
        tokens: &["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|python_tag|>"],
        ..SIGN
    },
    Sign { family: "llama-3", tokens: &["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"], ..SIGN },
    // Mistral, the newest version first: each has the marks of those before.
    Sign { family: "mistral-v13", tokens: &["[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[ARGS]", "[THINK]"], ..SIGN },
    Sign { family: "mistral-v11", tokens: &["[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[ARGS]", "[CALL_ID]"], ..SIGN },
    Sign { family: "mistral-v7-tekken", tokens: &["[INST]", "[/INST]", "[SYSTEM_PROMPT]", "<SPECIAL_#>"], ..SIGN },
    Sign { family: "mistral-v7", tokens: &["[INST]", "[/INST]", "[SYSTEM_PROMPT]"], ..SIGN },
    Sign { family: "mistral-v3-tekken", tokens: &["[INST]", "[/INST]", "[TOOL_CALLS]", "<SPECIAL_#>"], ..SIGN },
    Sign { family: "mistral-v3", tokens: &["[INST]", "[/INST]", "[TOOL_CALLS]"], ..SIGN },
    // Phi writes its marks in words that others use, too.
    Sign {
        family: "phi-4-mini",
        architectures: &["Phi3ForCausalLM", "Phi4MMForCausalLM", "phi3"],
        tokens: &["<|user|>", "<|assistant|>", "<|end|>", "<|tool|>"],
        ..SIGN
    },
    Sign {
        family: "phi-3.5",
        architectures: &["PhiMoEForCausalLM", "PhimoeForCausalLM", "phimoe"],
        tokens: &["<|user|>", "<|assistant|>", "<|end|>"],
        ..SIGN
    },
    Sign {
        family: "phi-3",
        architectures: &["Phi3ForCausalLM", "Phi3VForCausalLM", "phi3"],
        tokens: &["<|user|>", "<|assistant|>", "<|end|>"],
        ..SIGN
    },
    // No marks at all, so that the architecture must say it; the `llama` of a GGUF is both of them and many more.
    Sign {
        family: "mistral-v1",
        architectures: &["MistralForCausalLM", "MixtralForCausalLM"],
        tokens: &["<s>", "</s>"],
        nothing_else: true,
        ..SIGN
    },
    Sign {
        family: "llama-2",
        architectures: &["LlamaForCausalLM"],
        tokens: &["<s>", "</s>"],
        nothing_else: true,
        ..SIGN
    },
];
