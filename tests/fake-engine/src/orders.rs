//! What one request is to do: the script's settings, changed by the directives in its prompt.
//!
//! A directive stands anywhere in the prompt, the later one wins, and what cannot be read is ordinary text:
//! `[[tokens=200]]`, `[[first=1s]]` (delay before the first token), `[[delay=5ms]]` (between tokens),
//! `[[say:any text]]`, `[[free:any text]]` (said where no schema asks for anything else), `[[eos=false]]`, `[[burst=2]]` (tokens per event), `[[fault:die_after=3]]`, `[[wire:crlf]]`,
//! `[[wire:no_space]]`, `[[wire:split=3]]`, `[[items=2]]` (in the arrays of an answer that follows a schema). Where the
//! said text, or that answer, is cut into tokens: `[[cut=3]]` (every three bytes), `[[cut_at=3]]` (two tokens, cut at
//! byte 3), `[[cuts=3,7,8]]`.

use std::time::Duration;

use crate::answer::{Answer, mix};
use crate::fault::Fault;
use crate::script::Script;

/// As good as forever, and nothing that overflows a clock.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// How fast tokens come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pace {
    pub first_token: Duration,
    pub inter_token: Duration,
}

/// How server-sent events look on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WireStyle {
    /// Lines end in CR LF instead of LF.
    pub crlf: bool,
    /// `data:{` instead of `data: {`.
    pub no_space: bool,
    /// Sends every event in TCP segments of so many bytes, which cuts characters and HTTP chunk headers.
    pub split: Option<usize>,
}

/// What one request is to do.
#[derive(Debug, Clone)]
pub(crate) struct Orders {
    pub(crate) answer: Answer,
    /// The prompt's `[[say:..]]` or `[[tokens=..]]` goes before a schema; the script's own answer does not.
    answer_ordered: bool,
    pub(crate) eos: bool,
    pub(crate) burst: u32,
    pub(crate) pace: Pace,
    pub(crate) fault: Option<Fault>,
    pub(crate) wire: WireStyle,
    /// How many elements the arrays of an answer that follows a schema have, where the schema lets them.
    pub(crate) items: Option<u64>,
    cut: Option<Cut>,
}

/// Where a text is cut into tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Cut {
    Every(usize),
    At(Vec<usize>),
}

/// Tokens of an answer that follows a schema, in bytes.
const CONSTRAINED_TOKEN: usize = 4;

/// A wire style that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("unknown wire style `{0}`, use crlf, no_space or split=BYTES")]
pub struct UnknownWireStyle(String);

impl Orders {
    /// Reads what the script and the prompt say. `emitted` is how many tokens of the answer an engine gave before:
    /// what the prompt itself says about faults is then over, so that a resumed request comes to its end.
    pub(crate) fn new(script: &Script, prompt: &str, emitted: u32) -> Self {
        let mut orders = Self {
            answer: script.answer.clone(),
            answer_ordered: false,
            eos: script.eos,
            burst: script.burst.max(1),
            pace: script.pace.bounded(),
            fault: None,
            wire: script.wire,
            items: None,
            cut: None,
        };
        for directive in directives(prompt) {
            orders.follow(directive);
        }
        if let (Some(cut), Some(text)) = (&orders.cut, last_said(prompt)) {
            orders.answer = cut.of(text);
        }
        if emitted > 0 {
            orders.fault = None;
        }
        if orders.fault.is_none() {
            orders.fault = script.faults.iter().find_map(|rule| rule.strike(prompt));
        }
        if matches!(orders.fault, Some(Fault::After(after, _)) if after < emitted) {
            orders.fault = None;
        }
        orders
    }

    /// Answers with this text, which a schema or a choice asks for, unless the prompt orders another.
    pub(crate) fn constrained(&mut self, text: &str) {
        if !self.answer_ordered {
            self.answer = self.cut.as_ref().unwrap_or(&Cut::Every(CONSTRAINED_TOKEN)).of(text);
        }
    }

    /// Lets the script's share of requests fail: which ones is decided by their number.
    pub(crate) fn failing_by_rate(mut self, script: &Script, number: u64) -> Self {
        let draw = u32::try_from(mix(number) >> 32).expect("32 bits are left");
        if self.fault.is_none() && f64::from(draw) < script.fail_rate * f64::from(u32::MAX) {
            self.fault = Some(Fault::Status(500));
        }
        self
    }

