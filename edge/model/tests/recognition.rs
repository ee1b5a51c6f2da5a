//! Which family is recognised by what a model's configuration says, look-alikes above all.

use cloudach_model::template::families::{Traits, recognise};

/// What a model is built as, its marks, and its family.
type Row = (&'static str, &'static [&'static str], Option<&'static str>);

const LLAMA_3: &[&str] =
    &["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"];
const LLAMA_3_1: &[&str] =
    &["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>", "<|eot_id|>", "<|python_tag|>"];
const HERMES_3: &[&str] =
    &["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|python_tag|>", "<|im_start|>", "<|im_end|>"];
const LLAMA_4: &[&str] =
    &["<|begin_of_text|>", "<|header_start|>", "<|header_end|>", "<|eom|>", "<|eot|>", "<|python_start|>"];
const BARE: &[&str] = &["<unk>", "<s>", "</s>"];
const MISTRAL_3: &[&str] =
    &["<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[TOOL_CALLS]", "[AVAILABLE_TOOLS]", "[control_#]"];
const NEMO: &[&str] = &["<s>", "</s>", "[INST]", "[/INST]", "[TOOL_CALLS]", "[AVAILABLE_TOOLS]", "<SPECIAL_#>"];
const MISTRAL_7: &[&str] = &["<s>", "</s>", "[INST]", "[/INST]", "[TOOL_CALLS]", "[SYSTEM_PROMPT]", "[control_#]"];
const SMALL_3: &[&str] = &["<s>", "</s>", "[INST]", "[/INST]", "[TOOL_CALLS]", "[SYSTEM_PROMPT]", "<SPECIAL_#>"];
const MISTRAL_11: &[&str] =
    &["<s>", "</s>", "[INST]", "[/INST]", "[TOOL_CALLS]", "[SYSTEM_PROMPT]", "[ARGS]", "[CALL_ID]", "<SPECIAL_#>"];
const MISTRAL_13: &[&str] =
    &["<s>", "[INST]", "[/INST]", "[TOOL_CALLS]", "[SYSTEM_PROMPT]", "[ARGS]", "[CALL_ID]", "[THINK]", "<SPECIAL_#>"];
const CHATML: &[&str] = &["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
const QWEN_2_5: &[&str] = &["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_call>"];
const QWEN_3: &[&str] = &["<|im_start|>", "<|im_end|>", "<tool_call>", "<tool_response>", "<think>", "</think>"];
const GEMMA: &[&str] = &["<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>", "<unused#>"];
const GEMMA_3: &[&str] = &["<bos>", "<start_of_turn>", "<end_of_turn>", "<start_of_image>", "<unused#>"];
const PHI_3: &[&str] = &["<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "<|placeholder#|>"];
const PHI_4: &[&str] = &["<|endoftext|>", "<|im_start|>", "<|im_sep|>", "<|im_end|>", "<|dummy_#|>"];
const PHI_4_MINI: &[&str] = &["<|endoftext|>", "<|user|>", "<|assistant|>", "<|end|>", "<|tool|>", "<|tool_call|>"];
const DEEPSEEK_1: &[&str] = &["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"];
const DEEPSEEK_CODER: &[&str] = &["<｜begin▁of▁sentence｜>", "<｜fim▁hole｜>", "<|EOT|>"];
const DEEPSEEK_2_5: &[&str] =
    &["<｜begin▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>", "<|EOT|>", "<｜tool▁calls▁begin｜>"];
const DEEPSEEK_3: &[&str] =
    &["<｜begin▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>", "<｜tool▁calls▁begin｜>", "<｜place▁holder▁no▁#｜>"];
const DEEPSEEK_3_1: &[&str] = &[
    "<｜begin▁of▁sentence｜>",
    "<｜User｜>",
    "<｜Assistant｜>",
    "<think>",
    "<｜search▁begin｜>",
    "<｜place▁holder▁no▁#｜>",
];
const R1: &[&str] = &["<｜begin▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>", "<think>", "<｜place▁holder▁no▁#｜>"];
const R1_LLAMA: &[&str] = &[
    "<｜begin▁of▁sentence｜>",
    "<｜User｜>",
    "<｜Assistant｜>",
    "<think>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
];
const R1_QWEN: &[&str] =
    &["<｜begin▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>", "<think>", "<|im_start|>", "<|im_end|>"];
const HARMONY: &[&str] = &["<|startoftext|>", "<|return|>", "<|start|>", "<|channel|>", "<|message|>", "<|call|>"];

const ROWS: &[Row] = &[
    ("LlamaForCausalLM", BARE, Some("llama-2")),
    ("LlamaForCausalLM", LLAMA_3, Some("llama-3")),
    ("LlamaForCausalLM", LLAMA_3_1, Some("llama-3.1")),
    ("llama", LLAMA_3_1, Some("llama-3.1")),
    ("MllamaForConditionalGeneration", LLAMA_3_1, Some("llama-3.2")),
    ("Llama4ForConditionalGeneration", LLAMA_4, Some("llama-4")),
    ("llama4", LLAMA_4, Some("llama-4")),
    ("MistralForCausalLM", BARE, Some("mistral-v1")),
    ("MixtralForCausalLM", BARE, Some("mistral-v1")),
    ("MistralForCausalLM", MISTRAL_3, Some("mistral-v3")),
    ("MistralForCausalLM", NEMO, Some("mistral-v3-tekken")),
    ("MistralForCausalLM", MISTRAL_7, Some("mistral-v7")),
    ("Mistral3ForConditionalGeneration", SMALL_3, Some("mistral-v7-tekken")),
    ("MistralForCausalLM", MISTRAL_11, Some("mistral-v11")),
    ("", MISTRAL_13, Some("mistral-v13")),
    ("Qwen2ForCausalLM", CHATML, Some("qwen-2")),
    ("Qwen2ForCausalLM", QWEN_2_5, Some("qwen-2.5")),
    ("qwen2", QWEN_2_5, Some("qwen-2.5")),
    ("Qwen2_5_VLForConditionalGeneration", QWEN_2_5, Some("qwen-2-vl")),
    ("Qwen2ForCausalLM", QWEN_3, Some("qwq")),
    ("Qwen3ForCausalLM", QWEN_3, Some("qwen-3")),
    ("Qwen3MoeForCausalLM", QWEN_3, Some("qwen-3")),
    ("qwen3moe", QWEN_3, Some("qwen-3")),
    ("GemmaForCausalLM", GEMMA, Some("gemma-2")),
    ("Gemma2ForCausalLM", GEMMA, Some("gemma-2")),
    ("Gemma3ForCausalLM", GEMMA_3, Some("gemma-3")),
    ("gemma3", GEMMA_3, Some("gemma-3")),
    ("gemma3n", GEMMA, Some("gemma-3")),
    ("Phi3ForCausalLM", PHI_3, Some("phi-3")),
    ("PhiMoEForCausalLM", PHI_3, Some("phi-3.5")),
    ("Phi3ForCausalLM", PHI_4, Some("phi-4")),
    ("Phi3ForCausalLM", PHI_4_MINI, Some("phi-4-mini")),
    ("phi3", PHI_4_MINI, Some("phi-4-mini")),
    ("LlamaForCausalLM", DEEPSEEK_1, Some("deepseek-llm")),
    ("DeepseekV2ForCausalLM", DEEPSEEK_2_5, Some("deepseek-v2.5")),
    ("DeepseekV3ForCausalLM", DEEPSEEK_3, Some("deepseek-v3")),
    ("deepseek2", DEEPSEEK_2_5, Some("deepseek-v2.5")),
    ("deepseek2", DEEPSEEK_3, Some("deepseek-v3")),
    ("deepseek2", R1, Some("deepseek-r1")),
    ("DeepseekV3ForCausalLM", R1, Some("deepseek-r1")),
    ("DeepseekV3ForCausalLM", DEEPSEEK_3_1, Some("deepseek-v3.1")),
    ("GptOssForCausalLM", HARMONY, Some("gpt-oss")),
    ("gpt-oss", HARMONY, Some("gpt-oss")),
    // Look-alikes: marks go before what a model is built as.
    ("LlamaForCausalLM", HERMES_3, Some("chatml")),
    ("LlamaForCausalLM", CHATML, Some("chatml")),
    ("MistralForCausalLM", &["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"], Some("chatml")),
    ("MistralForCausalLM", LLAMA_3, Some("llama-3")),
    ("Qwen2ForCausalLM", LLAMA_3_1, Some("llama-3.1")),
    ("GemmaForCausalLM", &["<bos>", "<|im_start|>", "<|im_end|>"], Some("chatml")),
    ("Qwen2ForCausalLM", PHI_4, Some("phi-4")),
    ("LlamaForCausalLM", R1_LLAMA, Some("deepseek-r1-distill")),
    ("Qwen2ForCausalLM", R1_QWEN, Some("deepseek-r1-distill")),
    ("qwen2", R1_QWEN, Some("deepseek-r1-distill")),
    // Without an architecture, marks that are a family's own are enough;
    ("", LLAMA_3_1, Some("llama-3.1")),
    ("", HARMONY, Some("gpt-oss")),
    ("", GEMMA_3, Some("gemma-3")),
    ("", NEMO, Some("mistral-v3-tekken")),
    ("", CHATML, Some("chatml")),
    // those that several share are not.
    ("", PHI_3, None),
    ("", BARE, None),
    ("", R1, None),
    // Nor is an architecture without marks, unless it says by itself whose it is.
    ("llama", BARE, None),
    ("LlamaForCausalLM", &[], None),
    ("Qwen2ForCausalLM", &["<|endoftext|>"], None),
    // More marks, another format: OpenChat is a Mistral, DeepSeek's coder a Llama.
    ("MistralForCausalLM", &["<unk>", "<s>", "</s>", "<|end_of_turn|>"], None),
    ("LlamaForCausalLM", DEEPSEEK_CODER, None),
    ("Glm4ForCausalLM", &["[gMASK]", "<|system|>", "<|user|>", "<|assistant|>"], None),
    // Versions that speak in another way than those before.
    ("DeepseekV32ForCausalLM", DEEPSEEK_3_1, None),
    ("Qwen3ForCausalLM", R1, None),
    ("FalconForCausalLM", &["<|endoftext|>", ">>TITLE<<"], None),
    ("", &[], None),
];

#[test]
fn families_are_recognised_by_configuration() {
    for (architecture, tokens, expected) in ROWS {
        let traits = Traits { architecture: Some(*architecture).filter(|name| !name.is_empty()), tokens };
        let family = recognise(&traits).map(|recognised| recognised.family.name);
        assert_eq!(family, *expected, "{architecture} with {tokens:?}");
    }
}

#[test]
fn the_order_of_tokens_does_not_matter() {
    for (architecture, tokens, expected) in ROWS {
        let mut tokens = tokens.to_vec();
        tokens.reverse();
        let traits = Traits { architecture: Some(architecture), tokens: &tokens };
        assert_eq!(recognise(&traits).map(|recognised| recognised.family.name), *expected, "{architecture}");
    }
}

#[test]
fn what_it_was_recognised_by_can_be_read() {
    let by = |architecture, tokens| {
        let traits = Traits { architecture: Some(architecture), tokens };
        recognise(&traits).map(|recognised| recognised.to_string())
    };
    assert_eq!(by("phi3", PHI_3).as_deref(), Some("phi3 with <|user|> <|assistant|> <|end|>"));
    assert_eq!(by("anything", PHI_4).as_deref(), Some("<|im_start|> <|im_sep|> <|im_end|>"));
}
