//! What a client asks for with a response.

use serde_json::{Value, json};

use crate::chat::{CallForm, ChatRequest, ReasoningEffort, ServiceTier};
use crate::constraint::Constraint;
use crate::ids;
use crate::invalid::Invalid;
use crate::reader::{self, Fields, Path, array, boolean, integer, one_of, short_string, string};
use crate::request;
use crate::responses::conversation;
use crate::responses::echo::Echo;
use crate::responses::input;
use crate::responses::item::{Item, Role};
use crate::responses::record::Record;
use crate::responses::text::{self, Text};
use crate::responses::tools::Tools;
use crate::sampling::Sampling;
use crate::stream::StreamOptions;
use crate::unsupported;

/// Tokens of an answer at least, as at OpenAI.
const LEAST_TOKENS: i64 = 16;
/// Alternatives per token, as at OpenAI.
const MOST_TOP_LOGPROBS: i64 = 20;
/// Characters of keys and identifiers.
const MOST_KEY_LENGTH: usize = 512;
/// Entries of `include`.
const MOST_INCLUDED: usize = 64;

/// A response that was asked for, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// Without its messages.
    chat: ChatRequest,
    instructions: Vec<Item>,
    input: Vec<Item>,
    echo: Echo,
}

/// What it goes on from: the items before its own, and the responses they are of, the first one first.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Continued {
    pub items: Vec<Item>,
    pub ancestors: Vec<String>,
}

impl Asked {
    /// The model by the client's name for it; never empty.
    pub fn model(&self) -> &str {
        &self.chat.model
    }

    /// How it is streamed. `None`: the answer is wanted whole.
    pub fn stream(&self) -> Option<StreamOptions> {
        self.chat.stream
    }

    /// Nobody waits for it.
    pub fn is_background(&self) -> bool {
        self.echo.background
    }

    /// It is to be kept.
    pub fn is_stored(&self) -> bool {
        self.echo.store
    }

    /// The response that it goes on from.
    pub fn previous(&self) -> Option<&str> {
        self.echo.previous_response_id.as_deref()
    }

    /// The conversation that it goes on from, and is added to.
    pub fn conversation(&self) -> Option<&str> {
        self.echo.conversation.as_deref()
    }

    /// The names of its own items.
    pub fn item_ids(&self) -> impl Iterator<Item = &str> {
        self.input.iter().map(Item::id).filter(|id| !id.is_empty())
    }

    /// Nothing is kept here.
    ///
    /// # Errors
    /// It cannot be made without being kept.
    pub fn keep_nothing(&mut self) -> Result<(), Invalid> {
        self.echo.store = false;
        if self.echo.background {
            return Err(Invalid::unsupported("background", "This server keeps no responses."));
        }
        Ok(())
    }

    /// The items that it refers to by their ids.
    pub fn references(&self) -> impl Iterator<Item = &str> {
        self.input.iter().filter_map(|item| match item {
            Item::ItemReference { id } => Some(id.as_str()),
            _ => None,
        })
    }

    /// Puts the items in the place of what refers to them.
    ///
    /// # Errors
    /// One is not there.
    pub fn resolve(&mut self, find: impl Fn(&str) -> Option<Item>) -> Result<(), Invalid> {
        for item in &mut self.input {
            if let Item::ItemReference { id } = item {
                *item = find(id).ok_or_else(|| Invalid::no_item(id))?;
            }
        }
        Ok(())
    }

    /// The conversation for the model, and what is known of the response. `seed` is for the padding of its events, which
    /// a stream has by `default` where the client does not say.
    ///
    /// # Errors
    /// The items do not belong together.
    pub fn begin(
        self,
        id: String,
        created: u64,
        continued: Continued,
        seed: u64,
        padded: bool,
    ) -> Result<(ChatRequest, Record), Invalid> {
        let Self { mut chat, instructions, input, echo } = self;
        let items = continued.items.into_iter().chain(input.iter().cloned()).collect();
        chat.messages = conversation::messages(instructions, items)?;
        if chat.messages.is_empty() {
            return Err(Invalid::empty_array("input"));
        }
        check_json_is_spoken_of(&chat)?;
        let padded = chat.stream.and_then(|options| options.include_obfuscation).unwrap_or(padded);
        let mut record = Record {
            id,
            created,
            model: chat.model.clone(),
            padding: padded.then_some(seed),
            ancestors: continued.ancestors,
            input,
            echo,
        };
        record.name_input();
        Ok((chat, record))
    }
}

/// Reads the body of a request.
///
/// # Errors
/// What is wrong with it.
pub fn parse(body: &[u8]) -> Result<Asked, Invalid> {
    let mut fields = Fields::of_body(body)?;
    let asked = read(&mut fields)?;
    fields.no_unknown()?;
    Ok(asked)
}

