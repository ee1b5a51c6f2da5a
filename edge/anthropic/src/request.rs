//! What a client asks for with a message.

use cloudach_openai::chat::{CallForm, ChatRequest, Known, Message, ReasoningEffort, ServiceTier};
use cloudach_openai::{Constraint, Invalid, JsonSchema, Sampling, StreamOptions};
use serde_json::{Map, Value};

use crate::blocks;
use crate::history::{self, History};
use crate::reader::{Fields, Path, boolean, integer, list, object, one_of, share, short_string};
use crate::tools::Tools;

/// Characters of a model's name.
const MOST_MODEL: usize = 256;
/// Characters of the client's own user.
const MOST_USER: usize = 512;
/// Stop sequences in one request: readers look for each in every byte.
const MOST_STOPS: usize = 64;
/// Characters of one: readers hold back up to so much text.
const MOST_STOP_LENGTH: usize = 1024;
/// The least that Anthropic lets a model think, in tokens.
const LEAST_THINKING: u32 = 1024;

/// What changes no answer: where it is made and cached, and what Anthropic would leave out of a conversation that has grown
/// too long. Coding agents send them unasked.
const HINTS: &[&str] =
    &["cache_control", "inference_geo", "context_management", "diagnostics", "speed", "user_profile_id"];

/// A message that was asked for, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct MessagesRequest {
    /// The conversation to go on with.
    pub chat: ChatRequest,
    /// The client wants to read what the model thinks.
    pub shows_thinking: bool,
}

/// What a body asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asks {
    Answer,
    Count,
}

/// Reads the body of `POST /v1/messages`.
///
/// # Errors
/// What is wrong with it, in Anthropic's words.
pub fn parse(body: &[u8]) -> Result<MessagesRequest, Invalid> {
    parse_by(body, &mut |_, read| read())
}

/// The same, where `known` may know tools by their text: the same ones come with each request of an application, and reading
/// them is most of the work.
///
/// # Errors
/// What is wrong with it, in Anthropic's words.
pub fn parse_by(body: &[u8], known: &mut Known<'_>) -> Result<MessagesRequest, Invalid> {
    read(body, Asks::Answer, known)
}

/// Reads the body of `POST /v1/messages/count_tokens`.
///
/// # Errors
/// What is wrong with it, in Anthropic's words.
pub fn parse_for_counting(body: &[u8]) -> Result<ChatRequest, Invalid> {
    parse_for_counting_by(body, &mut |_, read| read())
}

/// The same, as [`parse_by`].
///
/// # Errors
/// What is wrong with it, in Anthropic's words.
pub fn parse_for_counting_by(body: &[u8], known: &mut Known<'_>) -> Result<ChatRequest, Invalid> {
    read(body, Asks::Count, known).map(|request| request.chat)
}

fn read(body: &[u8], asks: Asks, known: &mut Known<'_>) -> Result<MessagesRequest, Invalid> {
    let (mut fields, text) = Fields::of_body_without(body, "tools")?;
    let model = fields.require("model", short_string(1, MOST_MODEL))?;
    let max_tokens = match asks {
        Asks::Answer => Some(fields.require("max_tokens", integer(1))?),
        // Nothing is generated, and clients send the same fields all the same.
        Asks::Count => fields.read("max_tokens", integer(1))?,
    };
    let History { mut messages, goes_on } = fields.require("messages", history::read)?;
    if let Some(content) = fields.read("system", blocks::texts)?.filter(|system| !system.texts().concat().is_empty()) {
        messages.insert(0, Message::System { content, name: None });
    }
    let Tools { tools, choice, parallel } = Tools::read(&mut fields, text, known)?;
    let thinking = fields.read("thinking", |path, value| thinking(path, value, max_tokens))?.unwrap_or_default();
    let Output { effort, schema } = output(&mut fields)?;
    let sampling = Sampling {
        max_tokens,
        temperature: fields.read("temperature", share)?,
        top_p: fields.read("top_p", share)?,
        top_k: fields.read("top_k", integer(0))?.filter(|tokens| *tokens > 0),
        stop: fields.read("stop_sequences", list(MOST_STOPS, stop))?.unwrap_or_default(),
        ..Sampling::default()
    };
    let stream = fields.read("stream", boolean)?.unwrap_or(false);
    let user = fields.read("metadata", metadata)?.flatten();
    // Whatever Anthropic sells, this is the one class that there is.
    fields.read("service_tier", one_of(&[("auto", ()), ("standard_only", ())]))?;
    refuse_what_cannot_be_done(&mut fields)?;
    fields.pass_over(HINTS);
    fields.no_others()?;
    let chat = ChatRequest {
        model,
        messages,
        tools,
        tool_choice: choice,
        parallel_tool_calls: parallel,
        call_form: CallForm::Tools,
        documents: None,
        sampling,
        n: 1,
        stream: stream.then(StreamOptions::default),
        logprobs: None,
        constraint: schema,
        template_kwargs: thinking.kwargs(),
        reasoning_effort: effort,
        add_generation_prompt: !goes_on,
        continue_final_message: goes_on,
        service_tier: ServiceTier::Default,
        user,
    };
    Ok(MessagesRequest { chat, shows_thinking: thinking == Thinking::Shown })
}

