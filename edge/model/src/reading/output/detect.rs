//! Which formats a model speaks, by what its chat template writes, what its vocabulary has and what it is built as;
//! never by its name.

use super::format::{ReasoningFormat, ToolFormat};

/// A sign of a format. The first that is met decides.
struct Sign {
    /// All of these stand in the template.
    template: &'static [&'static str],
    /// None of these does.
    without: &'static [&'static str],
    /// Or this is a token of the vocabulary, where the template need not show it.
    token: Option<&'static str>,
    /// The model is built as one of these; the beginnings of their names, in configurations and in GGUFs.
    architectures: &'static [&'static str],
    format: &'static str,
}

const SIGN: Sign = Sign { template: &[], without: &[], token: None, architectures: &[], format: "" };

static TOOLS: &[Sign] = &[
    Sign { template: &["<|channel|>", "<|message|>"], format: "harmony", ..SIGN },
    Sign { template: &["｜DSML｜", "function_calls"], format: "deepseek_v32", ..SIGN },
    Sign { template: &["｜DSML｜"], format: "deepseek_v4", ..SIGN },
    Sign { template: &["<｜tool▁calls▁begin｜>", "```json"], format: "deepseek_v3", ..SIGN },
    Sign { template: &["<｜tool▁calls▁begin｜>"], format: "deepseek_v31", ..SIGN },
    Sign { template: &["<|tool_call_argument_begin|>"], format: "kimi_k2", ..SIGN },
    Sign { template: &["<|open|>", "<|close|>", "<|sep|>"], format: "kimi_k3", ..SIGN },
    Sign { template: &["]<]minimax[>["], format: "minimax_m3", ..SIGN },
    Sign { template: &["plamo:begin_tool_request"], format: "plamo3", ..SIGN },
    Sign { template: &["<ifm|tool_call>"], format: "k2_horizon", ..SIGN },
    Sign { template: &["<dots_function_call>"], format: "dots", ..SIGN },
    Sign { template: &["<seed:tool_call>"], format: "seed_oss", ..SIGN },
    Sign { template: &["<tool_call>", "<function=", "<parameter="], format: "qwen3_coder", ..SIGN },
    Sign { template: &["<arg_key>"], format: "glm45", ..SIGN },
    Sign { template: &["<minimax:tool_call>"], format: "minimax_m2", ..SIGN },
    // The markers may be put together from a variable.
    Sign { template: &["minimax:tool_call"], format: "minimax_m2", ..SIGN },
    Sign { template: &["<steptml:invoke"], format: "step3", ..SIGN },
    Sign { template: &["[TOOL_CALLS]"], format: "mistral", ..SIGN },
    Sign { template: &["<|tools_prefix|>"], format: "apertus", ..SIGN },
    Sign { template: &["<longcat_tool_call>"], format: "longcat", ..SIGN },
    Sign { template: &["<|function_call|>"], format: "gigachat3", ..SIGN },
    Sign {
        template: &["<|tool_call_start|>"],
        without: &["```python"],
        token: Some("<|tool_call_start|>"),
        format: "lfm2",
        ..SIGN
    },
    Sign { template: &["<|tool_call>"], format: "gemma4", ..SIGN },
    Sign { template: &["<start_function_call>"], format: "functiongemma", ..SIGN },
    Sign { template: &["<|START_ACTION|>"], format: "cohere_command3", ..SIGN },
    Sign { template: &["<|plugin|>"], format: "internlm", ..SIGN },
    Sign { template: &["<function_call>"], format: "granite-20b-fc", ..SIGN },
    Sign { template: &["<|tool_call|>"], format: "granite", ..SIGN },
    Sign { template: &["<function_calls>"], format: "olmo3", ..SIGN },
    Sign { template: &["<TOOLCALL>"], format: "nemotron_json", ..SIGN },
    Sign { template: &["<tool_calls>"], format: "jamba", ..SIGN },
    Sign { template: &["<tool_call>"], architectures: &["Ernie4_5", "ernie4_5"], format: "ernie45", ..SIGN },
    Sign {
        template: &["<tool_call>"],
        architectures: &["GraniteMoeHybrid", "granitehybrid"],
        format: "granite4",
        ..SIGN
    },
    Sign { template: &["<tool_call>"], format: "hermes", ..SIGN },
    Sign { template: &["functools"], format: "phi4_mini_json", ..SIGN },
    Sign { template: &["<|tool|>", "<|/tool|>"], format: "phi4_mini_json", ..SIGN },
    Sign { template: &["<|python_start|>"], format: "llama4_pythonic", ..SIGN },
    Sign { template: &["[func_name1(params_name1="], format: "pythonic", ..SIGN },
    Sign { template: &["ipython", "\"parameters\": dictionary of argument name"], format: "llama3_json", ..SIGN },
    Sign { template: &["ipython", "'\"parameters\": '"], format: "llama3_json", ..SIGN },
    Sign { template: &["[{\"name\": \"", "\"arguments\": {"], format: "xlam", ..SIGN },
    Sign { template: &["{\"name\": \"func_name1\", \"arguments\":"], format: "xlam", ..SIGN },
    // Tools are shown, and calls are written in a way that is not known: many models then write JSON.
    Sign { template: &["if tools"], format: "json", ..SIGN },
];

