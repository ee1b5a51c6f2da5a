//! A chat answer in one piece: collected, then written as a `chat.completion`.

use crate::chat::request::ServiceTier;
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
    choices: Vec<Collected>,
}

#[derive(Debug, Default)]
struct Collected {
    text: String,
    /// The entries as JSON, which is what becomes of them.
    logprobs: Vec<u8>,
    reason: Option<FinishReason>,
}

impl Whole {
    pub(crate) fn new(head: &Head, tier: ServiceTier, logprobs: Option<u8>, n: u32) -> Self {
        Self { head: head.clone(), tier, logprobs, choices: (0..n).map(|_| Collected::default()).collect() }
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
        json::write(out, &choice.text);
        out.extend_from_slice(b",\"refusal\":null,\"annotations\":[]},\"logprobs\":");
        if self.logprobs.is_some() {
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

    fn choice(&mut self, choice: u32) -> Option<&mut Collected> {
        self.choices.get_mut(usize::try_from(choice).ok()?)
    }
}
