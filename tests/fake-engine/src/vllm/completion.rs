//! How vLLM words a completion: chunks, the whole response, usage, log-probabilities.

use std::io::Write;
use std::sync::Arc;

use http::StatusCode;

use super::errors::Refusal;
use super::logprobs::{self, Entry, Spelling, Style};
use crate::choice::{Choice, Finish, Sampling};
use crate::events::Events;
use crate::fault::Trouble;
use crate::json::{push_ids, push_list, push_number, push_str, to_bytes};
use crate::reply::{Collected, Format, Tokens, Whole};
use crate::script::FrontEnd;
use crate::vocabulary;

/// What a request asked of its response.
pub(super) struct Settings {
    pub(super) front_end: FrontEnd,
    pub(super) model: String,
    pub(super) created: u64,
    pub(super) request_id: Option<String>,
    pub(super) number: u64,
    pub(super) prompt_tokens: u64,
    pub(super) cached_tokens: Option<u32>,
    pub(super) include_usage: bool,
    pub(super) continuous_usage: bool,
    pub(super) return_token_ids: bool,
    pub(super) tokens_as_ids: bool,
    pub(super) echo: bool,
    /// Nothing but the prompt is told.
    pub(super) prompt_only: bool,
    /// The prompt came as text.
    pub(super) text_prompt: bool,
}

pub(super) struct Completion {
    settings: Settings,
    /// What every chunk begins with, up to its choices.
    prefix: Vec<u8>,
    /// Kept only as long as the response still has to name them.
    prompts: Vec<Vec<u32>>,
    per_prompt: usize,
    sampling: Arc<Sampling>,
    script: Arc<[Box<[u8]>]>,
    progress: Vec<Progress>,
}

/// How far a choice's stream has come.
#[derive(Debug, Default, Clone)]
struct Progress {
    begun: bool,
    spelling: Spelling,
}

impl Completion {
    pub(super) fn new(
        settings: Settings,
        mut prompts: Vec<Vec<u32>>,
        per_prompt: usize,
        sampling: Arc<Sampling>,
        script: Arc<[Box<[u8]>]>,
    ) -> Self {
        let progress = vec![Progress::default(); prompts.len() * per_prompt];
        if !settings.return_token_ids && !settings.echo {
            prompts = Vec::new();
        }
        let mut prefix = b"{\"id\":".to_vec();
        match &settings.request_id {
            Some(id) => push_str(&mut prefix, &format!("cmpl-{id}")),
            None => push_str(&mut prefix, &format!("cmpl-{:016x}", settings.number)),
        }
        write!(prefix, ",\"object\":\"text_completion\",\"created\":{},\"model\":", settings.created)
            .expect("a buffer takes everything");
        push_str(&mut prefix, &settings.model);
        Self { settings, prefix, prompts, per_prompt, sampling, script, progress }
    }

    fn prompt(&self, choice: &Choice) -> Option<&[u32]> {
        self.prompts.get(choice.index as usize / self.per_prompt).map(Vec::as_slice)
    }

