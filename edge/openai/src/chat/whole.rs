//! A chat answer in one piece: collected, then written as a `chat.completion`.

use crate::chat::reasoning::ReasoningField;
use crate::chat::reply::Defaults;
use crate::chat::request::{ChatRequest, ServiceTier};
use crate::chat::tools::CallForm;
use crate::finish::FinishReason;
use crate::head::Head;
use crate::json;
use crate::logprobs;
use crate::piece::Piece;
use crate::usage::Usage;

#[derive(Debug)]
pub(crate) struct Whole {
    head: Head,
    tier: ServiceTier,
    logprobs: Option<u8>,
    call_form: CallForm,
    reasoning: ReasoningField,
    choices: Vec<Collected>,
}

#[derive(Debug, Default)]
struct Collected {
    text: String,
    reasoning: String,
    /// The entries as JSON, which is what becomes of them.
    logprobs: Vec<u8>,
    calls: Vec<Call>,
    reason: Option<FinishReason>,
}

#[derive(Debug)]
struct Call {
    id: String,
    name: String,
    arguments: String,
}

impl Whole {
    pub(crate) fn new(head: &Head, request: &ChatRequest, defaults: Defaults) -> Self {
        Self {
            head: head.clone(),
            tier: request.service_tier,
            logprobs: request.logprobs,
            call_form: request.call_form,
            reasoning: defaults.reasoning,
            choices: (0..request.n).map(|_| Collected::default()).collect(),
        }
    }

    pub(crate) fn content(&mut self, choice: u32, piece: &Piece<'_>) {
        let top = self.logprobs;
        let Some(collected) = self.choice(choice) else { return };
        collected.text.push_str(piece.text);
        if let Some(top) = top {
            if !collected.logprobs.is_empty() && !piece.logprobs.is_empty() {
                collected.logprobs.push(b',');
            }
            logprobs::write_chat_entries(piece.logprobs, top, &mut collected.logprobs);
        }
    }

    pub(crate) fn reasoning(&mut self, choice: u32, text: &str) {
        if let Some(collected) = self.choice(choice) {
            collected.reasoning.push_str(text);
        }
    }

    pub(crate) fn call(&mut self, choice: u32, id: &str, name: &str) {
        if let Some(collected) = self.choice(choice) {
            collected.calls.push(Call { id: id.to_owned(), name: name.to_owned(), arguments: String::new() });
        }
    }

    /// More arguments of the last call.
    pub(crate) fn arguments(&mut self, choice: u32, text: &str) {
        if let Some(call) = self.choice(choice).and_then(|collected| collected.calls.last_mut()) {
            call.arguments.push_str(text);
        }
    }

    pub(crate) fn finish(&mut self, choice: u32, reason: FinishReason) {
        if let Some(collected) = self.choice(choice) {
            collected.reason = Some(reason);
        }
    }

    pub(crate) fn close(&self, usage: &Usage, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"id\":");
        json::write(out, &self.head.id);
        out.extend_from_slice(b",\"object\":\"chat.completion\",\"created\":");
        json::write(out, &self.head.created);
        out.extend_from_slice(b",\"model\":");
        json::write(out, &self.head.model);
        out.extend_from_slice(b",\"choices\":[");
        for (index, choice) in self.choices.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            self.write_choice(index, choice, out);
        }
        out.extend_from_slice(b"],\"usage\":");
        usage.write_detailed(out);
        out.extend_from_slice(b",\"service_tier\":");
        json::write(out, self.tier.as_str());
        out.extend_from_slice(b",\"system_fingerprint\":null}");
    }

    fn write_choice(&self, index: usize, choice: &Collected, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"index\":");
        json::write(out, &index);
        out.extend_from_slice(b",\"message\":{\"role\":\"assistant\",\"content\":");
        let only_calls = choice.text.is_empty() && !choice.calls.is_empty();
        json::write(out, &(!only_calls).then_some(choice.text.as_str()));
        if !choice.reasoning.is_empty() {
            out.push(b',');
            self.reasoning.write(&choice.reasoning, out);
        }
        self.write_calls(&choice.calls, out);
        out.extend_from_slice(b",\"refusal\":null,\"annotations\":[]},\"logprobs\":");
        // The entries are of the content, which is null beside mere calls.
        if self.logprobs.is_some() && !(only_calls && choice.logprobs.is_empty()) {
            out.extend_from_slice(b"{\"content\":[");
            out.extend_from_slice(&choice.logprobs);
            out.extend_from_slice(b"],\"refusal\":null}");
        } else {
            out.extend_from_slice(b"null");
        }
        out.extend_from_slice(b",\"finish_reason\":");
        FinishReason::write(choice.reason, out);
        out.push(b'}');
    }

    /// With the comma before; nothing where there are none.
    fn write_calls(&self, calls: &[Call], out: &mut Vec<u8>) {
        match (self.call_form, calls) {
            (_, []) => {}
            (CallForm::Functions, [call, ..]) => {
                out.extend_from_slice(b",\"function_call\":");
                write_function(call, out);
            }
            (CallForm::Tools, calls) => {
                out.extend_from_slice(b",\"tool_calls\":[");
                for (position, call) in calls.iter().enumerate() {
                    if position > 0 {
                        out.push(b',');
                    }
                    out.extend_from_slice(b"{\"id\":");
                    json::write(out, &call.id);
                    out.extend_from_slice(b",\"type\":\"function\",\"function\":");
                    write_function(call, out);
                    out.push(b'}');
                }
                out.push(b']');
            }
        }
    }

    fn choice(&mut self, choice: u32) -> Option<&mut Collected> {
        self.choices.get_mut(usize::try_from(choice).ok()?)
    }
}

fn write_function(call: &Call, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"name\":");
    json::write(out, &call.name);
    out.extend_from_slice(b",\"arguments\":");
    json::write(out, &call.arguments);
    out.push(b'}');
}
