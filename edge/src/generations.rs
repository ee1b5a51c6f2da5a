//! From what a client asked to what the contract carries: one generation for each choice.

use std::collections::HashMap;

use cloudach_openai::{Invalid, Sampling};
use cloudach_proto::v1::{self, GenerateRequest, Prompt, PromptText, RequestContext, TokenIds, prompt};

use crate::reading::{Reading, Stops};

/// The most that the prompts of all choices of a request may take together, in bytes: each choice carries its own.
const PROMPT_BYTES: usize = 64 * 1024 * 1024;

/// Whether a request of so many bytes of prompt may have `n` choices.
///
/// # Errors
/// Names `n`.
pub fn fits(bytes: usize, n: u32) -> Result<(), Invalid> {
    if bytes.saturating_mul(n as usize) <= PROMPT_BYTES {
        return Ok(());
    }
    Err(Invalid {
        message: format!(
            "Invalid 'n': {n} choices of a prompt of {bytes} bytes are more than one request may ask for."
        ),
        param: Some("n".to_owned()),
        code: None,
    })
}

/// What all choices of a request share.
#[derive(Debug, Clone)]
pub struct Shared<'a> {
    pub request_id: &'a str,
    pub model: &'a str,
    pub sampling: &'a Sampling,
    /// What its prompts are kept apart by in caches.
    pub cache_salt: Option<String>,
    pub reading: &'a Reading,
    pub top_logprobs: Option<u8>,
    /// The engine tells the prompt as it reads it.
    pub echo: bool,
    /// Nobody gets any of it before it is complete, unless it is cut off in the middle.
    pub whole: bool,
    pub context: RequestContext,
}

impl Shared<'_> {
    /// Whether what comes of it is looked at as it comes, for where it is to be cut off.
    fn may_be_cut(&self) -> bool {
        let by_stop = self.reading.stops != Stops::Engine && !self.sampling.stop.is_empty();
        by_stop || self.reading.turn.is_some()
    }

    /// The generation of one choice, which is the given candidate for its prompt.
    pub fn generation(&self, choice: u32, candidate: u32, prompt: Prompt) -> GenerateRequest {
        let mut sampling = sampling(self.sampling, self.reading);
        sampling.cache_salt.clone_from(&self.cache_salt);
        // Choices of one prompt must differ, and differ the same way each time.
        sampling.seed = sampling.seed.map(|seed| seed.wrapping_add(i64::from(candidate)));
        GenerateRequest {
            request_id: format!("{}-{choice}", self.request_id),
            model: self.model.to_owned(),
            prompt: Some(prompt),
            sampling: Some(sampling),
            top_logprobs: self.top_logprobs.map(u32::from),
            constraint: self.reading.constraint.clone(),
            context: Some(self.context.clone()),
            echo: self.echo,
            resumed: None,
            whole: self.whole && !self.may_be_cut(),
        }
    }
}

/// A prompt of text.
pub fn text_prompt(text: String, add_special_tokens: bool) -> Prompt {
    Prompt { prompt: Some(prompt::Prompt::Text(PromptText { text, add_special_tokens })) }
}

/// A prompt of token ids.
pub fn token_prompt(ids: Vec<u32>) -> Prompt {
    Prompt { prompt: Some(prompt::Prompt::TokenIds(TokenIds { ids })) }
}

fn sampling(asked: &Sampling, reading: &Reading) -> v1::Sampling {
    v1::Sampling {
        max_tokens: asked.max_tokens,
        min_tokens: asked.min_tokens,
        temperature: asked.temperature,
        top_p: asked.top_p,
        top_k: asked.top_k,
        min_p: asked.min_p,
        presence_penalty: asked.presence_penalty,
        frequency_penalty: asked.frequency_penalty,
        repetition_penalty: asked.repetition_penalty,
        seed: asked.seed,
        stop: if reading.stops == Stops::Nobody { Vec::new() } else { asked.stop.clone() },
        stop_token_ids: asked.stop_token_ids.clone(),
        ignore_eos: asked.ignore_eos,
        logit_bias: asked.logit_bias.iter().map(|(&id, &bias)| (id, bias)).collect::<HashMap<_, _>>(),
        skip_special_tokens: asked.skip_special_tokens,
        priority: asked.priority,
        cache_salt: None,
        include_stop: asked.include_stop,
        shown_tokens: reading.marks.iter().map(|&token| token.to_owned()).collect(),
        stop_is_cut_by_caller: reading.stops == Stops::Edge && !asked.include_stop,
    }
}