static REASONING: &[Sign] = &[
    Sign { template: &["<|channel|>", "<|message|>"], format: "harmony", ..SIGN },
    Sign { template: &["<|open|>", "<|close|>", "<|sep|>"], format: "kimi_k3", ..SIGN },
    Sign { template: &["mm:think>"], format: "minimax_m3", ..SIGN },
    Sign { template: &["plamo:begin_think"], format: "plamo3", ..SIGN },
    Sign { template: &["ifm|think"], format: "k2_horizon", ..SIGN },
    Sign { template: &["<seed:think>"], format: "seed_oss", ..SIGN },
    // The markers may be put together from a variable.
    Sign { template: &["seed:think"], format: "seed_oss", ..SIGN },
    Sign { template: &["[THINK]"], format: "mistral", ..SIGN },
    Sign { template: &["<|START_THINKING|>"], format: "cohere_command3", ..SIGN },
    Sign { template: &["<|channel>"], format: "gemma4", ..SIGN },
    Sign { template: &["Here is my thought process:"], format: "granite", ..SIGN },
    Sign { template: &["<think></think>", "<response></response>"], format: "granite", ..SIGN },
    Sign { template: &["<think>", "<answer>"], format: "hunyuan_a13b", ..SIGN },
    Sign { template: &["</think>", "minimax:tool_call"], format: "minimax_m2", ..SIGN },
    Sign { template: &["</think>", "<arg_key>"], format: "glm45", ..SIGN },
    Sign { template: &["</think>", "<|tool_call_argument_begin|>"], format: "kimi_k2", ..SIGN },
    Sign { template: &["</think>", "｜DSML｜"], format: "deepseek_v4", ..SIGN },
    Sign { template: &["</think>", "<steptml:invoke"], format: "step3", ..SIGN },
    Sign { template: &["</think>", "<TOOLCALL>"], format: "nemotron_v3", ..SIGN },
    Sign { template: &["<think>", "<function_calls>"], format: "olmo3", ..SIGN },
    Sign { template: &["<think>", "<response>"], format: "ernie45", ..SIGN },
    Sign { template: &["</think>", "<｜tool▁calls▁begin｜>", "```json"], format: "deepseek_r1", ..SIGN },
    Sign { template: &["</think>", "<｜tool▁calls▁begin｜>"], format: "deepseek_v3", ..SIGN },
    Sign { template: &["</think>", "<tool_call>", "<|im_start|>"], format: "qwen3", ..SIGN },
    // Here the output or the prompt shows where reasoning begins.
    Sign { template: &["</think>"], format: "deepseek_v3", ..SIGN },
];

/// The formats of a model. `tokens`: the added tokens of its vocabulary. `architecture`: as its configuration says.
pub fn detect(
    template: &str,
    tokens: &[&str],
    architecture: Option<&str>,
) -> (Option<ToolFormat>, Option<ReasoningFormat>) {
    let first = |signs: &'static [Sign]| {
        let sign = signs.iter().find(|sign| sign.is_met(template, tokens, architecture))?;
        Some(sign.format)
    };
    // The tables name formats that there are, which a test holds them to.
    (first(TOOLS).and_then(|name| name.parse().ok()), first(REASONING).and_then(|name| name.parse().ok()))
}

impl Sign {
    fn is_met(&self, template: &str, tokens: &[&str], architecture: Option<&str>) -> bool {
        let built = architecture.unwrap_or_default();
        let shown = self.template.iter().all(|sign| template.contains(sign));
        (shown || self.token.is_some_and(|token| tokens.contains(&token)))
            && !self.without.iter().any(|sign| template.contains(sign))
            && (self.architectures.is_empty() || self.architectures.iter().any(|name| built.starts_with(name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_name_formats() {
        for sign in TOOLS {
            assert!(sign.format.parse::<ToolFormat>().is_ok(), "{}", sign.format);
        }
        for sign in REASONING {
            assert!(sign.format.parse::<ReasoningFormat>().is_ok(), "{}", sign.format);
        }
    }
}
