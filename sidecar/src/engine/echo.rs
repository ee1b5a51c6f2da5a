//! Echo: the caller hears its own prompt before the answer, or instead of it. No I/O.

use cloudach_proto::v1::{EchoedPrompt, Failed, GenerateRequest};

use super::failure::invalid;

/// The largest prompt that is told back, log-probabilities included, in bytes: it travels in one message, which delays
/// what is behind it.
const MAX_ECHO: usize = 8 * 1024 * 1024;

/// What a request wants to hear of its prompt, if it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Echo {
    /// The log-probability of every token, too.
    pub(super) logprobs: bool,
    /// Nothing else: `max_tokens` is 0.
    pub(super) alone: bool,
}

impl Echo {
    pub(super) fn of(request: &GenerateRequest) -> Option<Self> {
        let max_tokens = request.sampling.as_ref().and_then(|sampling| sampling.max_tokens);
        request.echo.then(|| Self { logprobs: request.top_logprobs.is_some(), alone: max_tokens == Some(0) })
    }
}

/// A prompt to be told, without its log-probabilities. Refuses one that is too large before the engine reads it.
pub(super) fn prompt(text: String) -> Result<EchoedPrompt, Failed> {
    let prompt = EchoedPrompt { text, logprobs: Vec::new() };
    check_size(&prompt)?;
    Ok(prompt)
}

/// Refuses a prompt that is too large to be told back.
pub(super) fn check_size(prompt: &EchoedPrompt) -> Result<(), Failed> {
    let size = prompt.weight();
    if size > MAX_ECHO {
        let message = format!("echoing the prompt takes {size} bytes, and no more than {MAX_ECHO} are echoed");
        return Err(invalid("echo", message));
    }
    Ok(())
}