fn read(fields: &mut Fields<'_>) -> Result<Asked, Invalid> {
    let model = fields.require("model", string)?;
    if model.is_empty() {
        return Err(Invalid::empty_string("model"));
    }
    if fields.peek("previous_response_id").is_some() && fields.peek("conversation").is_some() {
        return Err(Invalid::only_one_to_go_on_from());
    }
    let previous = fields.read("previous_response_id", previous)?;
    let conversation = fields.read("conversation", conversation_id)?;
    refuse_what_cannot_be_done(fields)?;
    let input = fields.read("input", input::input)?;
    if input.is_none() && previous.is_none() && conversation.is_none() {
        return Err(Invalid::new(
            "One of \"input\" or \"previous_response_id\" or 'prompt' or 'conversation_id' must be provided.",
        )
        .param("input")
        .code("missing_required_parameter"));
    }
    let (instructions, told_instructions) = instructions(fields)?;
    let Tools { tools, choice, told: told_tools, told_choice } = Tools::read(fields)?;
    let parallel_tool_calls = fields.read("parallel_tool_calls", boolean)?.unwrap_or(true);
    let Text { constraint, told: text } = fields.read("text", text::text)?.unwrap_or_default();
    let with_logprobs = fields.read("include", include)?.unwrap_or(false);
    let top_logprobs = fields.read("top_logprobs", integer::<u8>(0, MOST_TOP_LOGPROBS))?.unwrap_or(0);
    let (reasoning_effort, reasoning) = fields.read("reasoning", reasoning)?.unwrap_or_else(no_reasoning);
    let service_tier = fields.read("service_tier", one_of(ServiceTier::WORDS))?.unwrap_or_default();
    let max_output_tokens = fields.read("max_output_tokens", integer(LEAST_TOKENS, u32::MAX.into()))?;
    let user = request::user(fields)?;
    let store = fields.read("store", boolean)?.unwrap_or(true);
    let number = |fields: &Fields<'_>, name: &str, default: f64| fields.peek(name).unwrap_or_else(|| json!(default));
    let echo = Echo {
        background: fields.read("background", boolean)?.unwrap_or(false),
        conversation,
        frequency_penalty: number(fields, "frequency_penalty", 0.0),
        instructions: told_instructions,
        max_output_tokens,
        max_tool_calls: fields.read("max_tool_calls", integer(1, u32::MAX.into()))?,
        parallel_tool_calls,
        presence_penalty: number(fields, "presence_penalty", 0.0),
        previous_response_id: previous,
        prompt_cache_key: fields.read("prompt_cache_key", short_string(MOST_KEY_LENGTH))?,
        prompt_cache_retention: fields.read("prompt_cache_retention", retention)?,
        reasoning,
        safety_identifier: fields.read("safety_identifier", short_string(MOST_KEY_LENGTH))?,
        service_tier: service_tier.as_str().to_owned(),
        store,
        temperature: number(fields, "temperature", 1.0),
        text,
        tool_choice: told_choice,
        tools: told_tools,
        top_logprobs,
        top_p: number(fields, "top_p", 1.0),
        truncation: fields.read("truncation", truncation)?.unwrap_or_else(|| "disabled".to_owned()),
        user: user.clone(),
        metadata: fields.read("metadata", request::metadata_pairs)?.unwrap_or_default(),
    };
    if echo.background && !store {
        return Err(Invalid::new("Background responses must be stored: 'background' needs 'store' to be true.")
            .param("background")
            .code("invalid_value"));
    }
    let chat = ChatRequest {
        model,
        messages: Vec::new(),
        tools,
        tool_choice: choice,
        parallel_tool_calls,
        call_form: CallForm::Tools,
        documents: None,
        sampling: Sampling::read(fields, max_output_tokens)?,
        n: 1,
        stream: StreamOptions::read(fields)?,
        logprobs: (with_logprobs || top_logprobs > 0).then_some(top_logprobs),
        constraint,
        template_kwargs: fields.read("chat_template_kwargs", reader::object)?.unwrap_or_default(),
        reasoning_effort,
        add_generation_prompt: true,
        continue_final_message: false,
        service_tier,
        user,
    };
    Ok(Asked { chat, instructions, input: input.unwrap_or_default(), echo })
}

