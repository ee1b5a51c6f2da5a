//! How llama.cpp words a completion: its events, its last event with timings, its probabilities.

use std::io::Write;
use std::sync::Arc;

use http::StatusCode;
use serde_json::json;
use tokio::time::Instant;

use super::complaint;
use crate::choice::{Choice, Finish, Sampling};
use crate::events::Events;
use crate::fault::Trouble;
use crate::json::{push_float, push_ids, push_list, push_number, push_str};
use crate::reply::{Collected, Format, Tokens, Whole};
use crate::vocabulary;

/// What a request asked of its response.
pub(super) struct Settings {
    pub(super) model: String,
    /// The last event repeats the prompt.
    pub(super) prompt: String,
    pub(super) prompt_tokens: u64,
    pub(super) cached_tokens: u32,
    pub(super) return_tokens: bool,
    pub(super) progress: bool,
    /// The context has less room than was asked for.
    pub(super) capped: bool,
    pub(super) started: Instant,
}

pub(super) struct Completion {
    settings: Settings,
    sampling: Arc<Sampling>,
    first_token: Option<Instant>,
    /// Answers whose last event is written.
    ended: Vec<bool>,
}

impl Completion {
    pub(super) fn new(settings: Settings, sampling: Arc<Sampling>, choices: usize) -> Self {
        Self { settings, sampling, first_token: None, ended: vec![false; choices] }
    }

    /// `shown`: the text of the event that these tokens are told with. The real server takes it for the token's own.
    fn push_probabilities(&self, out: &mut Vec<u8>, choice: &Choice, ids: &[u32], first: u32, shown: Option<&str>) {
        let Some(alternatives) = self.sampling.logprobs else { return };
        out.extend_from_slice(b",\"completion_probabilities\":");
        let tokens: Vec<(u32, u32)> = (first..).zip(ids.iter().copied()).collect();
        push_list(out, &tokens, |out, &(position, id)| {
            let logprob = choice.line.logprob(position);
            match shown {
                Some(text) => push_piece(out, id, text.as_bytes(), logprob),
                None => push_token(out, choice, id, logprob),
            }
            out.extend_from_slice(b",\"top_logprobs\":");
            let places: Vec<u32> = (0..alternatives).collect();
            push_list(out, &places, |out, &place| {
                let (id, logprob) = if place == 0 { (id, logprob) } else { choice.line.runner_up(position, place) };
                push_token(out, choice, id, logprob);
                out.push(b'}');
            });
            out.push(b'}');
        });
    }

    /// The object that ends a stream, or is the whole response.
    fn push_last(&self, out: &mut Vec<u8>, choice: &Choice, collected: Option<&Collected>) {
        let (stop_type, stopping_word) = match choice.finish {
            Some(Finish::EndOfSequence | Finish::StopToken(_)) => ("eos", ""),
            Some(Finish::StopString(which)) => ("word", self.sampling.stops.texts[which].as_str()),
            Some(Finish::Length) => ("limit", ""),
            Some(Finish::Abort) | None => ("none", ""),
        };
        let truncated = choice.finish == Some(Finish::Length) && self.settings.capped;
        out.extend_from_slice(b"{\"index\":");
        push_number(out, u64::from(choice.index));
        out.extend_from_slice(b",\"content\":");
        push_str(out, collected.map_or("", |collected| &collected.text));
        out.extend_from_slice(b",\"tokens\":");
        push_ids(out, collected.filter(|_| self.settings.return_tokens).map_or(&[], |collected| &collected.ids));
        out.extend_from_slice(b",\"id_slot\":0,\"stop\":true,\"model\":");
        push_str(out, &self.settings.model);
        let predicted = u64::from(choice.emitted);
        let prompt_tokens = self.settings.prompt_tokens;
        write!(out, ",\"tokens_predicted\":{predicted},\"tokens_evaluated\":{prompt_tokens}")
            .expect("a buffer takes everything");
        out.extend_from_slice(b",\"generation_settings\":{},\"prompt\":");
        push_str(out, &self.settings.prompt);
        write!(out, ",\"has_new_line\":false,\"truncated\":{truncated},\"stop_type\":\"{stop_type}\"")
            .expect("a buffer takes everything");
        out.extend_from_slice(b",\"stopping_word\":");
        push_str(out, stopping_word);
        let cached = self.settings.cached_tokens;
        let first = self.first_token.unwrap_or(self.settings.started);
        let timings = json!({
            "cache_n": cached,
            "prompt_n": prompt_tokens.saturating_sub(u64::from(cached)),
            "prompt_ms": (first - self.settings.started).as_secs_f64() * 1000.0,
            "predicted_n": predicted,
            "predicted_ms": first.elapsed().as_secs_f64() * 1000.0,
        });
        write!(out, ",\"tokens_cached\":{},\"timings\":{timings}", (prompt_tokens + predicted).saturating_sub(1))
            .expect("a buffer takes everything");
        if let Some(collected) = collected {
            self.push_probabilities(out, choice, &collected.ids, choice.position - choice.emitted, None);
        }
        out.push(b'}');
    }
}