    fn chunk(&mut self, events: &mut Events, choice: &Choice, ids: &[u32], text: &str, finish: Option<Finish>) {
        let mut progress = std::mem::take(&mut self.progress[choice.index as usize]);
        let first = !progress.begun;
        let echo = first && self.settings.echo;
        let prompt = if echo { self.echoed(choice) } else { String::new() };
        let (told, text) = if self.settings.prompt_only { (&[][..], "") } else { (ids, text) };
        // The Rust front end streams the prompt's log-probabilities only where nothing else is told.
        let of_prompt = echo && (self.settings.front_end == FrontEnd::Python || self.settings.prompt_only);
        let at = choice.position.saturating_sub(u32::try_from(ids.len()).unwrap_or(0));
        let entries = self.entries(choice, of_prompt, told, at, &mut progress.spelling);
        events.push(|out| {
            out.extend_from_slice(&self.prefix);
            out.extend_from_slice(b",\"choices\":[{\"index\":");
            push_number(out, u64::from(choice.index));
            out.extend_from_slice(b",\"text\":");
            push_str(out, &(prompt + text));
            out.extend_from_slice(b",\"logprobs\":");
            match &entries {
                Some(entries) => logprobs::push(out, entries),
                None => out.extend_from_slice(b"null"),
            }
            self.push_finish(out, finish);
            out.extend_from_slice(b",\"prompt_token_ids\":");
            match self.prompt(choice).filter(|_| first && (self.settings.return_token_ids || echo)) {
                Some(prompt) => push_ids(out, prompt),
                None => out.extend_from_slice(b"null"),
            }
            out.extend_from_slice(b",\"token_ids\":");
            match self.settings.return_token_ids {
                true => push_ids(out, ids),
                false => out.extend_from_slice(b"null"),
            }
            out.extend_from_slice(b"}]");
            if self.settings.continuous_usage {
                out.extend_from_slice(b",\"usage\":");
                self.push_usage(out, u64::from(choice.emitted), None);
            }
            out.push(b'}');
        });
        self.progress[choice.index as usize] = Progress { begun: true, ..progress };
        if self.progress.iter().all(|progress| progress.begun) {
            self.prompts = Vec::new();
        }
    }

    /// The prompt's text before the answer's. Where ids are told the text is not, but the Rust front end forgets that
    /// of a prompt that came as text.
    fn echoed(&self, choice: &Choice) -> String {
        let forgets = self.settings.front_end == FrontEnd::Rust && self.settings.text_prompt;
        if self.settings.return_token_ids && !forgets {
            return String::new();
        }
        self.prompt(choice).map(|prompt| vocabulary::detokenize(prompt, &self.script)).unwrap_or_default()
    }

    /// `at` is the position of the first of the ids in the answer.
    fn entries(
        &self,
        choice: &Choice,
        of_prompt: bool,
        ids: &[u32],
        at: u32,
        spelling: &mut Spelling,
    ) -> Option<Vec<Entry>> {
        let style = Style { alternatives: self.sampling.logprobs?, as_ids: self.settings.tokens_as_ids };
        let prompt = self.prompt(choice).filter(|_| of_prompt).unwrap_or_default();
        let mut entries = logprobs::of_prompt(prompt, choice, style, spelling);
        entries.extend(logprobs::of_answer(ids, at, choice, style, spelling));
        // The Rust front end has no empty lists.
        Some(entries).filter(|entries| self.settings.front_end == FrontEnd::Python || !entries.is_empty())
    }

    fn push_finish(&self, out: &mut Vec<u8>, finish: Option<Finish>) {
        let reason = match finish {
            None => "null",
            Some(Finish::EndOfSequence | Finish::StopString(_) | Finish::StopToken(_)) => "\"stop\"",
            Some(Finish::Length) => "\"length\"",
            Some(Finish::Abort) => "\"abort\"",
        };
        out.extend_from_slice(b",\"finish_reason\":");
        out.extend_from_slice(reason.as_bytes());
        out.extend_from_slice(b",\"stop_reason\":");
        match finish {
            Some(Finish::StopString(which)) => push_str(out, &self.sampling.stops.texts[which]),
            Some(Finish::StopToken(id)) => push_number(out, u64::from(id)),
            _ => out.extend_from_slice(b"null"),
        }
    }

    /// `cached` is told in the last usage of a response only.
    fn push_usage(&self, out: &mut Vec<u8>, completion_tokens: u64, cached: Option<u32>) {
        let prompt_tokens = self.settings.prompt_tokens;
        let total = prompt_tokens + completion_tokens;
        write!(
            out,
            "{{\"prompt_tokens\":{prompt_tokens},\"total_tokens\":{total},\"completion_tokens\":{completion_tokens}"
        )
        .expect("a buffer takes everything");
        if let Some(cached) = cached {
            write!(out, ",\"prompt_tokens_details\":{{\"cached_tokens\":{cached}}}")
                .expect("a buffer takes everything");
        }
        out.push(b'}');
    }
}

