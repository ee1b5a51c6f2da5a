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
/// Bytes of text that a token id stands for, about: what it is exactly only the engine knows.
const TOKEN_BYTES: usize = 4;
/// How much longer an echo becomes by its log-probabilities, at least.
const LOGPROBS_WEIGHT: usize = 4;
/// Candidates per prompt, as at OpenAI.
const MOST_BEST_OF: i64 = 20;
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
    /// Continuations to generate of each prompt, of which the `n` best are answered (see [`best`](super::best)).
    /// At least `n`; more only where the answer is wanted whole.
    pub best_of: u32,
    /// Whether the answer repeats the prompts first.
    pub echo: Echo,
    /// Whether the engine's tokenizer puts its special tokens (BOS) around the text.
    pub add_special_tokens: bool,
    /// `Some`: log-probabilities are wanted, with so many alternatives per token.
    pub logprobs: Option<u8>,
    /// How tokens are chosen; `max_tokens` is always set, and 0 only with `echo`.
    pub sampling: Sampling,
    /// `None`: the answer is wanted whole.
    pub stream: Option<StreamOptions>,
    /// What the answer must look like.
    pub constraint: Option<Constraint>,
    /// The client's own user.
    pub user: Option<String>,
}

/// Whether an answer repeats its prompts, and who knows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Echo {
    /// It does not.
    No,
    /// It does, with the texts of the request: [`Reply`](super::Reply) does it by itself.
    FromRequest,
    /// It does, with what the engine says of them, through [`Reply::prompt`](super::Reply::prompt): they are token ids,
    /// or have log-probabilities, or are all that is wanted (`max_tokens` is 0).
    FromEngine,
}

impl CompletionRequest {
    /// Choices of the answer. That of prompt `p` and continuation `k` has the index `p * n + k`.
    pub fn choices(&self) -> u32 {
        self.times_prompts(self.n)
    }

    /// Continuations to generate. That of prompt `p` and candidate `k` is `p * best_of + k`.
    pub fn candidates(&self) -> u32 {
        self.times_prompts(self.best_of)
    }

    fn times_prompts(&self, count: u32) -> u32 {
        u32::try_from(self.prompts.len()).unwrap_or(u32::MAX).saturating_mul(count)
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
    let n = fields.read("n", integer(1, MOST_N))?.unwrap_or(1);
    let echo = fields.read("echo", boolean)?.unwrap_or(false);
    let logprobs = fields.read("logprobs", integer(0, MOST_LOGPROBS))?;
    let sampling = sampling(&mut fields, echo)?;
    let request = CompletionRequest {
        model,
        n,
        best_of: fields.read("best_of", integer(0, MOST_BEST_OF))?.unwrap_or(n),
        echo: if echo { echo_of(&prompts, logprobs, &sampling) } else { Echo::No },
        add_special_tokens: fields.read("add_special_tokens", boolean)?.unwrap_or(true),
        prompts,
        logprobs,
        sampling,
        stream: StreamOptions::read(&mut fields)?,
        constraint: Constraint::read(&mut fields)?,
        user: request::user(&mut fields)?,
    };
    fields.no_unrecognized()?;
    check_choices(&request)?;
    check_echo(&request)?;
    Ok(request)
}

fn echo_of(prompts: &[PromptInput], logprobs: Option<u8>, sampling: &Sampling) -> Echo {
    let all_text = prompts.iter().all(|prompt| matches!(prompt, PromptInput::Text(_)));
    if all_text && logprobs.is_none() && sampling.max_tokens != Some(0) { Echo::FromRequest } else { Echo::FromEngine }
}

/// An answer of no token is one only where it repeats its prompt.
fn sampling(fields: &mut Fields<'_>, echo: bool) -> Result<Sampling, Invalid> {
    let max_tokens = fields.read("max_tokens", |path, value| match integer(0, u32::MAX.into())(path, value)? {
        0 if !echo => Err(Invalid::unsupported_value(path, "0", "Ask for at least one token, or for 'echo'.")),
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

fn check_choices(request: &CompletionRequest) -> Result<(), Invalid> {
    if request.best_of < request.n {
        return Err(Invalid::new("You requested that the server return more choices than it will generate (HINT: increase 'best_of' or reduce 'n').")
            .param("best_of"));
    }
    if request.best_of > request.n && request.stream.is_some() {
        return Err(Invalid::new("You requested that the server stream the best of several choices, but results of 'best_of' cannot be streamed (HINT: leave out 'stream', or set 'best_of' to 'n').")
            .param("best_of"));
    }
    let (name, count) = if request.best_of > request.n { ("best_of", request.best_of) } else { ("n", request.n) };
    if request.candidates() > MOST_CHOICES {
        return Err(Invalid::new(format!(
            "Too many parallel completions requested. You submitted {} prompts with {name}={count}, but you can currently \
             request up to at most a total of {MOST_CHOICES}.",
            request.prompts.len()
        ))
        .param(name));
    }
    Ok(())
}

fn check_echo(request: &CompletionRequest) -> Result<(), Invalid> {
    if request.echo == Echo::No {
        return Ok(());
    }
    let bytes: usize = request
        .prompts
        .iter()
        .map(|prompt| match prompt {
            PromptInput::Text(text) => text.len(),
            PromptInput::Tokens(tokens) => tokens.len().saturating_mul(TOKEN_BYTES),
        })
        .fold(0, usize::saturating_add);
    let per_choice = if request.logprobs.is_some() { bytes.saturating_mul(LOGPROBS_WEIGHT) } else { bytes };
    if per_choice.saturating_mul(usize::try_from(request.n).unwrap_or(usize::MAX)) > MOST_ECHO {
        return Err(Invalid::unsupported_value("echo", "prompts of this length", "Leave it out."));
    }
    Ok(())
}
