//! Going on with an answer that another replica began. No I/O.
//!
//! A free answer goes on behind its tokens, which the engine reads as a part of the prompt. One that is held to a schema
//! cannot: the engine's decoder would begin its schema anew. It is written again from the beginning, with the same seed,
//! and what the caller has of it already is compared and left out; an answer that comes out otherwise is not gone on with.

use std::{collections::HashMap, vec};

use cloudach_proto::v1::{
    Delta, ErrorCode, Failed, Finished, GenerateRequest, Prompt, Resumed, Sampling, TokenIds, prompt,
};

use super::failure::invalid;

/// What an answer that goes on differs in from a new one.
#[derive(Debug)]
pub(super) enum Resume {
    /// The prompt ends with so many tokens of the answer.
    GoingOn(u32),
    Replaying(Replay),
}

impl Resume {
    /// How `request` is resumed, if it is. Its prompt was made by [`go_on`] where that is how.
    pub(super) fn of(request: &GenerateRequest) -> Option<Self> {
        let resumed = request.resumed.as_ref()?;
        Some(match is_replayed(request) {
            true => Self::Replaying(Replay::of(resumed)),
            false => Self::GoingOn(count(&resumed.token_ids)),
        })
    }

    /// How many of the answer's tokens stay as the caller has them.
    pub(super) fn kept(&self) -> u32 {
        match self {
            Self::GoingOn(kept) => *kept,
            Self::Replaying(replay) => replay.had,
        }
    }

    /// The prompt's tokens without those that are the answer's.
    pub(super) fn prompt_tokens(&self, counted: u32) -> u32 {
        match self {
            Self::GoingOn(kept) => counted.saturating_sub(*kept),
            Self::Replaying(_) => counted,
        }
    }

    /// What of a delta the caller has not got yet.
    ///
    /// # Errors
    /// The answer is another one this time.
    pub(super) fn delta(&mut self, delta: Delta) -> Result<Option<Delta>, Failed> {
        match self {
            Self::GoingOn(_) => Ok(Some(delta)),
            Self::Replaying(replay) => replay.delta(delta),
        }
    }

    /// The end, counted as that of the whole answer.
    ///
    /// # Errors
    /// The answer ends before what the caller has of it.
    pub(super) fn end(&self, mut finished: Finished) -> Result<Finished, Failed> {
        match self {
            Self::GoingOn(kept) => {
                if let Some(usage) = &mut finished.usage {
                    usage.prompt_tokens = usage.prompt_tokens.saturating_sub(*kept);
                    usage.completion_tokens = usage.completion_tokens.saturating_add(*kept);
                    usage.cached_tokens = usage.cached_tokens.min(usage.prompt_tokens);
                }
                Ok(finished)
            }
            Self::Replaying(replay) if replay.is_over() => Ok(finished),
            Self::Replaying(_) => Err(came_out_otherwise()),
        }
    }
}

/// Whether the answer is written again instead of gone on with.
pub(super) fn is_replayed(request: &GenerateRequest) -> bool {
    request.constraint.is_some()
}

/// Makes a request whose engine goes on behind `kept`, tokens of the answer, of one with a prompt of `ids`.
///
/// # Errors
/// Nothing is left to be generated.
pub(super) fn go_on(
    request: &mut GenerateRequest,
    mut ids: Vec<u32>,
    kept: Vec<u32>,
    penalties: Penalties,
) -> Result<(), Failed> {
    let sampling = request.sampling.get_or_insert_default();
    let count = count(&kept);
    if let Some(most) = &mut sampling.max_tokens {
        *most = most.saturating_sub(count);
        if *most == 0 {
            return Err(invalid("max_tokens", "the answer that is to be gone on with has all its tokens"));
        }
    }
    if let Some(least) = &mut sampling.min_tokens {
        *least = least.saturating_sub(count);
    }
    // The draws that follow are not to repeat those before.
    if let Some(seed) = &mut sampling.seed {
        *seed = seed.wrapping_add(i64::from(count));
    }
    if penalties == Penalties::OfTheAnswer {
        weigh_down(sampling, &kept);
    }
    ids.extend_from_slice(&kept);
    request.prompt = Some(Prompt { prompt: Some(prompt::Prompt::TokenIds(TokenIds { ids })) });
    request.echo = false;
    request.resumed.get_or_insert_default().token_ids = kept;
    Ok(())
}

/// Which tokens an engine's presence and frequency penalties look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Penalties {
    /// Those of the prompt as well, so that it makes no difference where the answer begins.
    OfAll,
    OfTheAnswer,
}

