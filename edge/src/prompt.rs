//! The prompt step: renders a conversation by the model's own template, and counts it.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use cloudach_model::{
    offered::Offered,
    template::{ChatTemplate, CivilTime, Conversation},
    tokens::{self, Encoding},
};
use cloudach_openai::chat::{ChatRequest, ToolChoice};
use serde_json::Value;

use crate::{
    Edge,
    catalog::{Counting, Model, Template},
    error::ApiError,
    offers::Offer,
};

/// A rendered conversation.
#[derive(Debug)]
pub struct Prompt {
    pub text: String,
    /// What the client is told. None: the engine's count is shown.
    pub tokens: Option<u64>,
}

impl Prompt {
    /// What it may be to an engine that counts for itself.
    pub fn estimated_tokens(&self) -> u64 {
        tokens::count(Encoding::default(), &self.text)
    }

    /// Its last characters, which open the model's turn.
    pub fn end(&self) -> &str {
        const BYTES: usize = 256;
        &self.text[self.text.ceil_char_boundary(self.text.len().saturating_sub(BYTES))..]
    }
}

/// Renders the conversation of `request` and gives back what is left of it. `bytes` is the size of its body: long ones
/// leave the network threads. Texts that `tenant` has sent before are not counted again.
///
/// # Errors
/// The model does not chat, or its template refuses the conversation.
pub async fn chat(
    edge: &Edge,
    tenant: &str,
    model: &Model,
    mut request: Box<ChatRequest>,
    offer: &Arc<Offer>,
    bytes: usize,
) -> Result<(Box<ChatRequest>, Prompt), ApiError> {
    let template = match model.chat_template() {
        Template::Compiled(template) => template.clone(),
        Template::Broken(error) => return Err(ApiError::BrokenTemplate(error.clone())),
        Template::None => return Err(ApiError::CannotChat),
    };
    let (counting, tenant, remembered) = (model.counting, tenant.to_owned(), edge.counted.clone());
    let shown = offer.shown.clone();
    let render = move || {
        let conversation = conversation(&mut request, shown);
        let text = render(&template, &conversation)?;
        let tokens = match counting {
            Counting::Engine => None,
            Counting::Tiktoken(encoding) => {
                let count = |text: &str| remembered.count(&tenant, encoding, text);
                Some(tokens::chat_prompt_by(&count, &conversation.messages, conversation.tools.as_deref()))
            }
        };
        Ok((request, Prompt { text, tokens }))
    };
    edge.work.run(bytes, render).await?
}

fn render(template: &Arc<ChatTemplate>, conversation: &Conversation) -> Result<String, ApiError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = CivilTime::from_unix(i64::try_from(now.as_secs()).unwrap_or_default());
    Ok(template.render(conversation, now)?)
}

/// Takes the conversation out of the request: what follows needs it no more. The tools stay, to read calls of them.
fn conversation(request: &mut ChatRequest, shown: Arc<Offered>) -> Conversation {
    let messages = std::mem::take(&mut request.messages);
    let offered = request.tool_choice != ToolChoice::None && !request.tools.is_empty();
    Conversation {
        messages: messages.into_iter().map(Value::from).collect(),
        tools: offered.then_some(shown),
        documents: request.documents.take(),
        kwargs: std::mem::take(&mut request.template_kwargs),
        reasoning_effort: request.reasoning_effort.map(|effort| effort.as_str().to_owned()),
        add_generation_prompt: request.add_generation_prompt,
        continue_final_message: request.continue_final_message,
    }
}
