//! Tells what a model thinks from what it answers.

use std::sync::Arc;

use super::marker::{Found, Pending, find};
use super::space;

/// What stands between the turns of some prompt: a mark behind it is of the turn that the model continues.
const TURNS: &[&str] = &["<|", "<｜", "]~", "[INST]", "[/INST]", "<seed:bos>", "<start_of_turn>"];

/// How a format marks reasoning.
#[derive(Debug)]
pub(super) struct Marks {
    pub start: &'static [&'static str],
    pub end: &'static [&'static str],
    /// Where the prompt does not tell.
    pub opening: Opening,
    /// Reasoning may begin anywhere, not only before the answer.
    pub anywhere: bool,
    /// Marks that are repeated where they say nothing new are left out.
    pub hides_repeated: bool,
    /// White space at the end of reasoning is left out.
    pub trims: bool,
    /// What begins calls ends reasoning too.
    pub ends_with_call: bool,
    /// Marks around the answer, which are left out.
    pub answer: &'static [&'static str],
    /// What is put before an answer.
    pub prefix: &'static str,
}

/// How the output begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opening {
    Reasoning,
    Answer,
}

/// A piece of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part<'a> {
    Reasoning(&'a str),
    /// The answer, with the calls in it.
    Content(&'a str),
}

/// Reads one choice.
#[derive(Debug, Clone)]
pub(super) struct ReasoningReader {
    marks: &'static Marks,
    /// What stands in reasoning and is none: end marks, then what begins calls, then start marks.
    in_reasoning: Arc<[&'static str]>,
    /// What begins calls, as far as it ends reasoning.
    calls: &'static [&'static str],
    /// What stands in an answer and is none: its marks, then start marks, then end marks.
    in_answer: Arc<[&'static str]>,
    pending: Pending,
    state: State,
    /// White space that waits for what follows.
    space: String,
    prefixed: bool,
    /// The prompt holds the model's reasoning, whole or empty.
    closed: bool,
    /// The answer is inside of a call, where marks are a part of its arguments.
    in_call: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing but white space has come.
    Begin(Opening),
    Reasoning,
    Answer,
}

/// Where parts go. It tells whether the part ends inside of a call.
type Emit<'e> = &'e mut dyn FnMut(Part<'_>) -> bool;

impl ReasoningReader {
    /// `calls`: what begins calls in the model's format. `prompt_end`: the end of the prompt.
    pub(super) fn new(marks: &'static Marks, calls: &'static [&'static str], prompt_end: &str) -> Self {
        let calls = if marks.ends_with_call { calls } else { &[] };
        let repeated = |all: &'static [&'static str]| if marks.hides_repeated { all } else { &[] };
        let anywhere = if marks.anywhere { marks.start } else { &[] };
        let (opening, closed) = opening(marks, prompt_end);
        Self {
            marks,
            in_reasoning: marks.end.iter().chain(calls).chain(repeated(marks.start)).copied().collect(),
            calls,
            in_answer: marks.answer.iter().chain(anywhere).chain(repeated(marks.end)).copied().collect(),
            pending: Pending::default(),
            state: State::Begin(opening),
            space: String::new(),
            prefixed: false,
            closed,
            in_call: false,
        }
    }

    /// Whether the model may think before it answers.
    pub(super) fn is_open(&self) -> bool {
        !self.closed
    }

    /// Whether all text was understood, and the model does not think.
    pub(super) fn rests(&self) -> bool {
        self.pending.is_empty()
            && self.space.is_empty()
            && match self.state {
                State::Begin(opening) => matches!(opening, Opening::Answer),
                State::Reasoning => false,
                State::Answer => true,
            }
    }

    pub(super) fn push(&mut self, text: &str, emit: Emit<'_>) {
        let mut pending = std::mem::take(&mut self.pending);
        pending.read(text, |text| self.read(text, false, emit));
        self.pending = pending;
    }

    pub(super) fn finish(&mut self, emit: Emit<'_>) {
        let mut pending = std::mem::take(&mut self.pending);
        pending.read("", |text| self.read(text, true, emit));
        let space = std::mem::take(&mut self.space);
        match self.state {
            _ if space.is_empty() => {}
            State::Begin(Opening::Answer) => {
                emit(Part::Content(&space));
            }
            State::Begin(Opening::Reasoning) if !self.marks.trims => {
                emit(Part::Reasoning(&space));
            }
            State::Begin(_) | State::Reasoning | State::Answer => {}
        }
    }

    /// Reads as much as can be understood.
    fn read(&mut self, text: &str, last: bool, emit: Emit<'_>) -> usize {
        let mut length = 0;
        while length < text.len() {
            let rest = &text[length..];
            let step = match self.state {
                State::Begin(opening) => self.begin(opening, rest, last, emit),
                State::Reasoning => self.reasoning(rest, last, emit),
                State::Answer => self.answer(rest, last, emit),
            };
            match step {
                Some(step) => length += step,
                None => break,
            }
        }
        length
    }

    fn begin(&mut self, opening: Opening, text: &str, last: bool, emit: Emit<'_>) -> Option<usize> {
        let space = text.len() - text.trim_start().len();
        if space > 0 {
            space::hold(&mut self.space, &text[..space]);
            return Some(space);
        }
        match find(self.marks.start, text, last) {
            Found::Marker { at: 0, which } => {
                self.space.clear();
                self.state = State::Reasoning;
                return Some(self.marks.start[which].len());
            }
            Found::Maybe(0) => return None,
            Found::Marker { .. } | Found::Maybe(_) | Found::Nothing => {}
        }
        let space = std::mem::take(&mut self.space);
        match opening {
            Opening::Reasoning => {
                self.state = State::Reasoning;
                self.give_reasoning(&space, emit);
            }
            Opening::Answer => {
                self.state = State::Answer;
                self.give_answer(&space, emit);
            }
        }
        Some(0)
    }

    fn reasoning(&mut self, text: &str, last: bool, emit: Emit<'_>) -> Option<usize> {
        let marks = self.marks;
        let (at, which) = match find(&self.in_reasoning, text, last) {
            Found::Marker { at, which } => (at, Some(which)),
            Found::Maybe(0) => return None,
            Found::Maybe(at) => (at, None),
            Found::Nothing => (text.len(), None),
        };
        if at > 0 {
            self.give_reasoning(&text[..at], emit);
        }
        let Some(which) = which else { return Some(at) };
        if which >= marks.end.len() + self.calls.len() {
            return Some(at + self.in_reasoning[which].len());
        }
        self.space.clear();
        self.state = State::Answer;
        Some(if which < marks.end.len() { at + self.in_reasoning[which].len() } else { at })
    }

    fn answer(&mut self, text: &str, last: bool, emit: Emit<'_>) -> Option<usize> {
        let marks = self.marks;
        let (at, which) = match find(&self.in_answer, text, last) {
            Found::Marker { at, which } => (at, Some(which)),
            Found::Maybe(0) => return None,
            Found::Maybe(at) => (at, None),
            Found::Nothing => (text.len(), None),
        };
        if at > 0 {
            self.give_answer(&text[..at], emit);
        }
        let Some(which) = which else { return Some(at) };
        let marker = self.in_answer[which];
        if self.in_call {
            let sign = marker.chars().next().map_or(0, char::len_utf8);
            self.give_answer(&marker[..sign], emit);
            return Some(at + sign);
        }
        if marks.start.contains(&marker) {
            self.state = State::Reasoning;
        }
        Some(at + marker.len())
    }

    fn give_reasoning(&mut self, text: &str, emit: Emit<'_>) {
        if !self.marks.trims {
            if !text.is_empty() {
                emit(Part::Reasoning(text));
            }
            return;
        }
        for run in space::runs(text) {
            let (shown, space) = run.split_at(run.trim_end().len());
            if !shown.is_empty() {
                if !self.space.is_empty() {
                    emit(Part::Reasoning(&std::mem::take(&mut self.space)));
                }
                emit(Part::Reasoning(shown));
            }
            space::hold(&mut self.space, space);
        }
    }

    fn give_answer(&mut self, text: &str, emit: Emit<'_>) {
        if text.is_empty() {
            return;
        }
        if !std::mem::replace(&mut self.prefixed, true) && !self.marks.prefix.is_empty() {
            emit(Part::Content(self.marks.prefix));
        }
        self.in_call = emit(Part::Content(text));
    }
}

/// Where the prompt leaves the model: the last mark in it tells, if it is of the turn that the model continues. And whether
/// that is behind its reasoning.
fn opening(marks: &Marks, prompt_end: &str) -> (Opening, bool) {
    let last = |all: &[&str]| {
        let ends = all.iter().filter_map(|mark| prompt_end.rfind(mark.trim()).map(|at| at + mark.trim().len()));
        ends.max()
    };
    // Marks before it may be a client's own words.
    let is_of_turn = |at: usize| !TURNS.iter().any(|turn| prompt_end[at..].contains(turn));
    match (last(marks.start), last(marks.end)) {
        (Some(start), end) if end.is_none_or(|end| end < start) && is_of_turn(start) => (Opening::Reasoning, false),
        (_, Some(end)) if is_of_turn(end) => (Opening::Answer, true),
        (..) => (marks.opening, false),
    }
}