/// Lets the penalties weigh on what was written before by a bias of the same size: exactly as long as no such token comes
/// again, and then the presence penalty counts twice.
fn weigh_down(sampling: &mut Sampling, kept: &[u32]) {
    let presence = sampling.presence_penalty.unwrap_or(0.0);
    let frequency = sampling.frequency_penalty.unwrap_or(0.0);
    if presence == 0.0 && frequency == 0.0 {
        return;
    }
    let mut times: HashMap<u32, f32> = HashMap::new();
    for &id in kept {
        *times.entry(id).or_default() += 1.0;
    }
    for (id, times) in times {
        *sampling.logit_bias.entry(id).or_default() -= presence + frequency * times;
    }
}

/// An answer that is written again: what of it the caller has.
#[derive(Debug)]
pub(super) struct Replay {
    /// How many tokens those were at first.
    had: u32,
    tokens: vec::IntoIter<u32>,
    text_bytes: u64,
    logprobs: u32,
}

impl Replay {
    fn of(resumed: &Resumed) -> Self {
        Self {
            had: count(&resumed.token_ids),
            tokens: resumed.token_ids.clone().into_iter(),
            text_bytes: resumed.text_bytes,
            logprobs: resumed.logprobs,
        }
    }

    fn is_over(&self) -> bool {
        self.tokens.len() == 0 && self.text_bytes == 0
    }

    fn delta(&mut self, mut delta: Delta) -> Result<Option<Delta>, Failed> {
        if self.is_over() {
            return Ok(Some(delta));
        }
        let had = self.tokens.len().min(delta.token_ids.len());
        if !self.tokens.by_ref().take(had).eq(delta.token_ids.drain(..had)) {
            return Err(came_out_otherwise());
        }
        let bytes = usize::try_from(self.text_bytes).unwrap_or(usize::MAX).min(delta.text.len());
        if !delta.text.is_char_boundary(bytes) {
            return Err(came_out_otherwise());
        }
        delta.text.drain(..bytes);
        self.text_bytes -= bytes as u64;
        let entries = delta.logprobs.len().min(self.logprobs as usize);
        delta.logprobs.drain(..entries);
        self.logprobs -= u32::try_from(entries).unwrap_or(self.logprobs);
        Ok((delta != Delta::default()).then_some(delta))
    }
}

fn came_out_otherwise() -> Failed {
    Failed::new(
        ErrorCode::ReplicaLost,
        "the replica that wrote this answer was lost, and another one would go on differently: send the request again",
    )
}

