//! Log-probabilities as vLLM's completions have them: four lists, one entry in each per token.

use crate::answer::{mix, prompt_logprob};
use crate::choice::Choice;
use crate::json::{push_float, push_list, push_number, push_str};
use crate::vocabulary;

/// One token with its alternatives, the token itself first among them.
#[derive(Debug)]
pub(super) struct Entry {
    text: String,
    /// Nothing stands before the first token of a prompt, so that it has none.
    scores: Option<Vec<(String, f64)>>,
    /// In characters.
    offset: usize,
}

/// What is kept from one event to the next.
#[derive(Debug, Default, Clone)]
pub(super) struct Spelling {
    /// Bytes of a character that is not complete.
    partial: Vec<u8>,
    /// Characters so far.
    offset: usize,
}

/// How tokens are written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    /// How many alternatives there are.
    pub(super) alternatives: u32,
    /// `token_id:7` instead of text.
    pub(super) as_ids: bool,
}

/// The entries of a prompt. The token itself comes on top of the alternatives: it is rarely the likeliest.
pub(super) fn of_prompt(prompt: &[u32], choice: &Choice, style: Style, spelling: &mut Spelling) -> Vec<Entry> {
    let entry = |(position, &id): (u32, &u32)| {
        let text = style.text(id, choice, spelling);
        let logprob = prompt_logprob(position, id);
        let mut scores = vec![(text.clone(), logprob)];
        for place in 0..style.alternatives {
            let other = vocabulary::word(mix(u64::from(position) << 32 | u64::from(place)));
            scores.push((style.text(other, choice, &mut Spelling::default()), logprob / f64::from(place + 2)));
        }
        spelling.entry(text, (position > 0).then_some(scores))
    };
    (0..).zip(prompt).map(entry).collect()
}

/// The entries of tokens of an answer, the first of them at this position.
pub(super) fn of_answer(ids: &[u32], first: u32, choice: &Choice, style: Style, spelling: &mut Spelling) -> Vec<Entry> {
    let entry = |(position, &id): (u32, &u32)| {
        let text = style.text(id, choice, spelling);
        let mut scores = vec![(text.clone(), choice.line.logprob(position))];
        for place in 1..style.alternatives {
            let (other, logprob) = choice.line.runner_up(position, place);
            scores.push((style.text(other, choice, &mut Spelling::default()), logprob));
        }
        spelling.entry(text, Some(scores))
    };
    (first..).zip(ids).map(entry).collect()
}

pub(super) fn push(out: &mut Vec<u8>, entries: &[Entry]) {
    out.extend_from_slice(b"{\"text_offset\":");
    push_list(out, entries, |out, entry| push_number(out, entry.offset as u64));
    out.extend_from_slice(b",\"token_logprobs\":");
    push_list(out, entries, |out, entry| match entry.scores.as_deref() {
        Some([(_, own), ..]) => push_float(out, *own),
        _ => out.extend_from_slice(b"null"),
    });
    out.extend_from_slice(b",\"tokens\":");
    push_list(out, entries, |out, entry| push_str(out, &entry.text));
    out.extend_from_slice(b",\"top_logprobs\":");
    push_list(out, entries, |out, entry| {
        let Some(scores) = &entry.scores else {
            out.extend_from_slice(b"null");
            return;
        };
        out.push(b'{');
        for (at, (text, logprob)) in scores.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            push_str(out, text);
            out.push(b':');
            push_float(out, *logprob);
        }
        out.push(b'}');
    });
    out.push(b'}');
}

impl Style {
    /// Of a character in several tokens the last one has the text and the others have none.
    fn text(self, id: u32, choice: &Choice, spelling: &mut Spelling) -> String {
        if self.as_ids {
            return format!("token_id:{id}");
        }
        vocabulary::push_bytes(id, choice.line.script(), &mut spelling.partial);
        let text = String::from_utf8_lossy(&spelling.partial).into_owned();
        if text.ends_with(char::REPLACEMENT_CHARACTER) {
            return String::new();
        }
        spelling.partial.clear();
        text
    }
}

impl Spelling {
    fn entry(&mut self, text: String, scores: Option<Vec<(String, f64)>>) -> Entry {
        let offset = self.offset;
        self.offset += text.chars().count();
        Entry { text, scores, offset }
    }
}
