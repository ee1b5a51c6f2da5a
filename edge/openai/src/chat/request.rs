//! What a client asks for with a chat completion.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::chat::function_turns::FunctionTurns;
use crate::chat::history;
use crate::chat::message::Message;
use crate::chat::tools::{CallForm, Known, Tool, ToolChoice, Tools};
use crate::constraint::Constraint;
use crate::invalid::Invalid;
use crate::reader::{self, Fields, Path, array, boolean, integer, one_of, short_string, string};
use crate::request;
use crate::sampling::Sampling;
use crate::stream::StreamOptions;
use crate::unsupported;

/// Choices in one answer, as at OpenAI.
const MOST_CHOICES: i64 = 128;
/// Alternatives per token, as at OpenAI.
const MOST_TOP_LOGPROBS: i64 = 20;
/// Characters of `prompt_cache_key`.
const MOST_KEY_LENGTH: usize = 512;

/// A chat completion that was asked for, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatRequest {
    /// The model by the client's name for it; never empty.
    pub model: String,
    /// The conversation so far; never empty.
    pub messages: Vec<Message>,
    /// What is offered to the model; nothing when it may not call.
    pub tools: Arc<[Tool]>,
    /// Whether it may.
    pub tool_choice: ToolChoice,
    /// Whether it may call several at once.
    pub parallel_tool_calls: bool,
    /// How the answer speaks of calls.
    pub call_form: CallForm,
    /// Documents for templates that place them.
    pub documents: Option<Vec<Value>>,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Choices to generate, from 1 to 128.
    pub n: u32,
    /// `None`: the answer is wanted whole.
    pub stream: Option<StreamOptions>,
    /// `Some`: log-probabilities are wanted, with so many alternatives per token.
    pub logprobs: Option<u8>,
    /// What the answer must look like.
    pub constraint: Option<Constraint>,
    /// Variables for the template.
    pub template_kwargs: Map<String, Value>,
    /// How long the model may think.
    pub reasoning_effort: Option<ReasoningEffort>,
    /// The prompt ends by opening the assistant's turn. Never together with the next.
    pub add_generation_prompt: bool,
    /// The prompt ends within the last message, which the answer continues.
    pub continue_final_message: bool,
    /// Echoed in the answer.
    pub service_tier: ServiceTier,
    /// The client's own user.
    pub user: Option<String>,
}

impl ChatRequest {
    /// Whether the word JSON is in its conversation.
    pub(crate) fn speaks_of_json(&self) -> bool {
        let mut texts = self.messages.iter().filter_map(Message::content).flat_map(|content| content.texts());
        texts.any(|text| text.as_bytes().windows(4).any(|word| word.eq_ignore_ascii_case(b"json")))
    }
}

/// How long a model may think before it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReasoningEffort {
    None,
    Minimal,
    Low,
    Medium,
    High,
    ExtraHigh,
    Max,
}

impl ReasoningEffort {
    pub(crate) const WORDS: &[(&str, Self)] = &[
        ("none", Self::None),
        ("minimal", Self::Minimal),
        ("low", Self::Low),
        ("medium", Self::Medium),
        ("high", Self::High),
        ("xhigh", Self::ExtraHigh),
        ("max", Self::Max),
    ];

    /// As requests and templates write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::ExtraHigh => "xhigh",
            Self::Max => "max",
        }
    }
}

/// The class of service that answers name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ServiceTier {
    #[default]
    Default,
    Flex,
    Priority,
}

impl ServiceTier {
    /// `auto` and what OpenAI sells by contract are answered as the default.
    pub(crate) const WORDS: &[(&str, Self)] = &[
        ("auto", Self::Default),
        ("default", Self::Default),
        ("flex", Self::Flex),
        ("scale", Self::Default),
        ("priority", Self::Priority),
        ("fast", Self::Priority),
    ];

    /// As answers write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Flex => "flex",
            Self::Priority => "priority",
        }
    }
}

/// Reads the body of a request.
pub fn parse(body: &[u8]) -> Result<ChatRequest, Invalid> {
    parse_fields(Fields::of_body(body)?)
}

/// The same, where `known` may know tools by their text: the same ones come with each request of an application, and reading
/// them is most of the work.
pub fn parse_by(body: &[u8], known: &mut Known<'_>) -> Result<ChatRequest, Invalid> {
    let (fields, tools) = Fields::of_body_without(body, "tools")?;
    read(fields, tools, known)
}

/// Reads what is left of the body of a request.
pub(crate) fn parse_fields(fields: Fields<'_>) -> Result<ChatRequest, Invalid> {
    read(fields, None, &mut |_, read| read())
}

fn read(mut fields: Fields<'_>, tools: Option<&str>, known: &mut Known<'_>) -> Result<ChatRequest, Invalid> {
    let model = request::model(&mut fields)?;
    let mut functions = FunctionTurns::default();
    let messages = fields.require("messages", |path, value| messages(path, value, &mut functions))?;
    refuse_what_cannot_be_done(&mut fields)?;
    pass_over_hints(&mut fields)?;
    let max_tokens = max_tokens(&mut fields)?;
    let Tools { tools, choice, parallel, form } = Tools::read(&mut fields, tools, known)?;
    let (add_generation_prompt, continue_final_message) = prompt_end(&mut fields)?;
    let request = ChatRequest {
        model,
        messages,
        tools,
        tool_choice: choice,
        parallel_tool_calls: parallel,
        call_form: form,
        documents: fields.read("documents", array("an array of objects", document))?,
        sampling: Sampling::read(&mut fields, max_tokens)?,
        n: fields.read("n", integer(1, MOST_CHOICES))?.unwrap_or(1),
        stream: StreamOptions::read(&mut fields)?,
        logprobs: logprobs(&mut fields)?,
        constraint: Constraint::read(&mut fields)?,
        template_kwargs: fields.read("chat_template_kwargs", reader::object)?.unwrap_or_default(),
        reasoning_effort: fields.read("reasoning_effort", one_of(ReasoningEffort::WORDS))?,
        add_generation_prompt,
        continue_final_message,
        service_tier: fields.read("service_tier", one_of(ServiceTier::WORDS))?.unwrap_or_default(),
        user: request::user(&mut fields)?,
    };
    fields.no_unrecognized()?;
    if request.call_form == CallForm::Functions {
        history::check_is_of_functions(&request.messages, &functions)?;
    }
    history::check(&request.messages, &functions)?;
    check_json_is_spoken_of(&request)?;
    Ok(request)
}

