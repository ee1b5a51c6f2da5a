//! What was passed on of an answer, so that another process can go on with it. No I/O.

use crate::v1::{Delta, FinishReason, Finished, GenerateRequest, Resumed, Started, TokenUsage};

/// What the caller has of an answer. Four bytes a token: no text is kept.
#[derive(Debug, Default)]
pub struct Passed {
    token_ids: Vec<u32>,
    /// How many of the tokens there were when text was last passed on. Those after it show nothing yet: they may be a part
    /// of a character, or the end of the answer.
    shown: usize,
    text_bytes: u64,
    logprobs: u32,
    /// As first told. 0: not yet.
    prompt_tokens: u32,
}

impl Passed {
    /// What the caller had already when it asked.
    pub fn of(resumed: Option<&Resumed>) -> Self {
        let Some(resumed) = resumed else { return Self::default() };
        Self {
            token_ids: resumed.token_ids.clone(),
            shown: resumed.token_ids.len(),
            text_bytes: resumed.text_bytes,
            logprobs: resumed.logprobs,
            prompt_tokens: 0,
        }
    }

    /// How many tokens the caller has.
    pub fn tokens(&self) -> usize {
        self.token_ids.len()
    }

    /// A replica has it. What goes on behind fewer tokens than the caller has tells the rest of them again; the event that
    /// is passed on says how many stay.
    pub fn started(&mut self, started: &mut Started) {
        self.prompt(started.prompt_tokens);
        if let Some(kept) = started.kept_tokens {
            self.keep(usize::try_from(kept).unwrap_or(usize::MAX));
        }
        started.kept_tokens = Some(count(&self.token_ids));
    }

    /// The prompt has so many tokens. 0: this event did not say.
    fn prompt(&mut self, tokens: u32) {
        if self.prompt_tokens == 0 {
            self.prompt_tokens = tokens;
        }
    }

    /// The tokens after the first so many are to come again.
    fn keep(&mut self, tokens: usize) {
        self.token_ids.truncate(tokens);
        self.shown = self.shown.min(tokens);
    }

    /// A delta is passed on.
    pub fn delta(&mut self, delta: &Delta) {
        self.prompt(delta.prompt_tokens);
        self.token_ids.extend_from_slice(&delta.token_ids);
        if !delta.text.is_empty() {
            self.shown = self.token_ids.len();
        }
        self.text_bytes += delta.text.len() as u64;
        self.logprobs = self.logprobs.saturating_add(u32::try_from(delta.logprobs.len()).unwrap_or(u32::MAX));
    }

    /// Whether the caller has anything of the answer.
    pub fn is_begun(&self) -> bool {
        !self.token_ids.is_empty() || self.text_bytes > 0
    }

    /// How a replica is told to go on. None: it may begin anew, as nothing can be seen yet. Tokens that show nothing are
    /// generated again, and come out as they did where chance has no part in it: here they are forgotten.
    pub fn resumed(&mut self) -> Option<Resumed> {
        self.keep(self.shown);
        (self.shown > 0).then(|| Resumed {
            token_ids: self.token_ids.clone(),
            text_bytes: self.text_bytes,
            logprobs: self.logprobs,
        })
    }

    /// The end of an answer to which nothing is missing but the word that it ended.
    pub fn end(&self, request: &GenerateRequest) -> Option<Finished> {
        let most = request.sampling.as_ref()?.max_tokens? as usize;
        if self.shown < most || self.shown < self.token_ids.len() {
            return None;
        }
        let usage = TokenUsage {
            prompt_tokens: self.prompt_tokens,
            completion_tokens: count(&self.token_ids),
            cached_tokens: 0,
        };
        Some(Finished { reason: FinishReason::Length.into(), usage: Some(usage), ..Finished::default() })
    }
}

