//! `input`: a text or a list of items, read and checked.

use serde_json::Value;

use crate::invalid::Invalid;
use crate::reader::{self, Fields, Path, one_of, string};
use crate::responses::item::{Item, Output, Part, Role, Status};

/// Items in one request.
const MOST_ITEMS: usize = 10_000;
/// Characters of an id that a client sends.
const MOST_ID_LENGTH: usize = 256;

pub(crate) fn input(path: &Path<'_>, value: Value) -> Result<Vec<Item>, Invalid> {
    match value {
        Value::String(text) => Ok(vec![said(Role::User, vec![Part::InputText { text }])]),
        Value::Array(values) if values.len() > MOST_ITEMS => {
            Err(Invalid::array_too_long(path, MOST_ITEMS, values.len()))
        }
        Value::Array(values) => reader::items(path, values, item),
        other => Err(Invalid::wrong_type(path, "one of a string or array of input items", reader::kind(&other))),
    }
}

/// Items that are kept by themselves: in a list, and each whole.
pub(crate) fn to_keep(path: &Path<'_>, value: Value, most: usize) -> Result<Vec<Item>, Invalid> {
    let Value::Array(values) = value else {
        return Err(Invalid::wrong_type(path, "an array of input items", reader::kind(&value)));
    };
    if values.len() > most {
        return Err(Invalid::array_too_long(path, most, values.len()));
    }
    let items = reader::items(path, values, item)?;
    match items.iter().position(|item| matches!(item, Item::ItemReference { .. })) {
        None => Ok(items),
        Some(index) => Err(Invalid::unsupported_value(
            path.index(index).field("type"),
            "'item_reference'",
            "Send the item itself.",
        )),
    }
}

/// A message that somebody has said.
fn said(role: Role, content: Vec<Part>) -> Item {
    Item::Message { id: String::new(), status: Status::Completed, role, content }
}

#[derive(Clone, Copy)]
enum Kind {
    Message,
    Call,
    Output,
    Reasoning,
    Reference,
    /// Of a tool that only OpenAI runs, or that has no schema.
    Foreign,
}

const KINDS: &[(&str, Kind)] = &[
    ("message", Kind::Message),
    ("function_call", Kind::Call),
    ("function_call_output", Kind::Output),
    ("reasoning", Kind::Reasoning),
    ("item_reference", Kind::Reference),
    ("file_search_call", Kind::Foreign),
    ("computer_call", Kind::Foreign),
    ("computer_call_output", Kind::Foreign),
    ("web_search_call", Kind::Foreign),
    ("image_generation_call", Kind::Foreign),
    ("code_interpreter_call", Kind::Foreign),
    ("local_shell_call", Kind::Foreign),
    ("local_shell_call_output", Kind::Foreign),
    ("shell_call", Kind::Foreign),
    ("shell_call_output", Kind::Foreign),
    ("apply_patch_call", Kind::Foreign),
    ("apply_patch_call_output", Kind::Foreign),
    ("mcp_list_tools", Kind::Foreign),
    ("mcp_approval_request", Kind::Foreign),
    ("mcp_approval_response", Kind::Foreign),
    ("mcp_call", Kind::Foreign),
    ("custom_tool_call", Kind::Foreign),
    ("custom_tool_call_output", Kind::Foreign),
    ("tool_search_call", Kind::Foreign),
    ("tool_search_output", Kind::Foreign),
    ("additional_tools", Kind::Foreign),
    ("compaction", Kind::Foreign),
];