/// Whether the model thinks before it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Thinking {
    /// As at Anthropic, where nothing is said of it.
    #[default]
    Off,
    Shown,
    Hidden,
}

impl Thinking {
    /// The switches of templates that have one.
    fn kwargs(self) -> Map<String, Value> {
        let on = self != Self::Off;
        ["enable_thinking", "thinking"].into_iter().map(|name| (name.to_owned(), Value::Bool(on))).collect()
    }
}

#[derive(Clone, Copy)]
enum Mode {
    Enabled,
    Adaptive,
    Disabled,
}

fn thinking(path: &Path<'_>, value: Value, max_tokens: Option<u32>) -> Result<Thinking, Invalid> {
    const MODES: &[(&str, Mode)] = &[
        ("enabled", Mode::Enabled),
        ("adaptive", Mode::Adaptive),
        // When it thinks is the model's to say.
        ("between_tools", Mode::Adaptive),
        ("disabled", Mode::Disabled),
    ];
    let mut fields = Fields::of(path, value)?;
    let mode = fields.require("type", one_of(MODES))?;
    if matches!(mode, Mode::Enabled) {
        // How long it thinks is the model's to say: only the whole answer has a bound.
        let budget = fields.require("budget_tokens", integer(LEAST_THINKING))?;
        if max_tokens.is_some_and(|most| budget >= most) {
            return Err(path
                .field("budget_tokens")
                .wrong("`max_tokens` must be greater than `thinking.budget_tokens`"));
        }
    }
    let shown = fields.read("display", one_of(&[("summarized", true), ("omitted", false)]))?.unwrap_or(true);
    fields.no_others()?;
    Ok(match mode {
        Mode::Disabled => Thinking::Off,
        Mode::Enabled | Mode::Adaptive if shown => Thinking::Shown,
        Mode::Enabled | Mode::Adaptive => Thinking::Hidden,
    })
}

#[derive(Default)]
struct Output {
    effort: Option<ReasoningEffort>,
    schema: Option<Constraint>,
}

/// `output_config`, and the older name of its format.
fn output(fields: &mut Fields<'_>) -> Result<Output, Invalid> {
    let older = fields.read("output_format", format)?;
    let mut output = fields.read("output_config", output_config)?.unwrap_or_default();
    output.schema = output.schema.or(older);
    Ok(output)
}

fn output_config(path: &Path<'_>, value: Value) -> Result<Output, Invalid> {
    const EFFORTS: &[(&str, ReasoningEffort)] = &[
        ("low", ReasoningEffort::Low),
        ("medium", ReasoningEffort::Medium),
        ("high", ReasoningEffort::High),
        ("xhigh", ReasoningEffort::ExtraHigh),
        ("max", ReasoningEffort::Max),
    ];
    let mut fields = Fields::of(path, value)?;
    let output = Output { effort: fields.read("effort", one_of(EFFORTS))?, schema: fields.read("format", format)? };
    fields.no_others()?;
    Ok(output)
}

fn format(path: &Path<'_>, value: Value) -> Result<Constraint, Invalid> {
    let mut fields = Fields::of(path, value)?;
    fields.require("type", one_of(&[("json_schema", ())]))?;
    let schema = fields.require("schema", object)?;
    fields.no_others()?;
    Ok(Constraint::JsonSchema(JsonSchema::at(schema, path.field("schema"))))
}

fn stop(path: &Path<'_>, value: Value) -> Result<String, Invalid> {
    let text = short_string(1, MOST_STOP_LENGTH)(path, value)?;
    if text.trim().is_empty() {
        return Err(path.wrong("each stop sequence must contain non-whitespace"));
    }
    Ok(text)
}

fn metadata(path: &Path<'_>, value: Value) -> Result<Option<String>, Invalid> {
    let mut fields = Fields::of(path, value)?;
    let user = fields.read("user_id", short_string(0, MOST_USER))?;
    fields.no_others()?;
    Ok(user)
}

/// What Anthropic does on its own machines.
fn refuse_what_cannot_be_done(fields: &mut Fields<'_>) -> Result<(), Invalid> {
    for name in ["container", "mcp_servers"] {
        fields.read(name, |path, value| match value {
            Value::Array(all) if all.is_empty() => Ok(()),
            _ => Err(path.wrong("not supported here. Leave it out")),
        })?;
    }
    Ok(())
}