    fn follow(&mut self, directive: &str) {
        if let Some(text) = directive.strip_prefix("say:") {
            self.answer = Answer::text(text);
            self.answer_ordered = true;
        } else if let Some(text) = directive.strip_prefix("free:") {
            self.answer = Answer::text(text);
        } else if let Some(fault) = directive.strip_prefix("fault:") {
            self.fault = fault.parse().ok().or(self.fault);
        } else if let Some(style) = directive.strip_prefix("wire:") {
            self.wire = self.wire.with(style).unwrap_or(self.wire);
        } else if let Some((name, value)) = directive.split_once('=') {
            match name {
                "tokens" => {
                    if let Ok(tokens) = value.parse() {
                        self.answer = Answer::Words { tokens };
                        self.answer_ordered = true;
                    }
                }
                "first" => self.pace.first_token = duration(value).unwrap_or(self.pace.first_token),
                "delay" => self.pace.inter_token = duration(value).unwrap_or(self.pace.inter_token),
                "eos" => self.eos = value.parse().unwrap_or(self.eos),
                "burst" => self.burst = value.parse().unwrap_or(self.burst).max(1),
                "items" => self.items = value.parse().ok().or(self.items),
                "cut" => self.cut = value.parse().ok().map(Cut::Every).or(self.cut.take()),
                "cut_at" | "cuts" => {
                    let cuts: Result<Vec<usize>, _> = value.split(',').map(str::parse).collect();
                    self.cut = cuts.ok().map(Cut::At).or(self.cut.take());
                }
                _ => {}
            }
        }
    }
}

impl Cut {
    fn of(&self, text: &str) -> Answer {
        match self {
            Self::Every(size) => Answer::cut(text, *size),
            Self::At(cuts) => Answer::cut_at(text, cuts),
        }
    }
}

impl Pace {
    fn bounded(self) -> Self {
        Self { first_token: self.first_token.min(LONGEST_WAIT), inter_token: self.inter_token.min(LONGEST_WAIT) }
    }
}

impl WireStyle {
    /// This style with one habit more.
    pub fn with(mut self, habit: &str) -> Result<Self, UnknownWireStyle> {
        match habit.split_once('=') {
            None if habit == "crlf" => self.crlf = true,
            None if habit == "no_space" => self.no_space = true,
            Some(("split", size)) if size.parse::<usize>().is_ok_and(|size| size > 0) => {
                self.split = size.parse().ok();
            }
            _ => return Err(UnknownWireStyle(habit.to_owned())),
        }
        Ok(self)
    }
}

/// The inside of every `[[..]]` in the text.
fn directives(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let inside = rest.split_once("[[")?.1;
        let (directive, after) = inside.split_once("]]")?;
        rest = after;
        Some(directive)
    })
}

fn last_said(text: &str) -> Option<&str> {
    directives(text).filter_map(|directive| directive.strip_prefix("say:").or(directive.strip_prefix("free:"))).last()
}

fn duration(text: &str) -> Option<Duration> {
    humantime::parse_duration(text).ok().map(|wait| wait.min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{Break, FaultRule};

    fn orders(prompt: &str) -> Orders {
        Orders::new(&Script::default(), prompt, 0)
    }

    #[test]
    fn directives_are_found_anywhere_in_the_prompt() {
        let orders =
            orders("<|user|>hi [[tokens=7]][[delay=5ms]] there [[first=1s]] [[fault:stall_after=2]] [[wire:crlf]]");
        assert!(matches!(orders.answer, Answer::Words { tokens: 7 }));
        assert_eq!(orders.pace.inter_token, Duration::from_millis(5));
        assert_eq!(orders.pace.first_token, Duration::from_secs(1));
        assert_eq!(orders.fault, Some(Fault::After(2, Break::Stall)));
        assert!(orders.wire.crlf);
    }

    #[test]
    fn what_cannot_be_read_changes_nothing() {
        let orders = orders("[[tokens=many]] [[delay=soon]] [[fault:x]] [[wire:y]] [[open");
        assert!(matches!(orders.answer, Answer::Words { tokens: 32 }));
        assert_eq!((orders.pace, orders.fault, orders.wire), (Pace::default(), None, WireStyle::default()));
    }

    #[test]
    fn waits_are_bounded() {
        assert_eq!(orders("[[delay=100000years]]").pace.inter_token, LONGEST_WAIT);
    }

    #[test]
    fn said_text_can_be_cut_into_bytes() {
        let Answer::Tokens(tokens) = orders("[[say:日本]][[cut=2]]").answer else { panic!("said text is tokens") };
        assert_eq!(tokens.len(), 3);
        let count = |cut: &str| match orders(&format!("[[say:日本]]{cut}")).answer {
            Answer::Tokens(tokens) => tokens.len(),
            Answer::Words { .. } => 0,
        };
        assert_eq!((count("[[cut_at=4]]"), count("[[cut_at=0]]"), count("[[cut_at=9]]")), (2, 2, 2));
        assert_eq!((count("[[cuts=1,2,5]]"), count("[[cuts=1,x]]")), (4, 1));
    }

    #[test]
    fn a_resumed_request_does_not_fail_by_its_prompt_again() {
        let script = Script::default();
        assert_eq!(Orders::new(&script, "[[fault:die_after=3]]", 3).fault, None);
        let script = script.fault(FaultRule::from(Fault::After(5, Break::Reset)));
        assert_eq!(Orders::new(&script, "", 3).fault, Some(Fault::After(5, Break::Reset)));
        assert_eq!(Orders::new(&script, "", 6).fault, None);
    }
}
