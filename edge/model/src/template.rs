//! The chat template step: a conversation becomes the prompt its model was trained on.
//!
//! A template is a program in Jinja2 that ships with the model. It is compiled once, when the model
//! appears, and must give byte for byte what the reference (Jinja2 as Hugging Face sets it up, behind
//! vLLM's request handling) gives. It is also somebody else's program: it reaches nothing but the
//! conversation, and its work, depth and output are bounded.

mod arguments;
mod clock;
mod content_format;
mod continuation;
mod conversation;
mod dialect;
mod environment;
mod error;
pub mod families;
mod filters;
mod layout;
mod limits;
mod markup;
mod nesting;
mod numbers;
mod python;
mod tests;
mod value;
mod variables;

pub use clock::CivilTime;
pub use conversation::Conversation;
pub(crate) use conversation::template_tools;
pub use error::{CompileError, RenderError};

use std::error::Error as _;
use std::io;

use minijinja::{Environment, ErrorKind, Value};

use content_format::ContentFormat;
use variables::Variables;

use crate::offered::Offered;

const NAME: &str = "chat_template";

/// Room for a short prompt, in bytes, which is made at once.
const SHORT: usize = 1024;

/// A model's template as its tokenizer's configuration gives it.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    pub template: &'a str,
    pub bos_token: Option<&'a str>,
    pub eos_token: Option<&'a str>,
}

/// A compiled template. It is shared by all requests for its model.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    content_format: ContentFormat,
    knows_developer: bool,
    bos_token: Option<String>,
    eos_token: Option<String>,
}

impl ChatTemplate {
    /// Compiles a template, or says what is wrong with it and where.
    pub fn compile(source: &Source<'_>) -> Result<ChatTemplate, CompileError> {
        let bytes = source.template.len();
        if bytes > limits::TEMPLATE_BYTES {
            return Err(CompileError::TooLarge { bytes, limit: limits::TEMPLATE_BYTES });
        }
        let text = dialect::translate(source.template)?;
        let mut environment = environment::environment().map_err(syntax_error)?;
        environment.add_template_owned(NAME, text.clone()).map_err(syntax_error)?;
        Ok(ChatTemplate {
            content_format: content_format::detect(&text, environment.syntax().clone()),
            environment,
            knows_developer: ["\"developer\"", "'developer'"].iter().any(|role| text.contains(role)),
            bos_token: source.bos_token.map(str::to_owned),
            eos_token: source.eos_token.map(str::to_owned),
        })
    }

    /// The prompt of a conversation. `now` is the time that the template may print.
    pub fn render(&self, conversation: &Conversation, now: CivilTime) -> Result<String, RenderError> {
        if conversation.continue_final_message && conversation.add_generation_prompt {
            return Err(RenderError::CannotContinue(
                "`continue_final_message` and `add_generation_prompt` exclude each other",
            ));
        }
        let messages = conversation::template_messages(conversation, self.content_format, self.knows_developer)?;
        let tools = conversation.tools.as_deref().map(Offered::for_templates).transpose()?;
        let variables = Variables::of(conversation, messages, tools, now, [&self.bos_token, &self.eos_token]);
        let prompt = self.run(variables)?;
        if conversation.continue_final_message { continuation::cut(prompt) } else { Ok(prompt) }
    }

    /// Whether a rendered prompt already begins with the model's first token, so that an engine which
    /// adds that token itself must be told not to: twice makes most models stumble.
    pub fn starts_with_bos(&self, prompt: &str) -> bool {
        self.bos_token.as_deref().is_some_and(|bos| !bos.is_empty() && prompt.starts_with(bos))
    }

    fn run(&self, variables: Variables) -> Result<String, RenderError> {
        let template = self.environment.get_template(NAME).map_err(render_error)?;
        let mut output = BoundedOutput(Vec::with_capacity(SHORT));
        template.render_captured_to(Value::from_object(variables), &mut output).map_err(render_error)?;
        // The engine writes nothing but text.
        String::from_utf8(output.0).map_err(|error| RenderError::Failed { line: None, message: error.to_string() })
    }
}

/// Takes a prompt up to the longest allowed.
struct BoundedOutput(Vec<u8>);

impl io::Write for BoundedOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len().saturating_add(bytes.len()) > limits::OUTPUT_BYTES {
            return Err(io::Error::other(limits::TooLong));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn syntax_error(error: minijinja::Error) -> CompileError {
    let message = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    CompileError::Syntax { line: error.line().unwrap_or(1), message }
}

fn render_error(error: minijinja::Error) -> RenderError {
    if error.kind() == ErrorKind::OutOfFuel {
        return RenderError::TooMuchWork;
    }
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(raised) = inner.downcast_ref::<environment::Raised>() {
            return RenderError::Raised(raised.0.clone());
        }
        if inner.downcast_ref::<limits::TooLong>().is_some() || inner.is::<io::Error>() {
            return RenderError::TooLong { limit: limits::OUTPUT_BYTES };
        }
        cause = inner.source();
    }
    let message =
        error.detail().map_or_else(|| error.kind().to_string(), |detail| format!("{}: {detail}", error.kind()));
    RenderError::Failed { line: error.line(), message }
}