impl Format for Completion {
    fn open(&mut self, events: &mut Events, choices: &[Choice]) {
        if !self.settings.progress {
            return;
        }
        let total = self.settings.prompt_tokens;
        let cache = u64::from(self.settings.cached_tokens);
        for choice in choices {
            for processed in [cache + (total - cache) / 2, total] {
                // The id 0 is no token: the real server sends it, too.
                let progress = json!({
                    "index": choice.index, "content": "", "tokens": [0], "stop": false, "id_slot": -1,
                    "tokens_predicted": 0, "tokens_evaluated": total,
                    "prompt_progress": {"total": total, "cache": cache, "processed": processed, "time_ms": 0},
                });
                events.push(|out| out.extend_from_slice(progress.to_string().as_bytes()));
            }
        }
    }

    fn tokens(&mut self, events: &mut Events, tokens: &Tokens<'_>) {
        self.first_token.get_or_insert_with(Instant::now);
        let choice = tokens.choice;
        // A character that spans several tokens is one event with the last one's id: the others' ids are lost.
        if let &[id] = tokens.ids
            && !choice.is_inside_character()
        {
            events.push(|out| {
                out.extend_from_slice(b"{\"index\":");
                push_number(out, u64::from(choice.index));
                out.extend_from_slice(b",\"content\":");
                push_str(out, tokens.text);
                out.extend_from_slice(b",\"tokens\":");
                push_ids(out, if self.settings.return_tokens { std::slice::from_ref(&id) } else { &[] });
                out.extend_from_slice(b",\"stop\":false,\"id_slot\":-1,\"tokens_predicted\":");
                push_number(out, u64::from(choice.emitted));
                out.extend_from_slice(b",\"tokens_evaluated\":");
                push_number(out, self.settings.prompt_tokens);
                self.push_probabilities(out, choice, &[id], choice.position - 1, Some(tokens.text));
                out.push(b'}');
            });
        }
        let index = choice.index as usize;
        if choice.finish.is_some() && !std::mem::replace(&mut self.ended[index], true) {
            events.push(|out| self.push_last(out, choice, None));
        }
    }

    fn close(&mut self, _events: &mut Events, _choices: &[Choice]) {}

    fn broken(&mut self, events: &mut Events, trouble: Trouble, context: u32) {
        let body = complaint(trouble, context).body;
        events.push(|out| out.extend_from_slice(&body));
    }

    fn whole(&mut self, choices: &[Choice], collected: &[Collected]) -> Whole {
        let both: Vec<_> = choices.iter().zip(collected).collect();
        let mut body = Vec::new();
        match both[..] {
            [(choice, collected)] => self.push_last(&mut body, choice, Some(collected)),
            _ => push_list(&mut body, &both, |out, (choice, collected)| self.push_last(out, choice, Some(collected))),
        }
        Whole { status: StatusCode::OK, content_type: "application/json; charset=utf-8", body }
    }
}

/// `{"id":..,"token":..,"bytes":..,"logprob":..` without its end.
fn push_token(out: &mut Vec<u8>, choice: &Choice, id: u32, logprob: f64) {
    let mut bytes = Vec::new();
    vocabulary::push_bytes(id, choice.line.script(), &mut bytes);
    push_piece(out, id, &bytes, logprob);
}

fn push_piece(out: &mut Vec<u8>, id: u32, bytes: &[u8], logprob: f64) {
    out.extend_from_slice(b"{\"id\":");
    push_number(out, u64::from(id));
    out.extend_from_slice(b",\"token\":");
    push_str(out, &String::from_utf8_lossy(bytes));
    out.extend_from_slice(b",\"bytes\":");
    push_list(out, bytes, |out, &byte| push_number(out, u64::from(byte)));
    out.extend_from_slice(b",\"logprob\":");
    push_float(out, logprob);
}