fn item(path: &Path<'_>, value: Value) -> Result<Item, Invalid> {
    let mut fields = Fields::of(path, value)?;
    let word = fields.read("type", string)?.unwrap_or_else(|| "message".to_owned());
    let kind = one_of(KINDS)(&path.field("type"), Value::String(word.clone()))?;
    let id = fields.read("id", reader::short_string(MOST_ID_LENGTH))?.unwrap_or_default();
    match kind {
        Kind::Message => message(fields, id),
        Kind::Call => Ok(Item::FunctionCall {
            id,
            status: Status::Completed,
            call_id: fields.require("call_id", reader::short_string(MOST_ID_LENGTH))?,
            name: fields.require("name", string)?,
            arguments: fields.require("arguments", string)?,
        }),
        Kind::Output => Ok(Item::FunctionCallOutput {
            id,
            status: Status::Completed,
            call_id: fields.require("call_id", reader::short_string(MOST_ID_LENGTH))?,
            output: fields.require("output", output)?,
        }),
        Kind::Reasoning => Ok(Item::Reasoning {
            id,
            summary: fields.read("summary", reader::array("an array of objects", thought))?.unwrap_or_default(),
            content: fields.read("content", reader::array("an array of objects", thought))?.unwrap_or_default(),
        }),
        Kind::Reference if id.is_empty() => Err(Invalid::missing(path.field("id"))),
        Kind::Reference => Ok(Item::ItemReference { id }),
        Kind::Foreign => Err(Invalid::unsupported_value(
            path.field("type"),
            format_args!("'{word}'"),
            "Only messages, reasoning, and calls of functions with their outputs are.",
        )),
    }
}

fn message(mut fields: Fields<'_>, id: String) -> Result<Item, Invalid> {
    const ROLES: &[(&str, Role)] = &[
        ("assistant", Role::Assistant),
        ("system", Role::System),
        ("developer", Role::Developer),
        ("user", Role::User),
    ];
    let role = fields.require("role", one_of(ROLES))?;
    let content = fields.require("content", |path, value| content(path, value, role))?;
    Ok(Item::Message { id, status: Status::Completed, role, content })
}

fn content(path: &Path<'_>, value: Value, role: Role) -> Result<Vec<Part>, Invalid> {
    match value {
        Value::String(text) if role == Role::Assistant => Ok(vec![Part::output(text, Vec::new())]),
        Value::String(text) => Ok(vec![Part::InputText { text }]),
        Value::Array(parts) => reader::items(path, parts, part),
        other => Err(Invalid::wrong_type(path, "one of a string or array of objects", reader::kind(&other))),
    }
}

#[derive(Clone, Copy)]
enum Written {
    Input,
    Output,
    Refusal,
    Image,
    Media,
}

fn part(path: &Path<'_>, value: Value) -> Result<Part, Invalid> {
    const PARTS: &[(&str, Written)] = &[
        ("input_text", Written::Input),
        ("input_image", Written::Image),
        ("output_text", Written::Output),
        ("refusal", Written::Refusal),
        ("input_file", Written::Media),
        ("input_audio", Written::Media),
        ("computer_screenshot", Written::Image),
        ("summary_text", Written::Output),
    ];
    let mut fields = Fields::of(path, value)?;
    match fields.require("type", one_of(PARTS))? {
        Written::Input => Ok(Part::InputText { text: fields.require("text", string)? }),
        Written::Output => Ok(Part::output(fields.require("text", string)?, Vec::new())),
        Written::Refusal => Ok(Part::Refusal { refusal: fields.require("refusal", string)? }),
        // As models answer that read text only.
        Written::Image => Err(Invalid::new("Invalid content type. image_url is only supported by certain models.")
            .param(path.field("type"))),
        Written::Media => {
            Err(Invalid::new(format!("Invalid '{path}'. Content blocks are expected to be of text with this model."))
                .param(path)
                .code("invalid_value"))
        }
    }
}

fn output(path: &Path<'_>, value: Value) -> Result<Output, Invalid> {
    match value {
        Value::String(text) => Ok(Output::Text(text)),
        Value::Array(parts) => Ok(Output::Parts(reader::items(path, parts, part)?)),
        other => Err(Invalid::wrong_type(path, "one of a string or array of objects", reader::kind(&other))),
    }
}

/// Of a summary or of reasoning itself.
fn thought(path: &Path<'_>, value: Value) -> Result<Part, Invalid> {
    let mut fields = Fields::of(path, value)?;
    let is_summary =
        fields.require("type", one_of(&[("summary_text", true), ("reasoning_text", false), ("text", false)]))?;
    let text = fields.require("text", string)?;
    Ok(if is_summary { Part::SummaryText { text } } else { Part::ReasoningText { text } })
}
