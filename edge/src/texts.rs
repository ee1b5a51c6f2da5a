//! Texts of conversations in spans: only of tenants that have it so, redacted before anything leaves this process, and
//! bounded.

pub mod config;
mod messages;
mod redaction;
mod said;

use std::{collections::BTreeSet, sync::Arc};

use cloudach_openai::{PromptInput, chat::Message};
use cloudach_service::trace::{Trace, names};
use tokio_util::task::TaskTracker;

use crate::access::caller::Caller;
use config::{InvalidTexts, TraceTexts};
use messages::{Held, Spoken};
use redaction::Redaction;
pub use said::Said;

/// Whose texts are put into spans, and how. Clones share it.
#[derive(Debug, Clone)]
pub struct Texts(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    tenants: BTreeSet<String>,
    redaction: Redaction,
    bytes: usize,
    background: TaskTracker,
}

impl Texts {
    /// As configured; what takes long runs in `background`.
    ///
    /// # Errors
    /// Names the setting.
    pub fn new(config: &TraceTexts, background: TaskTracker) -> Result<Self, InvalidTexts> {
        let redaction = config.redaction()?;
        Ok(Self(Arc::new(Parts { tenants: config.tenants.clone(), redaction, bytes: config.bytes, background })))
    }

    fn wanted(&self, trace: &Trace, caller: &Caller) -> bool {
        trace.is_on() && (caller.trace_texts || self.0.tenants.contains(&*caller.tenant))
    }

    /// A conversation is to be gone on with.
    pub fn conversation(&self, trace: &Trace, caller: &Caller, messages: &[Message]) {
        if self.wanted(trace, caller) {
            self.told(trace, names::INPUT_MESSAGES, Held::of_conversation(messages, self.0.redaction.longest));
        }
    }

    /// Texts are to be gone on with.
    pub fn prompts(&self, trace: &Trace, caller: &Caller, prompts: &[PromptInput]) {
        if self.wanted(trace, caller) {
            self.told(trace, names::INPUT_MESSAGES, Held::of_prompts(prompts, self.0.redaction.longest));
        }
    }

    /// What is to be noted of the answer. None: nothing.
    pub fn listen(&self, trace: &Trace, caller: &Caller) -> Option<Box<Said>> {
        self.wanted(trace, caller).then(|| Box::new(Said::new(self.0.redaction.longest)))
    }

    /// The answer is over.
    pub fn said(&self, trace: &Trace, said: Vec<Spoken>) {
        self.told(trace, names::OUTPUT_MESSAGES, Held { messages: said, is_cut: false });
    }

    /// Redacts off the network threads. The trace is over only when that is done.
    fn told(&self, trace: &Trace, name: &'static str, held: Held) {
        let (texts, trace) = (self.clone(), trace.clone());
        self.0.background.spawn_blocking(move || {
            let (json, is_cut) = held.write(&texts.0.redaction, texts.0.bytes);
            trace.set(name, json);
            if is_cut {
                trace.set(names::TEXTS_CUT, true);
            }
        });
    }
}
