//! One text answer, written as its pieces arrive or whole at its end.
//!
//! The same calls feed both forms. Choices are numbered prompt by prompt:
//! that of prompt `p` and continuation `k` is `p * n + k`.

use crate::completions::request::CompletionRequest;
use crate::completions::stream::Stream;
use crate::completions::whole::Whole;
use crate::finish::FinishReason;
use crate::head::Head;
use crate::piece::Piece;
use crate::prompt::PromptInput;
use crate::usage::Usage;

/// Turns what the engine generates into what the client reads.
#[derive(Debug)]
pub struct Reply {
    form: Form,
    /// Whether each choice has ended.
    finished: Vec<bool>,
    /// What each choice repeats before it begins.
    echo: Echo,
}

#[derive(Debug)]
enum Form {
    Stream(Stream),
    Whole(Whole),
}

#[derive(Debug)]
enum Echo {
    Nothing,
    /// The prompts, each for `n` choices in a row.
    Prompts {
        prompts: Vec<String>,
        n: u32,
    },
}

impl Reply {
    /// An answer to this request, streamed if the request says so.
    pub fn new(head: &Head, request: &CompletionRequest) -> Self {
        let choices = request.choices();
        let form = match request.stream {
            Some(options) => Form::Stream(Stream::new(head, request.logprobs, options, choices)),
            None => Form::Whole(Whole::new(head, request.logprobs, choices)),
        };
        Self { form, finished: (0..choices).map(|_| false).collect(), echo: Echo::of(request) }
    }

    /// Begins the answer with what is to be repeated: to be called when the engine has begun.
    pub fn opening(&mut self, out: &mut Vec<u8>) {
        let Echo::Prompts { prompts, n } = std::mem::replace(&mut self.echo, Echo::Nothing) else { return };
        let mut choice = 0;
        for prompt in &prompts {
            for _ in 0..n {
                self.push(choice, &Piece { text: prompt, logprobs: &[] }, out);
                choice += 1;
            }
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

impl Echo {
    fn of(request: &CompletionRequest) -> Self {
        if !request.echo {
            return Self::Nothing;
        }
        let prompts = request
            .prompts
            .iter()
            .map(|prompt| match prompt {
                PromptInput::Text(text) => text.clone(),
                // Not reached through `parse`, which refuses to repeat token ids.
                PromptInput::Tokens(_) => String::new(),
            })
            .collect();
        Self::Prompts { prompts, n: request.n }
    }
}
