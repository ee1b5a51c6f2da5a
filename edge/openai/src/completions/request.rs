//! What a client asks for with a completion.

use crate::constraint::Constraint;
use crate::invalid::Invalid;
use crate::prompt::{self, PromptInput};
use crate::reader::{Fields, boolean, integer, string};
use crate::request;
use crate::sampling::Sampling;
use crate::stream::StreamOptions;
use crate::unsupported;

/// Continuations of one prompt, as at OpenAI.
const MOST_N: i64 = 128;
/// Continuations in one answer, over all prompts: each is a request to an engine.
const MOST_CHOICES: u32 = 1024;
/// Alternatives per token, as at OpenAI.
const MOST_LOGPROBS: i64 = 5;
/// Bytes that `echo` may add to an answer: prompts come back once per choice.
const MOST_ECHO: usize = 8 << 20;
/// OpenAI's default of `max_tokens`.
const DEFAULT_MAX_TOKENS: u32 = 16;

/// A completion that was asked for, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct CompletionRequest {
    /// The model by the client's name for it; never empty.
    pub model: String,
    /// What to continue; never empty.
    pub prompts: Vec<PromptInput>,
    /// Continuations of each prompt, from 1 to 128.
    pub n: u32,
    /// The answer repeats the prompt first. Only with prompts of text, and without log-probabilities.
    pub echo: bool,
    /// Whether the engine's tokenizer puts its special tokens (BOS) around the text.
    pub add_special_tokens: bool,
    /// `Some`: log-probabilities are wanted, with so many alternatives per token.
    pub logprobs: Option<u8>,
    /// How tokens are chosen; `max_tokens` is always set.
    pub sampling: Sampling,
    /// `None`: the answer is wanted whole.
    pub stream: Option<StreamOptions>,
    /// What the answer must look like.
    pub constraint: Option<Constraint>,
    /// The client's own user.
    pub user: Option<String>,
}

impl CompletionRequest {
    /// Choices of the answer. That of prompt `p` and continuation `k` has the index `p * n + k`.
    pub fn choices(&self) -> u32 {
        u32::try_from(self.prompts.len()).unwrap_or(u32::MAX).saturating_mul(self.n)
    }
}

/// Reads the body of a request.
pub fn parse(body: &[u8]) -> Result<CompletionRequest, Invalid> {
    let mut fields = Fields::of_body(body)?;
    let model = request::model(&mut fields)?;
    let most = usize::try_from(MOST_CHOICES).unwrap_or(usize::MAX);
    let prompts = fields.require("prompt", |path, value| prompt::read(path, value, most))?;
    refuse_what_cannot_be_done(&mut fields)?;
    request::metadata(&mut fields)?;
    let request = CompletionRequest {
        model,
        prompts,
        n: fields.read("n", integer(1, MOST_N))?.unwrap_or(1),
        echo: fields.read("echo", boolean)?.unwrap_or(false),
        add_special_tokens: fields.read("add_special_tokens", boolean)?.unwrap_or(true),
        logprobs: fields.read("logprobs", integer(0, MOST_LOGPROBS))?,
        sampling: sampling(&mut fields)?,
        stream: StreamOptions::read(&mut fields)?,
        constraint: Constraint::read(&mut fields)?,
        user: request::user(&mut fields)?,
    };
    let best_of = fields.read("best_of", integer(0, 20))?;
    fields.no_unrecognized()?;
    check_choices(&request, best_of)?;
    check_echo(&request)?;
    Ok(request)
}

fn sampling(fields: &mut Fields<'_>) -> Result<Sampling, Invalid> {
    let max_tokens = fields.read("max_tokens", |path, value| match integer(0, u32::MAX.into())(path, value)? {
        0 => Err(Invalid::unsupported_value(path, "0", "Ask for at least one token.")),
        tokens => Ok(tokens),
    })?;
    Sampling::read(fields, max_tokens.or(Some(DEFAULT_MAX_TOKENS)))
}

fn refuse_what_cannot_be_done(fields: &mut Fields<'_>) -> Result<(), Invalid> {
    fields.read("suffix", |path, value| {
        if string(path, value)?.is_empty() {
            return Ok(());
        }
        Err(Invalid::unsupported(path, "Put it into the prompt, in the model's own notation, instead."))
    })?;
    unsupported::refuse(fields, unsupported::GENERATION)
}

fn check_choices(request: &CompletionRequest, best_of: Option<u32>) -> Result<(), Invalid> {
    match best_of {
        Some(best_of) if best_of < request.n => {
            return Err(Invalid::new("You requested that the server return more choices than it will generate (HINT: increase 'best_of' or reduce 'n').")
                .param("best_of"));
        }
        Some(best_of) if best_of > request.n => {
            return Err(Invalid::unsupported_value("best_of", best_of, "Use 'n' instead."));
        }
        _ => {}
    }
    let choices = request.choices();
    if choices > MOST_CHOICES {
        return Err(Invalid::new(format!(
            "Too many parallel completions requested. You submitted {} prompts with n={}, but you can currently request up to \
             at most a total of {MOST_CHOICES}.",
            request.prompts.len(),
            request.n
        ))
        .param("n"));
    }
    Ok(())
}

fn check_echo(request: &CompletionRequest) -> Result<(), Invalid> {
    if !request.echo {
        return Ok(());
    }
    if request.logprobs.is_some() {
        return Err(Invalid::unsupported_value("echo", "'logprobs'", "Leave one of the two out."));
    }
    let mut bytes: usize = 0;
    for prompt in &request.prompts {
        match prompt {
            PromptInput::Text(text) => bytes = bytes.saturating_add(text.len()),
            PromptInput::Tokens(_) => {
                return Err(Invalid::unsupported_value("echo", "prompts of token ids", "Send text instead."));
            }
        }
    }
    let choices = usize::try_from(request.n).unwrap_or(usize::MAX);
    if bytes.saturating_mul(choices) > MOST_ECHO {
        return Err(Invalid::unsupported_value("echo", "prompts of this length", "Leave it out."));
    }
    Ok(())
}
