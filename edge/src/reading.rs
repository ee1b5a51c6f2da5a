//! How the engine's text of a request is read, and what the engine is held to so that it can be read like that.

mod held;
pub mod schemas;

use std::sync::Arc;

use cloudach_model::{
    offered::Offered,
    reading::{Forced, Function, Output, OutputReader, Reader, Unenforceable, marks},
    schema::Dialect,
};
use cloudach_openai::{
    Constraint, Invalid, JsonSchema, Sampling,
    chat::{ChatRequest, Tool, ToolChoice},
};
use cloudach_proto::v1;

use crate::{
    Edge,
    catalog::{Formats, Model},
    error::ApiError,
    offers::Offer,
};
use held::Translated;
use schemas::Translation;

/// What both sides of the engine must agree on.
#[derive(Debug)]
pub struct Reading {
    /// Reads each choice.
    pub reader: Reader,
    /// What the engine must write.
    pub constraint: Option<v1::Constraint>,
    pub stops: Stops,
    /// Tokens that mark parts of the text, with which it is wanted.
    pub marks: Vec<&'static str>,
    /// The engine is held to something from some place on, and not before.
    pub turn: Option<Box<Turn>>,
}

/// Where an answer takes another turn: its generation is ended there, and another one goes on from what was written up to
/// there.
#[derive(Debug)]
pub struct Turn {
    pub at: At,
    pub then: Reading,
}

/// See [`Turn`].
#[derive(Debug, Clone)]
pub enum At {
    /// Where the model has thought and would answer: what it is held to is about its answer.
    Answer,
    /// Where the model would call one of these functions, whose arguments must satisfy their schemas.
    Calls(Arc<[String]>),
}

/// Who deals with the stop strings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stops {
    /// Not the engine: they are about text that the client sees, and would break the notation of calls and end an
    /// answer within its reasoning. What is not forced to be a call is cut by its reader.
    Nobody,
    /// The engine stops at them, and the edge cuts them off.
    Edge,
    /// The engine alone: it passes over those in the first `min_tokens` tokens, whose number only it knows.
    Engine,
}

/// How the answer to a chat is read; gives the request back.
///
/// # Errors
/// A schema that no engine can be held to, in OpenAI's words.
pub async fn chat(
    edge: &Edge,
    tenant: &str,
    model: &Model,
    request: Box<ChatRequest>,
    offer: &Arc<Offer>,
    prompt_end: &str,
) -> Result<(Reading, Box<ChatRequest>), ApiError> {
    let (formats, dialect, prompt_end) = (model.formats(), model.schema_dialect(), prompt_end.to_owned());
    let translation = match &request.constraint {
        Some(Constraint::JsonSchema(asked)) => edge.schemas.look_up(tenant, dialect, asked),
        _ => None,
    };
    // Reading a schema may take long, however short it is.
    let is_known = translation.as_ref().is_some_and(Translation::is_known);
    let is_held = matches!(request.constraint, Some(Constraint::JsonSchema(_))) && !is_known
        || matches!(request.tool_choice, ToolChoice::Required | ToolChoice::Named(_))
        || request.tools.iter().any(|tool| tool.strict);
    let shown = offer.shown.clone();
    let read = move || {
        let translated = |asked: &JsonSchema| match &translation {
            Some(translation) => translation.of(asked),
            None => schemas::translated(asked, dialect),
        };
        let reading = Reading::of_chat(&request, &shown, formats, dialect, &prompt_end, &translated)?;
        Ok::<_, Invalid>((reading, request))
    };
    Ok(if is_held { edge.work.run_long(read).await?? } else { read()? })
}

impl Reading {
    /// For a chat. What the engine is held to, it is held to once the model has thought, if it does.
    ///
    /// # Errors
    /// A schema that no engine can be held to, in OpenAI's words.
    pub fn of_chat(
        request: &ChatRequest,
        shown: &Offered,
        formats: Formats,
        dialect: Dialect,
        prompt_end: &str,
        translated: &Translated<'_>,
    ) -> Result<Self, Invalid> {
        let held = Self::of_held(request, formats, dialect, translated)?;
        if formats.tools.is_none() && formats.reasoning.is_none() {
            return Ok(held.unwrap_or_else(|| Self::of_text(&request.sampling, None)));
        }
        let reader = OutputReader::new(&Output {
            tool_format: formats.tools,
            reasoning_format: formats.reasoning,
            tools: shown.functions(),
            prompt_end,
            offered: request.tool_choice != ToolChoice::None && !request.tools.is_empty(),
            stops: &request.sampling.stop,
            keep_stop: request.sampling.include_stop,
            one_call: !request.parallel_tool_calls,
        });
        let turn = match held {
            Some(held) if reader.may_think() => Some(Turn { at: At::Answer, then: held }),
            Some(held) => return Ok(held),
            None if formats.tools.is_some() => Self::of_strict_calls(request, dialect)?,
            None => None,
        };
        Ok(Self {
            reader: Reader::Output(Box::new(reader)),
            constraint: None,
            stops: Stops::Nobody,
            marks: marks(formats.tools, formats.reasoning),
            turn: turn.map(Box::new),
        })
    }

