//! Any text of any format: what is told does not depend on the cuts, is written in the text, and misses none of it
//! where the text has no calls.

use std::sync::{Arc, LazyLock};

use cloudach_model::reading::{Function, Functions, Output, OutputReader, ReasoningFormat, ToolFormat};
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

use super::input::{Choices, cuts};
use super::told::Told;

/// Formats that are read alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    Json,
    Tagged,
    Native,
    Python,
    Gemma,
    Elements,
    Harmony,
    /// Every format of reasoning, before every format of calls.
    Reasoning,
}

/// How many bytes choose: the formats, the end of the prompt, what is wanted, two for the cuts.
const CHOICES: usize = 6;

const PROMPT_ENDS: &[&str] = &[
    "",
    "<|im_start|>assistant\n<think>\n",
    "</think>\n\n",
    "<|start|>assistant",
    "<|start|>assistant<|channel|>final<|message|>",
    "<|start|>assistant<|channel|>analysis<|message|>a<|e",
    "[THINK]",
    "<seed:think>",
    "Here is my thought process:",
];

impl Family {
    pub const ALL: [Self; 8] = [
        Self::Json,
        Self::Tagged,
        Self::Native,
        Self::Python,
        Self::Gemma,
        Self::Elements,
        Self::Harmony,
        Self::Reasoning,
    ];

    /// Its formats of calls.
    pub fn tool_formats(self) -> &'static [&'static str] {
        match self {
            Self::Json => &[
                "hermes",
                "granite4",
                "ernie45",
                "longcat",
                "llama3_json",
                "mistral",
                "jamba",
                "hunyuan_a13b",
                "minimax",
                "nemotron_json",
                "granite",
                "granite-20b-fc",
                "phi4_mini_json",
                "cohere_command3",
                "internlm",
                "xlam",
                "apertus",
                "gigachat3",
                "json",
            ],
            Self::Tagged => &[
                "qwen3_coder",
                "seed_oss",
                "minimax_m2",
                "glm45",
                "hy_v3",
                "deepseek_v32",
                "deepseek_v4",
                "step3",
                "dots",
                "k2_horizon",
                "kimi_k3",
            ],
            Self::Native => &["deepseek_v3", "deepseek_v31", "kimi_k2", "plamo3"],
            Self::Python => &["pythonic", "llama4_pythonic", "lfm2", "olmo3"],
            Self::Gemma => &["gemma4", "functiongemma"],
            Self::Elements => &["minimax_m3"],
            Self::Harmony => &["harmony"],
            Self::Reasoning => &[],
        }
    }

    /// Arguments are written by the reader, and not by the model.
    fn writes_arguments(self) -> bool {
        matches!(self, Self::Tagged | Self::Python | Self::Gemma | Self::Elements)
    }
}

/// Checks one input.
pub fn check(family: Family, data: &[u8]) {
    let (mut choices, text) = Choices::split(data, CHOICES);
    let formats = family.tool_formats();
    let (tool_format, reasoning_format) = if family == Family::Reasoning {
        let tool_format = ToolFormat::all().nth(choices.one_of(ToolFormat::all().count() + 1));
        (tool_format, ReasoningFormat::all().nth(choices.one_of(ReasoningFormat::all().count())))
    } else {
        let tool_format = formats[choices.one_of(formats.len())].parse().ok();
        // The first is no format, as that shows what the reader of calls does alone.
        let reasoning_format = choices.one_of(ReasoningFormat::all().count() + 1).checked_sub(1);
        (tool_format, reasoning_format.and_then(|number| ReasoningFormat::all().nth(number)))
    };
    let prompt_end = PROMPT_ENDS[choices.one_of(PROMPT_ENDS.len())];
    let wanted = choices.one_of(32);
    let stops = if wanted & 2 == 0 { Vec::new() } else { vec!["a\n".to_owned(), "</".to_owned()] };
    let output = Output {
        tool_format,
        reasoning_format,
        tools: &Arc::new(Functions::new(&tools())),
        prompt_end,
        offered: wanted & 16 == 0,
        stops: &stops,
        keep_stop: wanted & 4 != 0,
        one_call: wanted & 1 != 0,
    };
    let seed = choices.one_of(256) * 256 + choices.one_of(256);
    let reader = OutputReader::new(&output);
    let told = tell(&reader, &[&text]);
    for pieces in cuts(&text, seed as u64) {
        assert_eq!(tell(&reader, &pieces), told, "{output:?}\ncut as {pieces:?}");
    }
    is_written(&told, &output, &text);
    nothing_is_lost(&told, &output, &text);
    if family.writes_arguments() {
        for (name, arguments, _) in told.calls().filter(|(.., ended)| *ended) {
            let object = arguments.starts_with('{') && serde_json::from_str::<IgnoredAny>(arguments).is_ok();
            assert!(object, "{output:?}\n{text:?}\n{name} was given {arguments}");
        }
    }
}

