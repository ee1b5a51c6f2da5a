//! One answer being generated, a token at a time, without clock or socket.

use crate::answer::{Answer, Line};
use crate::held_text::{HeldText, Stops};
use crate::vocabulary;

/// What the caller asked of one generation, whichever dialect it asked in.
#[derive(Debug, Clone)]
pub(crate) struct Sampling {
    /// The most tokens that may be emitted; `None`: until the context is full.
    pub(crate) max_tokens: Option<u32>,
    pub(crate) min_tokens: u32,
    pub(crate) ignore_eos: bool,
    pub(crate) seed: u64,
    pub(crate) stops: Stops,
    pub(crate) stop_token_ids: Vec<u32>,
    /// How many alternatives are reported per token; `None`: no log-probabilities at all.
    pub(crate) logprobs: Option<u32>,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finish {
    /// By itself.
    EndOfSequence,
    StopString(usize),
    StopToken(u32),
    Length,
    Abort,
}

/// One answer being generated.
#[derive(Debug)]
pub(crate) struct Choice {
    pub(crate) index: u32,
    pub(crate) line: Line,
    /// Position in the answer of the token that comes next; more than zero at the start of a resumed answer.
    pub(crate) position: u32,
    pub(crate) emitted: u32,
    pub(crate) finish: Option<Finish>,
    /// The most tokens that may be emitted.
    limit: u32,
    held: HeldText,
    /// The last token ended inside a character.
    inside_character: bool,
    token: Vec<u8>,
}

impl Choice {
    /// `room` is how many tokens the context has left.
    pub(crate) fn new(index: u32, prompt: &[u32], answer: &Answer, eos: bool, sampling: &Sampling, room: u32) -> Self {
        let before = vocabulary::emitted_before(prompt);
        let mut line = Line::new(answer, &prompt[..prompt.len() - before], sampling.seed, index, eos);
        let position = u32::try_from(before).unwrap_or(u32::MAX);
        line.length = match line.length {
            _ if sampling.ignore_eos => None,
            Some(length) if length < position.saturating_add(sampling.min_tokens) => {
                Some(position.saturating_add(sampling.min_tokens))
            }
            length => length,
        };
        let limit = sampling.max_tokens.map_or(room, |most| most.min(room));
        let mut choice = Self {
            index,
            line,
            position,
            emitted: 0,
            finish: None,
            limit,
            held: HeldText::default(),
            inside_character: false,
            token: Vec::new(),
        };
        choice.finish = choice.end();
        choice
    }

    /// Emits one token: returns its id and appends to `shown` the text that it makes visible.
    pub(crate) fn step(&mut self, sampling: &Sampling, shown: &mut String) -> u32 {
        let id = self.line.token(self.position);
        self.position += 1;
        self.emitted += 1;
        let checked = self.emitted >= sampling.min_tokens;
        let stop_token = checked && sampling.stop_token_ids.contains(&id);
        self.token.clear();
        // A token that stops the answer shows only where a stop string would.
        if !stop_token || sampling.stops.include {
            vocabulary::push_bytes(id, self.line.script(), &mut self.token);
        }
        let stop = self.held.push(&self.token, &sampling.stops, checked, shown);
        self.finish = match stop {
            _ if stop_token => Some(Finish::StopToken(id)),
            Some(which) => Some(Finish::StopString(which)),
            None => self.end(),
        };
        self.inside_character = self.held.is_inside_character();
        if self.finish.is_some() {
            self.held.flush(shown);
        }
        id
    }

    /// The last token ended inside a character.
    pub(crate) fn is_inside_character(&self) -> bool {
        self.inside_character
    }

    /// Ends the answer from outside.
    pub(crate) fn abort(&mut self) {
        self.finish.get_or_insert(Finish::Abort);
    }

    fn end(&self) -> Option<Finish> {
        if self.line.length.is_some_and(|length| self.position >= length) {
            return Some(Finish::EndOfSequence);
        }
        (self.emitted >= self.limit).then_some(Finish::Length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampling() -> Sampling {
        Sampling {
            max_tokens: None,
            min_tokens: 0,
            ignore_eos: false,
            seed: 3,
            stops: Stops::default(),
            stop_token_ids: Vec::new(),
            logprobs: None,
        }
    }

    fn run(prompt: &[u32], answer: &Answer, sampling: &Sampling) -> (Vec<u32>, String, Finish) {
        let mut choice = Choice::new(0, prompt, answer, false, sampling, 100);
        let (mut ids, mut text) = (Vec::new(), String::new());
        while choice.finish.is_none() {
            ids.push(choice.step(sampling, &mut text));
        }
        (ids, text, choice.finish.unwrap())
    }

    #[test]
    fn an_answer_goes_on_where_another_engine_left_it() {
        for answer in [Answer::Words { tokens: 9 }, Answer::cut("naïve 日本語 crab 🦀!", 2)] {
            let prompt = vocabulary::tokenize("Tell me");
            let (ids, text, finish) = run(&prompt, &answer, &sampling());
            assert_eq!(finish, Finish::EndOfSequence);
            for emitted in 0..ids.len() {
                let resumed: Vec<u32> = prompt.iter().chain(&ids[..emitted]).copied().collect();
                let (rest, _, finish) = run(&resumed, &answer, &sampling());
                assert_eq!((&rest[..], finish), (&ids[emitted..], Finish::EndOfSequence));
            }
            let script = match &answer {
                Answer::Tokens(tokens) => tokens.to_vec(),
                Answer::Words { .. } => Vec::new(),
            };
            assert_eq!(vocabulary::detokenize(&ids, &script), text);
        }
    }

    #[test]
    fn lengths() {
        let answer = Answer::Words { tokens: 9 };
        let length = |change: fn(&mut Sampling)| {
            let mut sampling = sampling();
            change(&mut sampling);
            let (ids, _, finish) = run(&[1], &answer, &sampling);
            (ids.len(), finish)
        };
        assert_eq!(length(|_| ()), (9, Finish::EndOfSequence));
        assert_eq!(length(|s| s.max_tokens = Some(4)), (4, Finish::Length));
        assert_eq!(length(|s| s.min_tokens = 12), (12, Finish::EndOfSequence));
        assert_eq!(length(|s| s.ignore_eos = true), (100, Finish::Length));
    }

    #[test]
    fn stops() {
        let answer = Answer::text("one two three four");
        let mut stopping = sampling();
        stopping.stops.texts = vec!["nope".into(), "o th".into()];
        let (ids, text, finish) = run(&[1], &answer, &stopping);
        assert_eq!((ids.len(), text.as_str(), finish), (3, "one tw", Finish::StopString(1)));
        let mut stopping = sampling();
        stopping.stop_token_ids = vec![vocabulary::scripted(1)];
        assert_eq!(run(&[1], &answer, &stopping).2, Finish::StopToken(vocabulary::scripted(1)));
    }
}