    /// For an answer to a prompt.
    ///
    /// # Errors
    /// A schema that no engine can be held to, in OpenAI's words.
    pub fn of_prompt(sampling: &Sampling, constraint: Option<Constraint>, dialect: Dialect) -> Result<Self, Invalid> {
        let constraint = constraint
            .map(|constraint| held::to(&constraint, &|asked| schemas::translated(asked, dialect)))
            .transpose()?;
        Ok(Self::of_text(sampling, constraint))
    }

    /// For an answer in plain text.
    fn of_text(sampling: &Sampling, constraint: Option<v1::Constraint>) -> Self {
        if sampling.min_tokens.is_some_and(|least| least > 0) {
            return Self { reader: Reader::Plain, constraint, stops: Stops::Engine, marks: Vec::new(), turn: None };
        }
        let reader = Reader::of_text(&sampling.stop, sampling.include_stop);
        Self { reader, constraint, stops: Stops::Edge, marks: Vec::new(), turn: None }
    }

    /// For what the model is held to, if it is. Calls that must be made are enforced by a schema, for any model; they go
    /// before the request's own `response_format`, which is about text and suppresses no call (checklist C19).
    fn of_held(
        request: &ChatRequest,
        formats: Formats,
        dialect: Dialect,
        translated: &Translated<'_>,
    ) -> Result<Option<Self>, Invalid> {
        let functions: Vec<Function<'_>> = request.tools.iter().map(function).collect();
        let forced = match &request.tool_choice {
            ToolChoice::None | ToolChoice::Auto => None,
            ToolChoice::Required => {
                Some(Forced::Required { functions: &functions, parallel: request.parallel_tool_calls })
            }
            ToolChoice::Named(name) => functions.iter().find(|tool| tool.name == name).copied().map(Forced::Named),
        };
        if let Some(forced) = forced {
            let schema = forced.constraint(dialect).map_err(|error| refused(request, &error))?;
            return Ok(Some(Self::of_calls(request, &forced, &schema)));
        }
        let Some(constraint) = &request.constraint else { return Ok(None) };
        if request.tool_choice == ToolChoice::Auto && !functions.is_empty() && formats.tools.is_some() {
            let functions = held::callable(&request.tools, dialect)?;
            let calls = Forced::Required { functions: &functions, parallel: request.parallel_tool_calls };
            let schema = calls.constraint(dialect).map_err(|error| refused(request, &error))?;
            if let Some(schema) = held::to_answer_or_calls(constraint, &schema, translated)? {
                return Ok(Some(Self::of_calls(request, &calls, &schema)));
            }
        }
        Ok(Some(Self::of_text(&request.sampling, Some(held::to(constraint, translated)?))))
    }

    /// For calls of strict functions that the model makes on its own accord: it is held to their schemas once it begins
    /// one, as it would be had it been told to call.
    fn of_strict_calls(request: &ChatRequest, dialect: Dialect) -> Result<Option<Turn>, Invalid> {
        let strict: Arc<[String]> =
            request.tools.iter().filter(|tool| tool.strict).map(|tool| tool.name.clone()).collect();
        if request.tool_choice != ToolChoice::Auto || strict.is_empty() {
            return Ok(None);
        }
        let functions = held::callable(&request.tools, dialect)?;
        let calls = Forced::Required { functions: &functions, parallel: request.parallel_tool_calls };
        let schema = calls.constraint(dialect).map_err(|error| refused(request, &error))?;
        Ok(Some(Turn { at: At::Calls(strict), then: Self::of_calls(request, &calls, &schema) }))
    }

    fn of_calls(request: &ChatRequest, calls: &Forced<'_>, schema: &serde_json::Value) -> Self {
        let sampling = &request.sampling;
        Self {
            reader: Reader::of_calls(calls, &sampling.stop, sampling.include_stop),
            constraint: Some(held::to_schema(schema)),
            stops: Stops::Nobody,
            marks: Vec::new(),
            turn: None,
        }
    }
}

/// What a client is told whose schema an engine does not take although it is in its words.
pub fn schema_refused(by_calls: bool, why: &str) -> Invalid {
    let (what, param, code) = if by_calls {
        ("a function in 'tools'", "tools", Some("invalid_function_parameters"))
    } else {
        ("response_format", "response_format", None)
    };
    Invalid { message: format!("Invalid schema for {what}: {why}"), param: Some(param.to_owned()), code }
}

fn refused(request: &ChatRequest, unenforceable: &Unenforceable) -> Invalid {
    let Unenforceable { function, error } = unenforceable;
    match request.tools.iter().find(|tool| tool.name == *function) {
        Some(tool) => tool.refused(error),
        None => schema_refused(true, &error.to_string()),
    }
}

fn function(tool: &Tool) -> Function<'_> {
    Function { name: &tool.name, parameters: tool.parameters.as_ref() }
}