fn count(ids: &[u32]) -> u32 {
    u32::try_from(ids.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use cloudach_proto::v1::{Constraint, FinishReason, PromptText, TokenLogprob, TokenUsage, constraint};

    use super::*;

    fn request(sampling: Sampling, kept: &[u32]) -> GenerateRequest {
        let text = PromptText { text: "hi".into(), add_special_tokens: false };
        GenerateRequest {
            prompt: Some(Prompt { prompt: Some(prompt::Prompt::Text(text)) }),
            sampling: Some(sampling),
            echo: true,
            resumed: Some(Resumed { token_ids: kept.to_vec(), text_bytes: 3, logprobs: 0 }),
            ..GenerateRequest::default()
        }
    }

    fn going_on(sampling: Sampling, kept: &[u32], penalties: Penalties) -> Result<GenerateRequest, Failed> {
        let mut request = request(sampling, kept);
        go_on(&mut request, vec![1, 2], kept.to_vec(), penalties)?;
        Ok(request)
    }

    fn delta(ids: &[u32], text: &str, entries: &[&str]) -> Delta {
        let entry = |&token: &&str| TokenLogprob { token: token.to_owned(), ..TokenLogprob::default() };
        let logprobs = entries.iter().map(entry).collect();
        Delta { token_ids: ids.to_vec(), text: text.to_owned(), logprobs, ..Delta::default() }
    }

    #[test]
    fn what_was_written_becomes_prompt() {
        let sampling = Sampling {
            max_tokens: Some(10),
            min_tokens: Some(2),
            seed: Some(7),
            presence_penalty: Some(0.5),
            frequency_penalty: Some(0.25),
            logit_bias: [(5, 1.0)].into(),
            ..Sampling::default()
        };
        let resumed = going_on(sampling.clone(), &[5, 6, 5], Penalties::OfTheAnswer).unwrap();
        let ids = TokenIds { ids: vec![1, 2, 5, 6, 5] };
        assert_eq!(resumed.prompt.unwrap().prompt, Some(prompt::Prompt::TokenIds(ids)));
        assert!(!resumed.echo, "the caller has it");
        let changed = resumed.sampling.unwrap();
        assert_eq!((changed.max_tokens, changed.min_tokens, changed.seed), (Some(7), Some(0), Some(10)));
        assert_eq!(changed.logit_bias, [(5, 0.0), (6, -0.75)].into());
        let everything = going_on(sampling.clone(), &[5, 6, 5], Penalties::OfAll).unwrap();
        assert_eq!(everything.sampling.unwrap().logit_bias, [(5, 1.0)].into());
        let complete = Sampling { max_tokens: Some(3), ..sampling };
        assert_eq!(going_on(complete, &[5, 6, 5], Penalties::OfAll).unwrap_err().param, "max_tokens");
    }

    #[test]
    fn counts_are_those_of_the_whole_answer() {
        let resumed = going_on(Sampling::default(), &[5, 6, 5], Penalties::OfAll).unwrap();
        let resume = Resume::of(&resumed).unwrap();
        assert_eq!((resume.prompt_tokens(5), resume.kept()), (2, 3));
        let usage = |prompt_tokens, completion_tokens, cached_tokens| {
            let usage = Some(TokenUsage { prompt_tokens, completion_tokens, cached_tokens });
            Finished { reason: FinishReason::Stop.into(), usage, ..Finished::default() }
        };
        assert_eq!(resume.end(usage(5, 4, 4)), Ok(usage(2, 7, 2)));
    }

    /// However the answer is cut the second time, the caller gets what it has not got yet.
    #[test]
    fn what_is_written_again_is_left_out() {
        let schema = Constraint { kind: Some(constraint::Kind::JsonSchema("{}".into())) };
        let whole = [(7, "{\"a", "A"), (8, "é", "B"), (9, "\":", "C"), (10, "1}", "D")];
        for cut in 0..whole.len() {
            let had = &whole[..cut];
            let resumed = Resumed {
                token_ids: had.iter().map(|token| token.0).collect(),
                text_bytes: had.iter().map(|token| token.1.len() as u64).sum(),
                logprobs: u32::try_from(cut).unwrap(),
            };
            let request =
                GenerateRequest { constraint: Some(schema.clone()), resumed: Some(resumed), ..Default::default() };
            for size in 1..=whole.len() {
                let mut resume = Resume::of(&request).unwrap();
                assert_eq!(resume.kept() as usize, cut);
                let mut left = Delta::default();
                for part in whole.chunks(size) {
                    let ids: Vec<u32> = part.iter().map(|token| token.0).collect();
                    let text: String = part.iter().map(|token| token.1).collect();
                    let entries: Vec<&str> = part.iter().map(|token| token.2).collect();
                    if let Some(new) = resume.delta(delta(&ids, &text, &entries)).unwrap() {
                        left.token_ids.extend(new.token_ids);
                        left.text.push_str(&new.text);
                        left.logprobs.extend(new.logprobs);
                    }
                }
                let rest = &whole[cut..];
                let ids: Vec<u32> = rest.iter().map(|token| token.0).collect();
                let text: String = rest.iter().map(|token| token.1).collect();
                let entries: Vec<&str> = rest.iter().map(|token| token.2).collect();
                assert_eq!(left, delta(&ids, &text, &entries), "{cut} had, {size} at a time");
                assert!(resume.end(Finished::default()).is_ok());
            }
        }
    }

    #[test]
    fn another_answer_is_not_gone_on_with() {
        let resumed = Resumed { token_ids: vec![7, 8], text_bytes: 3, logprobs: 0 };
        let constraint = Some(Constraint::default());
        let request = GenerateRequest { constraint, resumed: Some(resumed), ..GenerateRequest::default() };
        for (first, second) in [
            (delta(&[6], "x", &[]), None),
            (delta(&[7], "x", &[]), Some(delta(&[9], "yz", &[]))),
            (delta(&[7, 8], "xyé", &[]), None),
        ] {
            let mut resume = Resume::of(&request).unwrap();
            let failed = match (resume.delta(first), second) {
                (Err(failed), _) => failed,
                (Ok(_), Some(second)) => resume.delta(second).unwrap_err(),
                (Ok(delta), None) => panic!("{delta:?}"),
            };
            assert_eq!((failed.code(), failed.retryable), (ErrorCode::ReplicaLost, false));
        }
        let mut resume = Resume::of(&request).unwrap();
        assert_eq!(resume.delta(delta(&[7], "x", &[])), Ok(None));
        assert!(resume.end(Finished::default()).is_err(), "it is over too soon");
    }
}