impl Format for Completion {
    fn open(&mut self, events: &mut Events, choices: &[Choice]) {
        if self.settings.front_end == FrontEnd::Rust {
            for choice in choices {
                self.chunk(events, choice, &[], "", None);
            }
        }
    }

    fn tokens(&mut self, events: &mut Events, tokens: &Tokens<'_>) {
        match (self.settings.front_end, tokens.choice.finish) {
            (FrontEnd::Rust, finish) if self.settings.prompt_only => {
                self.chunk(events, tokens.choice, &[], "", finish);
            }
            (FrontEnd::Rust, Some(finish)) if !tokens.ids.is_empty() => {
                self.chunk(events, tokens.choice, tokens.ids, tokens.text, None);
                self.chunk(events, tokens.choice, &[], "", Some(finish));
            }
            (_, finish) => self.chunk(events, tokens.choice, tokens.ids, tokens.text, finish),
        }
    }

    fn close(&mut self, events: &mut Events, choices: &[Choice]) {
        if self.settings.include_usage {
            events.push(|out| {
                out.extend_from_slice(&self.prefix);
                out.extend_from_slice(b",\"choices\":[],\"usage\":");
                let emitted = choices.iter().map(|choice| u64::from(choice.emitted)).sum();
                self.push_usage(out, emitted, self.settings.cached_tokens);
                out.extend_from_slice(b",\"system_fingerprint\":\"fake-engine\"}");
            });
        }
        events.push(|out| out.extend_from_slice(b"[DONE]"));
    }

    fn broken(&mut self, events: &mut Events, trouble: Trouble, context: u32) {
        let event = to_bytes(&Refusal::in_trouble(trouble, context).event(self.settings.front_end));
        // Of a dead engine core the Rust front end says nothing: its stream just ends.
        if (self.settings.front_end, trouble) != (FrontEnd::Rust, Trouble::EngineDead) {
            events.push(|out| out.extend(event));
            events.push(|out| out.extend_from_slice(b"[DONE]"));
        }
    }

    fn whole(&mut self, choices: &[Choice], collected: &[Collected]) -> Whole {
        let mut out = self.prefix.clone();
        out.extend_from_slice(b",\"choices\":");
        let both: Vec<_> = choices.iter().zip(collected).collect();
        push_list(&mut out, &both, |out, (choice, collected)| {
            let echoed = if self.settings.echo { self.echoed(choice) } else { String::new() };
            let (ids, text) = match self.settings.prompt_only {
                true => (&[][..], ""),
                false => (&collected.ids[..], collected.text.as_str()),
            };
            out.extend_from_slice(b"{\"index\":");
            push_number(out, u64::from(choice.index));
            out.extend_from_slice(b",\"text\":");
            push_str(out, &(echoed + text));
            out.extend_from_slice(b",\"logprobs\":");
            let at = choice.position - choice.emitted;
            match self.entries(choice, self.settings.echo, ids, at, &mut Spelling::default()) {
                Some(entries) => logprobs::push(out, &entries),
                None => out.extend_from_slice(b"null"),
            }
            self.push_finish(out, choice.finish);
            if self.settings.return_token_ids {
                out.extend_from_slice(b",\"token_ids\":");
                push_ids(out, &collected.ids);
                out.extend_from_slice(b",\"prompt_logprobs\":null,\"prompt_token_ids\":");
                push_ids(out, self.prompt(choice).unwrap_or_default());
            } else {
                out.extend_from_slice(b",\"token_ids\":null,\"prompt_logprobs\":null,\"prompt_token_ids\":null");
            }
            out.push(b'}');
        });
        out.extend_from_slice(b",\"system_fingerprint\":\"fake-engine\",\"usage\":");
        let emitted = choices.iter().map(|choice| u64::from(choice.emitted)).sum();
        self.push_usage(&mut out, emitted, self.settings.cached_tokens);
        out.extend_from_slice(b",\"kv_transfer_params\":null}");
        Whole { status: StatusCode::OK, content_type: "application/json", body: out }
    }
}
