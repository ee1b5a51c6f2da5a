//! `best_of`: more continuations are generated than answered; the likeliest are.

use cloudach_openai::{
    FinishReason, Invalid, Piece, TokenLogprob, Usage,
    completions::{self, Candidate, CompletionRequest, best},
};

use crate::reply::Reply;

/// Keeps every continuation until all are complete, then hands the best of each prompt to the reply.
#[derive(Debug)]
pub struct BestOf {
    reply: completions::Reply,
    kept: Vec<Kept>,
    best_of: usize,
    n: usize,
    /// The client sees the log-probabilities, too; they were asked for in any case.
    logprobs: bool,
}

#[derive(Debug, Default)]
struct Kept {
    prompt: String,
    prompt_logprobs: Vec<TokenLogprob>,
    text: String,
    logprobs: Vec<TokenLogprob>,
    reason: Option<FinishReason>,
}

impl BestOf {
    /// Feeds `reply`, an answer to this request, which is not streamed and has so many candidates in all.
    pub fn new(reply: completions::Reply, request: &CompletionRequest, candidates: usize) -> Self {
        Self {
            reply,
            kept: std::iter::repeat_with(Kept::default).take(candidates).collect(),
            best_of: (request.best_of as usize).max(1),
            n: request.n as usize,
            logprobs: request.logprobs.is_some(),
        }
    }

    fn kept(&mut self, choice: u32) -> Option<&mut Kept> {
        self.kept.get_mut(choice as usize)
    }
}

impl Reply for BestOf {
    fn opening(&mut self, out: &mut Vec<u8>) {
        self.reply.opening(out);
    }

    fn push(&mut self, choice: u32, piece: &Piece<'_>, _: &mut Vec<u8>) {
        if let Some(kept) = self.kept(choice) {
            kept.text.push_str(piece.text);
            kept.logprobs.extend_from_slice(piece.logprobs);
        }
    }

    fn prompt(&mut self, choice: u32, text: &str, logprobs: &[TokenLogprob], _: &mut Vec<u8>) {
        if let Some(kept) = self.kept(choice) {
            text.clone_into(&mut kept.prompt);
            kept.prompt_logprobs = logprobs.to_vec();
        }
    }

    fn finish_choice(&mut self, choice: u32, reason: FinishReason, _: &mut Vec<u8>) {
        if let Some(kept) = self.kept(choice) {
            kept.reason = Some(reason);
        }
    }

    fn shows_usage(&self) -> bool {
        self.reply.shows_usage()
    }

    fn close(&mut self, usage: &Usage, out: &mut Vec<u8>) {
        let mut choice = 0;
        for kept in self.kept.chunks(self.best_of) {
            let candidates: Vec<Candidate> = kept.iter().map(Kept::candidate).collect();
            for place in best(&candidates, self.n) {
                let kept = &kept[place];
                let (prompt_logprobs, logprobs): (&[_], &[_]) =
                    if self.logprobs { (&kept.prompt_logprobs, &kept.logprobs) } else { (&[], &[]) };
                self.reply.prompt(choice, &kept.prompt, prompt_logprobs, out);
                self.reply.push(choice, &Piece { text: &kept.text, logprobs }, out);
                self.reply.finish_choice(choice, kept.reason.unwrap_or(FinishReason::Stop), out);
                choice += 1;
            }
        }
        self.reply.close(usage, out);
    }

    fn too_long(limit: u64, prompt: u64, max_tokens: Option<u64>) -> Invalid {
        <completions::Reply as Reply>::too_long(limit, prompt, max_tokens)
    }
}

impl Kept {
    fn candidate(&self) -> Candidate {
        Candidate {
            logprob: self.logprobs.iter().map(|token| f64::from(token.logprob)).sum(),
            tokens: u32::try_from(self.logprobs.len()).unwrap_or(u32::MAX),
        }
    }
}
