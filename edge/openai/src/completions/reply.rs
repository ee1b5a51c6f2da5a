//! One text answer, written as its pieces arrive or whole at its end.
//!
//! The same calls feed both forms. Choices are numbered prompt by prompt:
//! that of prompt `p` and continuation `k` is `p * n + k`.

use crate::completions::request::{CompletionRequest, Echo};
use crate::completions::stream::Stream;
use crate::completions::whole::Whole;
use crate::finish::FinishReason;
use crate::head::Head;
use crate::logprobs::TokenLogprob;
use crate::piece::Piece;
use crate::prompt::PromptInput;
use crate::usage::Usage;

/// Turns what the engine generates into what the client reads.
#[derive(Debug)]
pub struct Reply {
    form: Form,
    /// Whether each choice has ended.
    finished: Vec<bool>,
    /// What the choices repeat before they begin, each prompt for `n` choices in a row.
    echo: Vec<String>,
    n: u32,
}

#[derive(Debug)]
enum Form {
    Stream(Stream),
    Whole(Whole),
}

impl Reply {
    /// An answer to this request, streamed if the request says so.
    pub fn new(head: &Head, request: &CompletionRequest) -> Self {
        let choices = request.choices();
        let form = match request.stream {
            Some(options) => Form::Stream(Stream::new(head, request.logprobs, options, choices)),
            None => Form::Whole(Whole::new(head, request.logprobs, choices)),
        };
        let echo = if request.echo == Echo::FromRequest { texts(&request.prompts) } else { vec![] };
        Self { form, finished: (0..choices).map(|_| false).collect(), echo, n: request.n }
    }

    /// Begins the answer with what of the request is to be repeated: to be called when the engine has begun.
    pub fn opening(&mut self, out: &mut Vec<u8>) {
        let mut choice = 0;
        for prompt in std::mem::take(&mut self.echo) {
            for _ in 0..self.n {
                self.push(choice, &Piece { text: &prompt, logprobs: &[] }, out);
                choice += 1;
            }
        }
    }

    /// Begins a choice with its prompt as the engine reads it, for requests with [`Echo::FromEngine`]: to be called once
    /// per choice, before anything is pushed to it. What is said of the first token's probability is passed over.
    pub fn prompt(&mut self, choice: u32, text: &str, logprobs: &[TokenLogprob], out: &mut Vec<u8>) {
        let nothing = text.is_empty() && logprobs.is_empty();
        if nothing || self.choice(choice).is_none_or(|finished| *finished) {
            return;
        }
        let piece = Piece { text, logprobs };
        match &mut self.form {
            Form::Stream(stream) => stream.prompt(choice, &piece, out),
            Form::Whole(whole) => whole.prompt(choice, &piece),
        }
    }

    /// Takes a piece of a choice. A stream appends the events that it makes visible.
    pub fn push(&mut self, choice: u32, piece: &Piece<'_>, out: &mut Vec<u8>) {
        let nothing = piece.text.is_empty() && piece.logprobs.is_empty();
        if nothing || self.choice(choice).is_none_or(|finished| *finished) {
            return;
        }
        match &mut self.form {
            Form::Stream(stream) => stream.text(choice, piece, out),
            Form::Whole(whole) => whole.text(choice, piece),
        }
    }

    /// Ends a choice; what is pushed to it later is dropped. Where its last piece still stands at the end of
    /// `out`, the reason `length` joins it, as it does at OpenAI.
    pub fn finish_choice(&mut self, choice: u32, reason: FinishReason, out: &mut Vec<u8>) {
        match self.choice(choice) {
            Some(finished) if !*finished => *finished = true,
            _ => return,
        }
        match &mut self.form {
            Form::Stream(stream) => stream.finish(choice, reason, out),
            Form::Whole(whole) => whole.finish(choice, reason),
        }
    }

    /// Whether every choice has ended.
    pub fn is_finished(&self) -> bool {
        self.finished.iter().all(|finished| *finished)
    }

    /// Whether the answer tells what was used.
    pub fn shows_usage(&self) -> bool {
        match &self.form {
            Form::Stream(stream) => stream.shows_usage(),
            Form::Whole(_) => true,
        }
    }

    /// Appends the end of the answer: of a stream the usage, if wanted, and `[DONE]`; else the whole body.
    /// To be called once, when every choice has ended.
    pub fn close(&mut self, usage: &Usage, out: &mut Vec<u8>) {
        match &mut self.form {
            Form::Stream(stream) => stream.close(usage, out),
            Form::Whole(whole) => whole.close(usage, out),
        }
    }

    /// The body of an answer that is not streamed.
    pub fn into_body(mut self, usage: &Usage) -> Vec<u8> {
        let mut out = Vec::new();
        self.close(usage, &mut out);
        out
    }

    fn choice(&mut self, choice: u32) -> Option<&mut bool> {
        self.finished.get_mut(usize::try_from(choice).ok()?)
    }
}

/// Of the prompts that are text.
fn texts(prompts: &[PromptInput]) -> Vec<String> {
    let text = |prompt: &PromptInput| match prompt {
        PromptInput::Text(text) => Some(text.clone()),
        PromptInput::Tokens(_) => None,
    };
    prompts.iter().filter_map(text).collect()
}
