//! How the engine's text of a request is read, and what the engine is held to so that it can be read like that.

use cloudach_model::reading::{Forced, Function, Output, Reader};
use cloudach_openai::{
    Constraint, Invalid, Sampling,
    chat::{ChatRequest, Tool, ToolChoice},
};

use crate::catalog::Formats;

/// What both sides of the engine must agree on.
#[derive(Debug)]
pub struct Reading {
    /// Reads each choice.
    pub reader: Reader,
    /// What the engine must write.
    pub constraint: Option<Constraint>,
    pub stops: Stops,
    /// The text is wanted with the tokens that mark its parts.
    pub marks: bool,
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

impl Reading {
    /// For a chat. Calls that must be made are enforced by a schema, for any model; it goes before the request's own
    /// `response_format`, which is about text.
    pub fn of_chat(request: &ChatRequest, formats: Formats, prompt_end: &str) -> Self {
        let functions: Vec<Function<'_>> = request.tools.iter().map(function).collect();
        let forced = match &request.tool_choice {
            ToolChoice::None | ToolChoice::Auto => None,
            ToolChoice::Required => {
                Some(Forced::Required { functions: &functions, parallel: request.parallel_tool_calls })
            }
            ToolChoice::Named(name) => functions.iter().find(|tool| tool.name == name).copied().map(Forced::Named),
        };
        match forced {
            Some(forced) => Self {
                reader: Reader::of_calls(&forced),
                constraint: Some(Constraint::JsonSchema(forced.constraint())),
                stops: Stops::Nobody,
                marks: false,
            },
            None if formats.tools.is_none() && formats.reasoning.is_none() => {
                Self::of_text(&request.sampling, request.constraint.clone())
            }
            None => Self {
                reader: Reader::of_output(&Output {
                    tool_format: formats.tools,
                    reasoning_format: formats.reasoning,
                    tools: &functions,
                    prompt_end,
                    offered: request.tool_choice != ToolChoice::None && !functions.is_empty(),
                    stops: &request.sampling.stop,
                    keep_stop: request.sampling.include_stop,
                    one_call: !request.parallel_tool_calls,
                }),
                constraint: request.constraint.clone(),
                stops: Stops::Nobody,
                marks: true,
            },
        }
    }

    /// For an answer in plain text.
    pub fn of_text(sampling: &Sampling, constraint: Option<Constraint>) -> Self {
        if sampling.min_tokens.is_some_and(|least| least > 0) {
            return Self { reader: Reader::Plain, constraint, stops: Stops::Engine, marks: false };
        }
        let reader = Reader::of_text(&sampling.stop, sampling.include_stop);
        Self { reader, constraint, stops: Stops::Edge, marks: false }
    }
}

/// What a client is told whose schema the engine does not take: clients look for the first words (compat-spec,
/// langchain-openai).
pub fn schema_refused(by_calls: bool, why: &str) -> Invalid {
    let (what, param, code) = if by_calls {
        ("a function in 'tools'", "tools", Some("invalid_function_parameters"))
    } else {
        ("response_format", "response_format", None)
    };
    Invalid { message: format!("Invalid schema for {what}: {why}"), param: Some(param.to_owned()), code }
}

fn function(tool: &Tool) -> Function<'_> {
    Function { name: &tool.name, parameters: tool.parameters.as_ref() }
}
