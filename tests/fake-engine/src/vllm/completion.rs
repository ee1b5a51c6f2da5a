//! How vLLM words a completion: chunks, the whole response, usage, log-probabilities.

use std::io::Write;
use std::sync::Arc;

use http::StatusCode;

use super::errors::Refusal;
use crate::choice::{Choice, Finish, Sampling};
use crate::events::Events;
use crate::json::{push_float, push_ids, push_list, push_number, push_str, to_bytes};
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
    /// Characters sent, for `text_offset`.
    offset: usize,
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
        let progress = std::mem::take(&mut self.progress[choice.index as usize]);
        let echoed = (!progress.begun && self.settings.echo).then(|| self.echoed(choice));
        let text = &*echoed.map_or_else(|| text.into(), |echoed| std::borrow::Cow::from(echoed + text));
        events.push(|out| {
            out.extend_from_slice(&self.prefix);
            out.extend_from_slice(b",\"choices\":[{\"index\":");
            push_number(out, u64::from(choice.index));
            out.extend_from_slice(b",\"text\":");
            push_str(out, text);
            out.extend_from_slice(b",\"logprobs\":");
            let last = choice.position.saturating_sub(u32::try_from(ids.len()).unwrap_or(0));
            self.push_logprobs(out, choice, ids, last, progress.offset);
            self.push_finish(out, finish);
            out.extend_from_slice(b",\"prompt_token_ids\":");
            match self.prompt(choice).filter(|_| self.settings.return_token_ids && !progress.begun) {
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
        self.progress[choice.index as usize] = Progress { begun: true, offset: progress.offset + text.chars().count() };
        if self.progress.iter().all(|progress| progress.begun) {
            self.prompts = Vec::new();
        }
    }

    fn echoed(&self, choice: &Choice) -> String {
        self.prompt(choice).map(|prompt| vocabulary::detokenize(prompt, &self.script)).unwrap_or_default()
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

    /// `first` is the position of the first of the ids in the answer, `offset` that of its text in characters.
    fn push_logprobs(&self, out: &mut Vec<u8>, choice: &Choice, ids: &[u32], first: u32, offset: usize) {
        let Some(alternatives) = self.sampling.logprobs else {
            out.extend_from_slice(b"null");
            return;
        };
        let mut tokens = Vec::with_capacity(ids.len());
        let mut at = offset;
        for (position, &id) in (first..).zip(ids) {
            let text = self.token_text(choice, id);
            let length = vocabulary::detokenize(&[id], choice.line.script()).chars().count();
            tokens.push((position, id, text, at));
            at += length;
        }
        out.extend_from_slice(b"{\"text_offset\":");
        push_list(out, &tokens, |out, token| push_number(out, token.3 as u64));
        out.extend_from_slice(b",\"token_logprobs\":");
        push_list(out, &tokens, |out, token| push_float(out, choice.line.logprob(token.0)));
        out.extend_from_slice(b",\"tokens\":");
        push_list(out, &tokens, |out, token| push_str(out, &token.2));
        out.extend_from_slice(b",\"top_logprobs\":");
        push_list(out, &tokens, |out, (position, _, text, _)| {
            out.push(b'{');
            push_str(out, text);
            out.push(b':');
            push_float(out, choice.line.logprob(*position));
            for place in 1..alternatives {
                let (id, logprob) = choice.line.runner_up(*position, place);
                out.push(b',');
                push_str(out, &self.token_text(choice, id));
                out.push(b':');
                push_float(out, logprob);
            }
            out.push(b'}');
        });
        out.push(b'}');
    }

    fn token_text(&self, choice: &Choice, id: u32) -> String {
        if self.settings.tokens_as_ids {
            return format!("token_id:{id}");
        }
        vocabulary::detokenize(&[id], choice.line.script())
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

    fn broken(&mut self, events: &mut Events) {
        if self.settings.front_end == FrontEnd::Python {
            events.push(|out| out.extend(to_bytes(&Refusal::Internal.python_body())));
            events.push(|out| out.extend_from_slice(b"[DONE]"));
        }
    }

    fn whole(&mut self, choices: &[Choice], collected: &[Collected]) -> Whole {
        let mut out = self.prefix.clone();
        out.extend_from_slice(b",\"choices\":");
        let both: Vec<_> = choices.iter().zip(collected).collect();
        push_list(&mut out, &both, |out, (choice, collected)| {
            let echoed = if self.settings.echo { self.echoed(choice) } else { String::new() };
            out.extend_from_slice(b"{\"index\":");
            push_number(out, u64::from(choice.index));
            out.extend_from_slice(b",\"text\":");
            let offset = echoed.chars().count();
            push_str(out, &(echoed + &collected.text));
            out.extend_from_slice(b",\"logprobs\":");
            self.push_logprobs(out, choice, &collected.ids, choice.position - choice.emitted, offset);
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
