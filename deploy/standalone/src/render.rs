//! `cloudach render`: what a model is told. Each line of the standard input holds a request and a chat template or the
//! name of a family that has one; each line of the standard output the prompt.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use cloudach_model::offered::Offered;
use cloudach_model::template::{
    ChatTemplate, CivilTime, Conversation, RenderError, Source,
    families::{Family, UnknownFamily},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::lines::{self, Fault};

/// Say what prompt a chat template makes of a request, for each line of JSON on the standard input.
///
/// A line: {"template": TEXT or "template_family": NAME, "bos_token": TEXT|null, "eos_token": TEXT|null, "now": "2026-03-07T14:05:09", "request":
/// {"messages": [..], "tools": [..], "documents": [..], "chat_template_kwargs": {..}, "reasoning_effort": TEXT,
/// "add_generation_prompt": true, "continue_final_message": false}}. The answer: {"prompt": TEXT} or {"error": {"kind":
/// .., "message": ..}}, of kind `raise_exception` where the template itself refuses the request.
#[derive(Debug, Args)]
pub struct Render {}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(default)]
    template: Option<String>,
    #[serde(default)]
    template_family: Option<String>,
    #[serde(default)]
    bos_token: Option<String>,
    #[serde(default)]
    eos_token: Option<String>,
    #[serde(default)]
    now: Option<String>,
    request: Request,
}

/// What else a request has does not reach its prompt.
#[derive(Debug, Deserialize)]
struct Request {
    messages: Vec<Value>,
    #[serde(default)]
    tools: Option<Vec<Value>>,
    #[serde(default)]
    documents: Option<Vec<Value>>,
    #[serde(default)]
    chat_template_kwargs: Option<Map<String, Value>>,
    #[serde(default)]
    reasoning_effort: Option<String>,
    #[serde(default)]
    add_generation_prompt: Option<bool>,
    #[serde(default)]
    continue_final_message: Option<bool>,
}

impl Render {
    pub fn run(self) -> ExitCode {
        lines::answer(prompt)
    }
}

fn prompt(line: Line) -> Result<Value, Fault> {
    let fault = |kind, message| Fault { kind, message };
    let now = match &line.now {
        None => CivilTime::from_unix(0),
        Some(now) => CivilTime::parse(now)
            .ok_or_else(|| fault("invalid_input", format!("`now` is no time such as 2026-03-07T14:05:09: {now}")))?,
    };
    let (bos_token, eos_token) = (line.bos_token.as_deref(), line.eos_token.as_deref());
    let source = match (&line.template, &line.template_family) {
        (Some(template), None) => Source { template, bos_token, eos_token },
        (None, Some(name)) => {
            let family: &Family =
                name.parse().map_err(|error: UnknownFamily| fault("invalid_input", error.to_string()))?;
            family.source(bos_token, eos_token)
        }
        _ => return Err(fault("invalid_input", "a line has a `template` or a `template_family`".to_owned())),
    };
    let template = ChatTemplate::compile(&source).map_err(|error| fault("template", error.to_string()))?;
    let prompt = template.render(&line.request.into(), now).map_err(|error| match error {
        RenderError::Raised(text) => fault("raise_exception", text),
        error => fault("render", error.to_string()),
    })?;
    Ok(json!({ "prompt": prompt }))
}

impl From<Request> for Conversation {
    fn from(request: Request) -> Self {
        let goes_on = request.continue_final_message.unwrap_or(false);
        Self {
            messages: request.messages,
            tools: request.tools.map(|tools| Arc::new(Offered::new(&tools))),
            documents: request.documents,
            kwargs: request.chat_template_kwargs.unwrap_or_default(),
            reasoning_effort: request.reasoning_effort,
            add_generation_prompt: request.add_generation_prompt.unwrap_or(!goes_on),
            continue_final_message: goes_on,
        }
    }
}