/// Every text that is told stands in the text that was read, in this order.
fn is_written(told: &Told, output: &Output<'_>, text: &str) {
    let is_harmony = [output.tool_format.map(ToolFormat::name), output.reasoning_format.map(ReasoningFormat::name)]
        .contains(&Some("harmony"));
    for told in [told.content(), told.reasoning()] {
        let told = told.strip_prefix(prefix(output)).unwrap_or(&told);
        let mut signs = text.chars();
        let mut missing = told.chars().filter(|sign| !signs.any(|other| other == *sign));
        let missing = missing.next();
        // Messages are parted by a line end that nobody wrote.
        assert!(missing.is_none() || is_harmony, "{output:?}\n{text:?}\nhas no {missing:?} where {told:?} has it");
    }
}

/// A text without calls and without marks is all there.
fn nothing_is_lost(told: &Told, output: &Output<'_>, text: &str) {
    const BEGINS_OF_MARKS: &[&str] = &["<", "[", "{", "`", "functools", "function call", "Here"];
    if told.has_stopped() || told.calls().next().is_some() || BEGINS_OF_MARKS.iter().any(|mark| text.contains(mark)) {
        return;
    }
    let is_harmony = output.reasoning_format.is_some_and(|format| format.name() == "harmony")
        || output.tool_format.is_some_and(|format| format.name() == "harmony");
    // There, what stands outside of a message says nothing.
    if is_harmony {
        return;
    }
    let all = format!("{}{}", told.reasoning(), told.content());
    let all = all.strip_prefix(prefix(output)).unwrap_or(&all);
    if output.reasoning_format.is_some() {
        assert_eq!(all.trim(), text.trim(), "{output:?}");
    } else {
        assert_eq!(all, text, "{output:?}");
    }
}

/// What a format puts before every answer.
fn prefix(output: &Output<'_>) -> &'static str {
    match output.reasoning_format.map(ReasoningFormat::name) {
        Some("minimax_m2_append_think") => "<think>",
        _ => "",
    }
}

fn tell(reader: &OutputReader, pieces: &[&str]) -> Told {
    let mut reader = reader.clone();
    let mut told = Told::default();
    for piece in pieces {
        reader.push(piece, &mut |event| told.add(event));
    }
    reader.finish(&mut |event| told.add(event));
    told
}

/// One function, with a parameter of each kind.
fn tools() -> [Function<'static>; 2] {
    static SCHEMA: LazyLock<Map<String, Value>> = LazyLock::new(|| {
        let schema = json!({"properties": {
            "s": {"type": "string"},
            "n": {"type": "number"},
            "b": {"type": "boolean"},
            "o": {"$ref": "#/$defs/o"},
            "l": {"type": "array"},
            "u": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        }, "$defs": {"o": {"type": "object"}}});
        schema.as_object().cloned().unwrap_or_default()
    });
    [Function { name: "known", parameters: Some(&SCHEMA) }, Function { name: "f", parameters: None }]
}
