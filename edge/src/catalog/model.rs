//! A model as the edge uses it: what the routers tell of it, with its chat template compiled.

use std::sync::Arc;

use cloudach_model::{schema::Dialect, tokens::Encoding};
use cloudach_proto::v1::{self, SchemaWords, token_counting};

use super::prompting::{Formats, Prompting, Template};
use crate::prices::Prices;

/// A model as the edge uses it.
#[derive(Debug)]
pub struct Model {
    pub id: String,
    pub created: u64,
    pub owned_by: String,
    pub counting: Counting,
    pub prices: Prices,
    pub(super) prompting: Arc<Prompting>,
    /// As it was told.
    pub(super) told: v1::Model,
}

/// How the token counts that a client sees are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counting {
    Tiktoken(Encoding),
    Engine,
}

impl Model {
    /// `old` is what was known of it before: a template that has not changed is not compiled again, nor told of.
    pub(super) fn new(mut told: v1::Model, old: Option<&Model>) -> Self {
        // A router that has just started has not heard of the model's replicas yet; others have.
        if let (None, Some(old)) = (told.capabilities, old) {
            told.capabilities = old.told.capabilities;
            told.chat_template = told.chat_template.or_else(|| old.told.chat_template.clone());
            told.traits = told.traits.or_else(|| old.told.traits.clone());
            if told.context_length == 0 {
                told.context_length = old.told.context_length;
            }
        }
        let counting = match told.counting.as_ref().and_then(|counting| counting.kind.as_ref()) {
            Some(token_counting::Kind::Engine(_)) => Counting::Engine,
            Some(token_counting::Kind::Tiktoken(name)) => Counting::Tiktoken(name.parse().unwrap_or_default()),
            None => Counting::Tiktoken(Encoding::default()),
        };
        let old = old.filter(|old| Prompting::is_same(&old.told, &told));
        let prompting = old.map_or_else(|| Arc::new(Prompting::of(&told)), |old| old.prompting.clone());
        // Nothing is known of a model before one of its replicas was ready.
        if told.capabilities.is_some_and(|can| can.generate) && old.is_none_or(|old| old.told.capabilities.is_none()) {
            prompting.tell(&told.id);
        }
        Self {
            id: told.id.clone(),
            created: told.created,
            owned_by: told.owned_by.clone(),
            counting,
            prices: Prices::of(told.prices.as_ref()),
            prompting,
            told,
        }
    }

    /// How its conversations are rendered.
    pub fn chat_template(&self) -> &Template {
        &self.prompting.template
    }

    /// How its answers are read.
    pub fn formats(&self) -> Formats {
        self.prompting.formats
    }

    /// Why it is not ready; none: it is.
    pub(super) fn waits_for(&self) -> Option<&str> {
        if self.told.ready_replicas == 0 { Some(&self.told.waits_for) } else { self.prompting.broken() }
    }

    /// The words in which its engines understand schemas.
    pub fn schema_dialect(&self) -> Dialect {
        match self.told.capabilities.map(|capabilities| capabilities.schema_words()) {
            Some(SchemaWords::LlamaCpp) => Dialect::LlamaCpp,
            Some(SchemaWords::Llguidance | SchemaWords::Unspecified) | None => Dialect::Vllm,
        }
    }

    /// Tokens of prompt and answer together. 0: no replica has said.
    pub fn context_length(&self) -> u32 {
        self.told.context_length
    }

    /// The model's context length, where what the client asks for is more, whatever its prompt is. Where only both
    /// together are more, engines end the answer at the end of the context.
    pub fn context_exceeded_by(&self, max_tokens: Option<u32>) -> Option<u64> {
        let limit = self.told.context_length;
        max_tokens.filter(|asked| limit > 0 && *asked > limit).map(|_| limit.into())
    }
}
