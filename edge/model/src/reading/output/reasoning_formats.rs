//! The table of the formats of reasoning.

use super::harmony::MARKERS as HARMONY;
use super::reasoning::{Marks, Opening};

/// A format.
#[derive(Debug)]
pub(super) struct Row {
    /// Its usual name first.
    pub names: &'static [&'static str],
    pub kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Marks(Marks),
    /// Channels, which say what calls are, too.
    Harmony,
}

impl Row {
    /// All that marks reasoning.
    pub(super) fn markers(&'static self) -> Vec<&'static str> {
        match &self.kind {
            Kind::Marks(marks) => [marks.start, marks.end, marks.answer].concat(),
            Kind::Harmony => HARMONY.to_vec(),
        }
    }
}

pub(super) static ROWS: &[Row] = &[
    Row { names: &["deepseek_r1", "holo2"], kind: Kind::Marks(THINK) },
    Row { names: &["step3"], kind: Kind::Marks(THINK) },
    Row { names: &["qwen3", "mimo"], kind: Kind::Marks(Marks { hides_repeated: true, ends_with_call: true, ..THINK }) },
    Row {
        names: &["step3p5"],
        kind: Kind::Marks(Marks { end: &["\n</think>\n", "\n</think>", "</think>\n", "</think>"], ..THINK }),
    },
    Row { names: &["identity"], kind: Kind::Marks(Marks { start: &[], end: &[], opening: Opening::Answer, ..THINK }) },
    Row { names: &["kimi_k2"], kind: Kind::Marks(TOKENS) },
    Row { names: &["minimax_m2"], kind: Kind::Marks(TOKENS) },
    Row { names: &["nemotron_v3"], kind: Kind::Marks(TOKENS) },
    Row { names: &["glm45", "glm47", "ling3"], kind: Kind::Marks(Marks { anywhere: true, ..TOKENS }) },
    Row {
        names: &["deepseek_v4", "deepseek_v41"],
        kind: Kind::Marks(Marks { opening: Opening::Answer, anywhere: true, ..TOKENS }),
    },
    Row {
        names: &["deepseek_v3", "poolside_v1", "hy_v3"],
        kind: Kind::Marks(Marks { opening: Opening::Answer, ..THINK }),
    },
    Row { names: &["olmo3"], kind: Kind::Marks(Marks { opening: Opening::Answer, ..THINK }) },
    Row {
        names: &["seed_oss"],
        kind: Kind::Marks(Marks {
            start: &["<seed:think>"],
            end: &["</seed:think>"],
            hides_repeated: true,
            ends_with_call: true,
            ..THINK
        }),
    },
    Row {
        names: &["ernie45"],
        kind: Kind::Marks(Marks { answer: &["<response>\n", "\n</response>", "</response>"], ..THINK }),
    },
    Row {
        names: &["hunyuan_a13b"],
        kind: Kind::Marks(Marks {
            start: &["<think>\n", "<think>"],
            end: &["\n</think>\n<answer>\n", "</think>\n<answer>\n", "\n</think>", "</think>"],
            opening: Opening::Answer,
            answer: &["\n</answer>"],
            ..THINK
        }),
    },
    Row {
        names: &["minimax_m2_append_think"],
        kind: Kind::Marks(Marks { start: &[], end: &[], opening: Opening::Answer, prefix: "<think>", ..THINK }),
    },
    Row {
        names: &["mistral"],
        kind: Kind::Marks(Marks {
            start: &["[THINK]"],
            end: &["[/THINK]"],
            opening: Opening::Answer,
            anywhere: true,
            hides_repeated: true,
            ..THINK
        }),
    },
    Row {
        names: &["granite"],
        kind: Kind::Marks(Marks {
            start: &["Here is my thought process:", "Here's my thought process:", "<think>"],
            end: &["Here is my response:", "Here's my response:", "</think>"],
            opening: Opening::Answer,
            answer: &["<response>", "</response>"],
            ..THINK
        }),
    },
    Row {
        names: &["gemma4"],
        kind: Kind::Marks(Marks {
            start: &["<|channel>thought\n", "<|channel>thought"],
            end: &["<channel|>"],
            opening: Opening::Answer,
            anywhere: true,
            ..TOKENS
        }),
    },
    Row {
        names: &["cohere_command3", "cohere_command4"],
        kind: Kind::Marks(Marks {
            start: &["<|START_THINKING|>"],
            end: &["<|END_THINKING|>"],
            opening: Opening::Answer,
            hides_repeated: true,
            ends_with_call: true,
            answer: &["<|START_RESPONSE|>", "<|END_RESPONSE|>", "<|START_TEXT|>", "<|END_TEXT|>"],
            ..THINK
        }),
    },
    Row { names: &["harmony", "openai_gptoss"], kind: Kind::Harmony },
    Row {
        names: &["plamo3"],
        kind: Kind::Marks(Marks {
            start: &["<|plamo:begin_think:plamo|>"],
            end: &["<|plamo:end_think:plamo|>"],
            ..TOKENS
        }),
    },
    Row {
        names: &["k2_horizon"],
        kind: Kind::Marks(Marks {
            start: &["<ifm|think>", "<ifm|think_fast>", "<ifm|think_faster>"],
            end: &["</ifm|think>", "</ifm|think_fast>", "</ifm|think_faster>"],
            opening: Opening::Answer,
            ends_with_call: true,
            ..THINK
        }),
    },
    Row {
        names: &["minimax_m3"],
        kind: Kind::Marks(Marks { start: &["<mm:think>"], end: &["</mm:think>"], opening: Opening::Answer, ..THINK }),
    },
    Row {
        names: &["kimi_k3"],
        kind: Kind::Marks(Marks {
            start: &["<|open|>think<|sep|>"],
            end: &["<|close|>think<|sep|>"],
            opening: Opening::Answer,
            ends_with_call: true,
            answer: &["<|open|>response<|sep|>", "<|close|>response<|sep|>", "<|close|>message<|sep|>"],
            ..THINK
        }),
    },
];

/// What most models write.
const THINK: Marks = Marks {
    start: &["<think>"],
    end: &["</think>"],
    opening: Opening::Reasoning,
    anywhere: false,
    hides_repeated: false,
    trims: false,
    ends_with_call: false,
    answer: &[],
    prefix: "",
};

/// What models write whose marks are tokens that stand nowhere else.
const TOKENS: Marks = Marks { hides_repeated: true, trims: true, ends_with_call: true, ..THINK };