/// Text, or items; and as the answer repeats them.
fn instructions(fields: &mut Fields<'_>) -> Result<(Vec<Item>, Value), Invalid> {
    let read = fields.read("instructions", |path, value| {
        let mut items = input::input(path, value.clone())?;
        if value.is_string() {
            for item in &mut items {
                if let Item::Message { role, .. } = item {
                    *role = Role::System;
                }
            }
        }
        Ok((items, value))
    })?;
    Ok(read.unwrap_or_else(|| (Vec::new(), Value::Null)))
}

/// As the error for one that is not there says it.
fn previous(path: &Path<'_>, value: Value) -> Result<String, Invalid> {
    let id = string(path, value)?;
    if ids::is_response(&id) { Ok(id) } else { Err(Invalid::no_previous_response(&id)) }
}

/// A conversation's id, alone or in an object.
fn conversation_id(path: &Path<'_>, value: Value) -> Result<String, Invalid> {
    match value {
        Value::String(id) => Ok(id),
        Value::Object(_) => {
            let mut fields = Fields::of(path, value)?;
            let id = fields.require("id", string)?;
            fields.no_unknown()?;
            Ok(id)
        }
        other => Err(Invalid::wrong_type(path, "one of a string or an object", reader::kind(&other))),
    }
}

/// Whether log-probabilities are wanted. All else that may be included is of tools that nobody runs here, or of reasoning,
/// which is always told in the clear.
fn include(path: &Path<'_>, value: Value) -> Result<bool, Invalid> {
    const WORDS: &[(&str, bool)] = &[
        ("file_search_call.results", false),
        ("web_search_call.results", false),
        ("web_search_call.action.sources", false),
        ("message.input_image.image_url", false),
        ("computer_call_output.output.image_url", false),
        ("code_interpreter_call.outputs", false),
        ("reasoning.encrypted_content", false),
        ("message.output_text.logprobs", true),
    ];
    let included = array("an array of strings", one_of(WORDS))(path, value)?;
    if included.len() > MOST_INCLUDED {
        return Err(Invalid::array_too_long(path, MOST_INCLUDED, included.len()));
    }
    Ok(included.contains(&true))
}

fn no_reasoning() -> (Option<ReasoningEffort>, Value) {
    (None, json!({"effort": null, "summary": null}))
}

/// How long the model may think. Summaries are not made: what it thinks is told itself.
fn reasoning(path: &Path<'_>, value: Value) -> Result<(Option<ReasoningEffort>, Value), Invalid> {
    const SUMMARIES: &[(&str, &str)] = &[("auto", "auto"), ("concise", "concise"), ("detailed", "detailed")];
    let mut fields = Fields::of(path, value)?;
    let effort = fields.read("effort", one_of(ReasoningEffort::WORDS))?;
    let summary = fields.read("summary", one_of(SUMMARIES))?;
    let older = fields.read("generate_summary", one_of(SUMMARIES))?;
    fields.no_unknown()?;
    Ok((effort, json!({"effort": effort.map(ReasoningEffort::as_str), "summary": summary.or(older)})))
}

fn retention(path: &Path<'_>, value: Value) -> Result<String, Invalid> {
    const WORDS: &[(&str, &str)] = &[("in_memory", "in_memory"), ("in-memory", "in_memory"), ("24h", "24h")];
    one_of(WORDS)(path, value).map(str::to_owned)
}

fn truncation(path: &Path<'_>, value: Value) -> Result<String, Invalid> {
    if one_of(&[("auto", false), ("disabled", true)])(path, value)? {
        return Ok("disabled".to_owned());
    }
    Err(Invalid::unsupported_value(path, "'auto'", "Leave out the beginning of 'input' yourself."))
}

fn refuse_what_cannot_be_done(fields: &mut Fields<'_>) -> Result<(), Invalid> {
    fields.read("prompt", |path, _| -> Result<(), Invalid> {
        Err(Invalid::unsupported(path, "Use 'instructions' and 'input' instead."))
    })?;
    fields.read("context_management", |path, _| -> Result<(), Invalid> {
        Err(Invalid::unsupported(path, "Leave out the beginning of 'input' yourself."))
    })?;
    fields.read("moderation", |path, value| Fields::of(path, value)?.require("model", string))?;
    fields.read("prompt_cache_options", reader::object)?;
    unsupported::refuse(fields, unsupported::GENERATION)?;
    unsupported::refuse(fields, unsupported::RESPONSES)
}

/// Without a word of it in the prompt, models forced into JSON write blanks for ever.
fn check_json_is_spoken_of(chat: &ChatRequest) -> Result<(), Invalid> {
    if chat.constraint != Some(Constraint::JsonObject) || chat.speaks_of_json() {
        return Ok(());
    }
    Err(Invalid::new(
        "Response input messages must contain the word 'json' in some form to use 'text.format' of type 'json_object'.",
    )
    .param("input"))
}