fn count(ids: &[u32]) -> u32 {
    u32::try_from(ids.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::{Sampling, TokenLogprob};

    fn passed(deltas: &[(&[u32], &str, usize)]) -> Passed {
        let mut passed = Passed::default();
        for &(ids, text, entries) in deltas {
            let logprobs = vec![TokenLogprob::default(); entries];
            passed.delta(&Delta { token_ids: ids.to_vec(), text: text.to_owned(), logprobs, ..Delta::default() });
        }
        passed
    }

    #[test]
    fn it_goes_on_behind_the_last_token_that_shows() {
        assert_eq!(passed(&[]).resumed(), None);
        assert_eq!(passed(&[(&[7], "", 0)]).resumed(), None);
        let resumed = |token_ids: &[u32], text_bytes, logprobs| {
            Some(Resumed { token_ids: token_ids.to_vec(), text_bytes, logprobs })
        };
        let mut parts = passed(&[(&[5], "a", 1), (&[6], "", 0), (&[7], "é", 2)]);
        assert_eq!(parts.resumed(), resumed(&[5, 6, 7], 3, 3));
        parts.delta(&Delta { token_ids: vec![8, 9], ..Delta::default() });
        assert_eq!(parts.resumed(), resumed(&[5, 6, 7], 3, 3), "the first part of a character");
    }

    fn add(passed: &mut Passed, ids: &[u32], text: &str) {
        passed.delta(&Delta { token_ids: ids.to_vec(), text: text.to_owned(), ..Delta::default() });
    }

    fn start(passed: &mut Passed, kept_tokens: Option<u32>) -> Option<u32> {
        let mut started = Started { kept_tokens, ..Started::default() };
        passed.started(&mut started);
        started.kept_tokens
    }

    /// However often an answer moves, its tokens are those that an undisturbed one has.
    #[test]
    fn what_is_generated_again_takes_the_place_of_what_was() {
        let mut parts = passed(&[(&[5], "a", 0), (&[6, 7], "", 0)]);
        assert_eq!(parts.resumed().unwrap().token_ids, [5]);
        assert_eq!(start(&mut parts, Some(1)), Some(1));
        add(&mut parts, &[6, 7], "");
        add(&mut parts, &[8], "é");
        add(&mut parts, &[9], "");
        assert_eq!((parts.resumed().unwrap().token_ids, parts.tokens()), (vec![5, 6, 7, 8], 4));
        let mut anew = passed(&[(&[7], "", 0)]);
        assert_eq!(anew.resumed(), None);
        assert!(!anew.is_begun(), "it begins anew");
        assert_eq!(start(&mut anew, None), Some(0), "who has more of it forgets that");
        add(&mut anew, &[17, 18], "x");
        assert_eq!(anew.resumed().unwrap().token_ids, [17, 18]);
    }

    /// Of tokens that came together it is not known which of them show; who has a tokenizer tells.
    #[test]
    fn who_goes_on_says_from_where() {
        let whole = || passed(&[(&[5, 6, 7], "ab", 0)]);
        for (told, kept) in [(None, 3), (Some(3), 3), (Some(2), 2), (Some(0), 0), (Some(9), 3)] {
            let mut parts = whole();
            assert_eq!(parts.resumed().unwrap().token_ids, [5, 6, 7]);
            assert_eq!(start(&mut parts, told), Some(kept), "{told:?}");
            assert_eq!(parts.tokens(), kept as usize, "{told:?}");
        }
        let mut parts = whole();
        start(&mut parts, Some(2));
        add(&mut parts, &[7], "");
        add(&mut parts, &[8], "é");
        assert_eq!(parts.resumed().unwrap().token_ids, [5, 6, 7, 8]);
    }

    /// Whoever hears of an answer through somebody else has the same tokens as that one.
    #[test]
    fn each_hop_has_the_same_tokens() {
        let (mut router, mut edge) = (Passed::default(), Passed::default());
        let pass = |router: &mut Passed, edge: &mut Passed, ids: &[u32], text| {
            add(router, ids, text);
            add(edge, ids, text);
        };
        let begin = |router: &mut Passed, edge: &mut Passed, kept_tokens| {
            let mut started = Started { kept_tokens, ..Started::default() };
            router.started(&mut started);
            edge.started(&mut started);
        };
        begin(&mut router, &mut edge, None);
        pass(&mut router, &mut edge, &[5, 6], "a");
        pass(&mut router, &mut edge, &[7], "");
        assert_eq!(router.resumed().unwrap().token_ids, [5, 6]);
        begin(&mut router, &mut edge, Some(1));
        pass(&mut router, &mut edge, &[6, 7], "");
        pass(&mut router, &mut edge, &[8], "é");
        assert_eq!([router.resumed(), edge.resumed()].map(|resumed| resumed.unwrap().token_ids), [[5, 6, 7, 8]; 2]);
    }

    #[test]
    fn an_answer_with_all_its_tokens_is_over() {
        let asked = |max_tokens| GenerateRequest {
            sampling: Some(Sampling { max_tokens, ..Sampling::default() }),
            ..GenerateRequest::default()
        };
        let mut whole = passed(&[(&[5], "a", 0), (&[6], "b", 0)]);
        whole.prompt(3);
        whole.prompt(9);
        let usage = whole.end(&asked(Some(2))).unwrap().usage.unwrap();
        assert_eq!((usage.prompt_tokens, usage.completion_tokens), (3, 2), "as it was told first");
        assert_eq!(whole.end(&asked(Some(3))), None);
        assert_eq!(whole.end(&asked(None)), None);
        whole.delta(&Delta { token_ids: vec![7], ..Delta::default() });
        assert_eq!(whole.end(&asked(Some(3))), None, "what its last token is does not show");
    }
}
