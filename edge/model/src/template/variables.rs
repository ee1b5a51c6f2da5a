//! What a template can name: the conversation and the model's own.

use std::sync::Arc;

use minijinja::Value;
use minijinja::value::Object;

use super::value::from_json;
use super::{CivilTime, Conversation};

/// The variables of one prompt. They are looked for one after the other, as there are few, and those of the request in a table, as
/// there may be many.
#[derive(Debug)]
pub(super) struct Variables {
    messages: Value,
    tools: Value,
    documents: Value,
    add_generation_prompt: bool,
    now: CivilTime,
    /// `chat_template_kwargs`, where there are any.
    kwargs: Option<Value>,
    reasoning_effort: Option<Value>,
    bos_token: Option<Value>,
    eos_token: Option<Value>,
}

impl Variables {
    /// Those of a conversation whose messages and tools a template reads as these.
    pub fn of(
        conversation: &Conversation,
        messages: Value,
        tools: Option<Value>,
        now: CivilTime,
        [bos_token, eos_token]: [&Option<String>; 2],
    ) -> Self {
        let (none, kwargs) = (|| Value::from(()), &conversation.kwargs);
        let documents = conversation.documents.clone();
        let token = |token: &Option<String>| token.as_deref().map(Value::from);
        Self {
            messages,
            tools: tools.unwrap_or_else(none),
            documents: documents.map_or_else(none, |documents| from_json(documents.into())),
            add_generation_prompt: conversation.add_generation_prompt,
            now,
            kwargs: (!kwargs.is_empty()).then(|| from_json(kwargs.clone().into())),
            reasoning_effort: conversation.reasoning_effort.as_deref().map(Value::from),
            bos_token: token(bos_token),
            eos_token: token(eos_token),
        }
    }

    fn of_request(&self, name: &str) -> Option<Value> {
        self.kwargs.as_ref()?.as_object()?.get_value_by_str(name)
    }
}

impl Object for Variables {
    fn get_value(self: &Arc<Self>, name: &Value) -> Option<Value> {
        self.get_value_by_str(name.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, name: &str) -> Option<Value> {
        match name {
            // Those that a request cannot replace.
            "messages" => return Some(self.messages.clone()),
            "tools" => return Some(self.tools.clone()),
            "documents" => return Some(self.documents.clone()),
            "add_generation_prompt" => return Some(self.add_generation_prompt.into()),
            "strftime_now" => {
                let now = self.now;
                return Some(Value::from_function(move |pattern: &str| now.format(pattern)));
            }
            _ => {}
        }
        self.of_request(name).or_else(|| match name {
            "reasoning_effort" => self.reasoning_effort.clone(),
            "enable_thinking" => Some((self.reasoning_effort.as_ref()?.as_str() != Some("none")).into()),
            "bos_token" => self.bos_token.clone(),
            "eos_token" => self.eos_token.clone(),
            _ => None,
        })
    }
}