fn messages(path: &Path<'_>, value: Value, functions: &mut FunctionTurns) -> Result<Vec<Message>, Invalid> {
    let values = array("an array of objects", |_, value| Ok(value))(path, value)?;
    if values.is_empty() {
        return Err(Invalid::empty_array(path));
    }
    let read = |(index, value)| Message::read(&path.index(index), value, functions);
    values.into_iter().enumerate().map(read).collect()
}

/// The newer name wins where a client sends both.
fn max_tokens(fields: &mut Fields<'_>) -> Result<Option<u32>, Invalid> {
    let older = fields.read("max_tokens", integer(1, u32::MAX.into()))?;
    let newer = fields.read("max_completion_tokens", integer(1, u32::MAX.into()))?;
    Ok(newer.or(older))
}

fn document(path: &Path<'_>, value: Value) -> Result<Value, Invalid> {
    reader::object(path, value).map(Value::Object)
}

/// Whether a new turn is opened, and whether the last message is continued.
fn prompt_end(fields: &mut Fields<'_>) -> Result<(bool, bool), Invalid> {
    let add = fields.read("add_generation_prompt", boolean)?;
    let go_on = fields.read("continue_final_message", boolean)?.unwrap_or(false);
    if go_on && add == Some(true) {
        return Err(Invalid::new(
            "Only one of 'continue_final_message' and 'add_generation_prompt' can be true. Leave one of them out.",
        )
        .param("continue_final_message"));
    }
    Ok((add.unwrap_or(!go_on), go_on))
}

fn logprobs(fields: &mut Fields<'_>) -> Result<Option<u8>, Invalid> {
    let wanted = fields.read("logprobs", boolean)?.unwrap_or(false);
    let top = fields.read("top_logprobs", integer(0, MOST_TOP_LOGPROBS))?;
    match top {
        Some(top) if top > 0 && !wanted => {
            Err(Invalid::new("The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.")
                .param("top_logprobs"))
        }
        top => Ok(wanted.then(|| top.unwrap_or(0))),
    }
}

fn refuse_what_cannot_be_done(fields: &mut Fields<'_>) -> Result<(), Invalid> {
    fields.read("web_search_options", |path, _| -> Result<(), Invalid> {
        Err(Invalid::new("Web search options not supported with this model.").param(path))
    })?;
    fields.read("modalities", |path, value| {
        let wanted = array("an array of strings", one_of(&[("text", true), ("audio", false)]))(path, value)?;
        match wanted.iter().position(|is_text| !is_text) {
            // As a model answers that speaks text only.
            Some(_) => Err(Invalid::unknown(path)),
            None => Ok(()),
        }
    })?;
    fields.read("audio", |path, _| -> Result<(), Invalid> { Err(Invalid::unknown(path)) })?;
    fields.read("verbosity", |path, value| {
        let verbosity = one_of(&[("low", "'low'"), ("medium", ""), ("high", "'high'")])(path, value)?;
        if verbosity.is_empty() {
            return Ok(());
        }
        Err(Invalid::unsupported_value(path, verbosity, "Supported values are: 'medium'."))
    })?;
    fields.read("include_reasoning", |path, value| match boolean(path, value)? {
        true => Ok(()),
        false => Err(Invalid::unsupported_value(path, "false", "Leave it out.")),
    })?;
    unsupported::refuse(fields, unsupported::GENERATION)?;
    unsupported::refuse(fields, unsupported::CHAT)
}

/// Arguments that change no answer: where it is stored, cached, billed and watched at OpenAI,
/// and what would speed it up.
fn pass_over_hints(fields: &mut Fields<'_>) -> Result<(), Invalid> {
    request::metadata(fields)?;
    fields.read("store", boolean)?;
    fields.read("safety_identifier", short_string(64))?;
    fields.read("prompt_cache_key", short_string(MOST_KEY_LENGTH))?;
    fields.read("prompt_cache_retention", prompt_cache_retention)?;
    fields.read("prompt_cache_options", reader::object)?;
    fields.read("prediction", reader::object)?;
    fields.read("moderation", |path, value| Fields::of(path, value)?.require("model", string))?;
    Ok(())
}

fn prompt_cache_retention(path: &Path<'_>, value: Value) -> Result<(), Invalid> {
    match value.as_str() {
        // Older clients write a hyphen.
        Some("in_memory" | "in-memory" | "24h") => Ok(()),
        Some(_) => Err(Invalid::new("Invalid prompt_cache_retention argument").param(path)),
        None => Err(Invalid::wrong_type(path, "one of 'in_memory' or '24h'", reader::kind(&value))),
    }
}

/// Without a word of it in the prompt, models forced into JSON write blanks for ever.
fn check_json_is_spoken_of(request: &ChatRequest) -> Result<(), Invalid> {
    if request.constraint != Some(Constraint::JsonObject) {
        return Ok(());
    }
    if request.speaks_of_json() {
        return Ok(());
    }
    Err(Invalid::new(
        "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
    )
    .param("messages"))
}
