//! What an engine says about the model that it serves.

use cloudach_proto::v1::{Capabilities, ChatTemplate, ModelTraits};

/// A model that an engine is ready to serve.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct ModelInfo {
    /// The engine's name for it.
    pub(crate) served_name: String,
    /// Tokens of prompt and answer together. 0: the engine does not say.
    pub(crate) context_length: u32,
    /// How many tokens the model knows. 0: the engine does not say.
    pub(crate) vocabulary: u32,
    pub(crate) chat_template: Option<ChatTemplate>,
    pub(crate) traits: ModelTraits,
    pub(crate) capabilities: Capabilities,
}
