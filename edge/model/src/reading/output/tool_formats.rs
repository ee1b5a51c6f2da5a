//! The table of the formats of calls.

use super::arguments::Form;
use super::elements::Elements;
use super::gemma::Markers;
use super::harmony::MARKERS as HARMONY;
use super::native::{self, Tokens};
use super::notation::{Body, Notation, Trust};
use super::python::{self, List};
use super::tagged::{Tags, Typing};
use super::visible::{After, Around};

/// A format.
#[derive(Debug)]
pub(super) struct Row {
    /// Its usual name first.
    pub names: &'static [&'static str],
    pub kind: Kind,
    pub around: Around,
}

#[derive(Debug)]
pub(super) enum Kind {
    Json(Notation),
    Native(Tokens),
    Tagged(Tags),
    Python(python::Around),
    Gemma(Markers),
    Elements(Elements),
    /// Channels, which say what reasoning is, too.
    Harmony,
}

impl Row {
    /// What begins calls, where that cannot be plain text.
    pub(super) fn openers(&'static self) -> &'static [&'static str] {
        match &self.kind {
            Kind::Json(notation) => notation.open,
            Kind::Tagged(Tags { section: openers @ [_, ..], .. }) => openers,
            Kind::Tagged(tags) => std::slice::from_ref(&tags.call),
            Kind::Native(tokens) => std::slice::from_ref(&tokens.section),
            Kind::Python(around) => around.open,
            Kind::Gemma(markers) => std::slice::from_ref(&markers.open),
            Kind::Elements(elements) => std::slice::from_ref(&elements.section),
            Kind::Harmony => &[],
        }
    }

    /// All that marks calls, with what is marked in them.
    pub(super) fn markers(&'static self) -> Vec<&'static str> {
        match &self.kind {
            Kind::Json(notation) => [notation.open, notation.close].concat(),
            Kind::Native(tokens) => tokens.all(),
            Kind::Tagged(tags) => tags.all(),
            Kind::Python(around) => [around.open, around.close].concat(),
            Kind::Gemma(Markers { open, close, string }) => vec![open, close, string],
            Kind::Elements(elements) => elements.all(),
            Kind::Harmony => HARMONY.to_vec(),
        }
    }
}

pub(super) static ROWS: &[Row] = &[
    Row {
        names: &["hermes", "qwen3_json"],
        kind: Kind::Json(Notation { open: &["<tool_call>"], close: &["</tool_call>"], ..JSON }),
        around: PLAIN,
    },
    Row {
        names: &["granite4"],
        kind: Kind::Json(Notation { open: &["<tool_call>"], close: &["</tool_call>"], ..JSON }),
        around: Around { after: After::Shown, ..PLAIN },
    },
    Row {
        names: &["ernie45"],
        kind: Kind::Json(Notation {
            open: &["<tool_call>"],
            close: &["</tool_call>"],
            without_arguments: true,
            ..JSON
        }),
        around: TRIMMED,
    },
    Row {
        names: &["longcat"],
        kind: Kind::Json(Notation { open: &["<longcat_tool_call>"], close: &["</longcat_tool_call>"], ..JSON }),
        around: PLAIN,
    },
    Row {
        names: &["llama3_json", "llama4_json"],
        kind: Kind::Json(Notation { open: &["<|python_tag|>", "```json", "```"], close: &["```"], bare: true, ..JSON }),
        around: TRIMMED,
    },
    Row {
        names: &["mistral", "mistral (newer form)"],
        kind: Kind::Json(Notation { open: &["[TOOL_CALLS]"], body: Body::ListOrName, hides_marker: true, ..JSON }),
        around: PLAIN,
    },
    Row {
        names: &["jamba"],
        kind: Kind::Json(Notation { open: &["<tool_calls>"], close: &["</tool_calls>"], ..JSON }),
        around: PLAIN,
    },
    Row {
        names: &["hunyuan_a13b"],
        kind: Kind::Json(Notation { open: &["<tool_calls>"], close: &["</tool_calls>"], ..JSON }),
        around: PLAIN,
    },
    Row {
        names: &["minimax"],
        kind: Kind::Json(Notation { open: &["<tool_calls>"], close: &["</tool_calls>"], ..JSON }),
        around: TRIMMED,
    },
    Row {
        names: &["nemotron_json"],
        kind: Kind::Json(Notation { open: &["<TOOLCALL>"], close: &["</TOOLCALL>"], ..JSON }),
        around: PLAIN,
    },
    Row {
        names: &["granite"],
        kind: Kind::Json(Notation {
            open: &["<|tool_call|>", "<tool_call>"],
            body: Body::List,
            hides_marker: true,
            ..JSON
        }),
        around: TRIMMED,
    },
    Row {
        names: &["granite-20b-fc"],
        kind: Kind::Json(Notation { open: &["<function_call>"], ..JSON }),
        around: PLAIN,
    },
    Row {
        names: &["phi4_mini_json"],
        kind: Kind::Json(Notation { open: &["functools"], body: Body::List, ..JSON }),
        around: PLAIN,
    },
    Row {
        names: &["cohere_command3", "cohere_command4"],
        kind: Kind::Json(Notation {
            open: &["<|START_ACTION|>"],
            close: &["<|END_ACTION|>"],
            name: "tool_name",
            ..JSON
        }),
        around: TRIMMED,
    },
    Row {
        names: &["internlm"],
        kind: Kind::Json(Notation {
            open: &["<|action_start|><|plugin|>"],
            close: &["<|action_end|>"],
            without_arguments: true,
            ..JSON
        }),
        around: PLAIN,
    },
    Row {
        names: &["xlam"],
        kind: Kind::Json(Notation {
            open: &["[TOOL_CALLS]", "<tool_call>", "\n```json", "\n```", "```json", "```"],
            close: &["</tool_call>", "\n```", "```"],
            body: Body::List,
            bare: true,
            ..JSON
        }),
        around: Around { space_before: true, after: After::Trimmed },
    },
    Row {
        names: &["apertus"],
        kind: Kind::Json(Notation {
            open: &["<|tools_prefix|>"],
            close: &["<|tools_suffix|>"],
            body: Body::NamedList,
            ..JSON
        }),
        around: Around { space_before: false, after: After::Trimmed },
    },
    Row {
        names: &["gigachat3"],
        kind: Kind::Json(Notation {
            open: &["<|function_call|>", "function call<|role_sep|>"],
            close: &["<|message_sep|>", "</s>"],
            ..JSON
        }),
        around: PLAIN,
    },
    Row {
        names: &["json"],
        kind: Kind::Json(Notation { bare: true, trust: Trust::Offered, ..JSON }),
        around: Around { after: After::Shown, ..PLAIN },
    },
    Row {
        names: &["deepseek_v3"],
        kind: Kind::Native(Tokens {
            arguments: "\n```json\n",
            call_end: &["\n```<｜tool▁call▁end｜>", "```<｜tool▁call▁end｜>", "<｜tool▁call▁end｜>"],
            ..DEEPSEEK
        }),
        around: Around { after: After::Shown, ..PLAIN },
    },
    Row { names: &["deepseek_v31"], kind: Kind::Native(DEEPSEEK), around: PLAIN },
    Row {
        names: &["plamo3"],
        kind: Kind::Native(Tokens {
            section: "<|plamo:begin_tool_requests:plamo|>",
            section_end: "<|plamo:end_tool_requests:plamo|>",
            call: "<|plamo:begin_tool_request:plamo|><|plamo:begin_tool_name:plamo|>",
            arguments: "<|plamo:end_tool_name:plamo|>\
                        <|plamo:begin_tool_arguments:plamo|><|plamo:constrain|>json<|plamo:msg|>",
            call_end: &["<|plamo:end_tool_arguments:plamo|><|plamo:end_tool_request:plamo|>"],
            name: str::trim,
        }),
        around: PLAIN,
    },
    Row {
        names: &["kimi_k2"],
        kind: Kind::Native(Tokens {
            section: "<|tool_calls_section_begin|>",
            section_end: "<|tool_calls_section_end|>",
            call: "<|tool_call_begin|>",
            arguments: "<|tool_call_argument_begin|>",
            call_end: &["<|tool_call_end|>"],
            name: native::kimi_name,
        }),
        around: PLAIN,
    },
    Row {
        names: &["qwen3_coder", "qwen3_xml", "mimo", "step3p5"],
        kind: Kind::Tagged(Tags { section: &["<tool_call>"], section_end: "</tool_call>", ..FUNCTION }),
        around: TRIMMED,
    },
    Row {
        names: &["seed_oss"],
        kind: Kind::Tagged(Tags { section: &["<seed:tool_call>"], section_end: "</seed:tool_call>", ..FUNCTION }),
        around: TRIMMED,
    },
    Row {
        names: &["minimax_m2"],
        kind: Kind::Tagged(Tags {
            section: &["<minimax:tool_call>"],
            section_end: "</minimax:tool_call>",
            call: "<invoke name=",
            call_end: "</invoke>",
            parameter: "<parameter name=",
            form: Form::Bare,
            ..FUNCTION
        }),
        around: TRIMMED,
    },
    Row {
        names: &["dots"],
        kind: Kind::Tagged(Tags {
            section: &["<dots_function_call>"],
            section_end: "</dots_function_call>",
            call: "<invoke name=",
            call_end: "</invoke>",
            parameter: "<parameter name=",
            ..FUNCTION
        }),
        around: TRIMMED,
    },
    Row {
        names: &["minimax_m3"],
        kind: Kind::Elements(Elements {
            mark: "]<]minimax[>[",
            section: "]<]minimax[>[<tool_call>",
            section_end: "]<]minimax[>[</tool_call>",
            call: "]<]minimax[>[<invoke name=",
            call_end: "]<]minimax[>[</invoke>",
        }),
        around: PLAIN,
    },
    Row { names: &["glm45", "glm47", "ling3", "poolside_v1"], kind: Kind::Tagged(GLM), around: TRIMMED },
    Row {
        names: &["k2_horizon"],
        kind: Kind::Tagged(Tags {
            section: &["<ifm|tool_calls>"],
            section_end: "</ifm|tool_calls>",
            call: "<ifm|tool_call>",
            call_end: "</ifm|tool_call>",
            parameter: "<ifm|arg_key>",
            parameter_name_end: "</ifm|arg_key>",
            // A type may stand before it, which the schema tells as well.
            value: Some("<ifm|arg_value>"),
            value_end: "</ifm|arg_value>",
            ..GLM
        }),
        around: PLAIN,
    },
    Row {
        names: &["kimi_k3"],
        kind: Kind::Tagged(Tags {
            section: &["<|open|>tools<|sep|>"],
            section_end: "<|close|>tools<|sep|>",
            call: "<|open|>call tool=",
            call_name_end: Some("<|sep|>"),
            call_end: "<|close|>call<|sep|>",
            parameter: "<|open|>argument key=",
            parameter_name_end: "<|sep|>",
            value_end: "<|close|>argument<|sep|>",
            lenient: false,
            form: Form::Bare,
            typing: Typing::Tag("type=\"string\""),
            escaped: true,
            ..FUNCTION
        }),
        around: PLAIN,
    },
    Row {
        names: &["hy_v3"],
        kind: Kind::Tagged(Tags {
            section: &["<tool_calls>"],
            section_end: "</tool_calls>",
            call_name_end: Some("<tool_sep>"),
            ..GLM
        }),
        around: PLAIN,
    },
    Row {
        names: &["deepseek_v32"],
        kind: Kind::Tagged(Tags {
            section: &["<｜DSML｜function_calls>"],
            section_end: "</｜DSML｜function_calls>",
            ..DSML
        }),
        around: PLAIN,
    },
    Row {
        names: &["deepseek_v4", "deepseek_v41"],
        kind: Kind::Tagged(Tags {
            section: &["<｜DSML｜tool_calls>", "<｜DSML｜toolcalls>", "<｜DSML｜tool>"],
            section_end: "</｜DSML｜tool_calls>",
            ..DSML
        }),
        around: PLAIN,
    },
    Row {
        names: &["step3"],
        kind: Kind::Tagged(Tags {
            section: &["<｜tool_calls_begin｜>"],
            section_end: "<｜tool_calls_end｜>",
            noise: &["<｜tool_call_begin｜>", "function", "<｜tool_sep｜>", "<｜tool_call_end｜>"],
            call: "<steptml:invoke name=",
            call_end: "</steptml:invoke>",
            parameter: "<steptml:parameter name=",
            value_end: "</steptml:parameter>",
            form: Form::Bare,
            ..FUNCTION
        }),
        around: Around { space_before: false, after: After::Trimmed },
    },
    Row {
        names: &["pythonic"],
        kind: Kind::Python(python::Around { open: &[], close: &[], bare: true, list: List::Brackets }),
        around: Around { after: After::Shown, ..PLAIN },
    },
    Row {
        names: &["llama4_pythonic"],
        kind: Kind::Python(python::Around {
            open: &["<|python_start|>"],
            close: &["<|python_end|>"],
            bare: true,
            list: List::Brackets,
        }),
        around: Around { after: After::Shown, ..PLAIN },
    },
    Row {
        names: &["lfm2"],
        kind: Kind::Python(python::Around {
            open: &["<|tool_call_start|>"],
            close: &["<|tool_call_end|>"],
            bare: false,
            list: List::Brackets,
        }),
        around: Around { space_before: false, after: After::Trimmed },
    },
    Row {
        names: &["olmo3"],
        kind: Kind::Python(python::Around {
            open: &["<function_calls>"],
            close: &["</function_calls>"],
            bare: false,
            list: List::Lines,
        }),
        around: PLAIN,
    },
    Row {
        names: &["gemma4"],
        kind: Kind::Gemma(Markers { open: "<|tool_call>", close: "<tool_call|>", string: "<|\"|>" }),
        around: TRIMMED,
    },
    Row {
        names: &["functiongemma"],
        kind: Kind::Gemma(Markers { open: "<start_function_call>", close: "<end_function_call>", string: "<escape>" }),
        around: TRIMMED,
    },
    Row { names: &["harmony", "openai"], kind: Kind::Harmony, around: Around { after: After::Shown, ..PLAIN } },
];

/// White space before calls is text, what follows them is not.
const PLAIN: Around = Around { space_before: true, after: After::Hidden };

const TRIMMED: Around = Around { space_before: false, after: After::Hidden };

const JSON: Notation = Notation {
    open: &[],
    close: &[],
    body: Body::Either,
    name: "name",
    bare: false,
    hides_marker: false,
    without_arguments: false,
    trust: Trust::Form,
};

const DEEPSEEK: Tokens = Tokens {
    section: "<｜tool▁calls▁begin｜>",
    section_end: "<｜tool▁calls▁end｜>",
    call: "<｜tool▁call▁begin｜>",
    arguments: "<｜tool▁sep｜>",
    call_end: &["<｜tool▁call▁end｜>"],
    name: native::deepseek_name,
};

const FUNCTION: Tags = Tags {
    section: &[],
    section_end: "",
    noise: &[],
    call: "<function=",
    call_name_end: Some(">"),
    call_end: "</function>",
    parameter: "<parameter=",
    parameter_name_end: ">",
    value: None,
    value_end: "</parameter>",
    lenient: true,
    form: Form::Lines,
    typing: Typing::Schema,
    escaped: false,
};

const GLM: Tags = Tags {
    section: &[],
    section_end: "</tool_call>",
    call: "<tool_call>",
    call_name_end: None,
    call_end: "</tool_call>",
    parameter: "<arg_key>",
    parameter_name_end: "</arg_key>",
    value: Some("<arg_value>"),
    value_end: "</arg_value>",
    lenient: false,
    form: Form::Bare,
    ..FUNCTION
};

const DSML: Tags = Tags {
    call: "<｜DSML｜invoke name=",
    call_end: "</｜DSML｜invoke>",
    parameter: "<｜DSML｜parameter",
    value_end: "</｜DSML｜parameter>",
    form: Form::Bare,
    typing: Typing::Tag("string=\"true\""),
    ..FUNCTION
};
