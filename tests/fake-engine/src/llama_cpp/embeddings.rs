//! `POST /v1/embeddings` and `/embeddings` of a llama.cpp that was started with `--embeddings`.

use serde_json::{Map, Value, json};

use super::Context;
use super::errors::Refusal;
use super::request;
use crate::embedding;
use crate::fields::{Fields, Input};
use crate::orders::Orders;
use crate::reply::{Reply, Task, Whole, Work};
use crate::script::Serves;

/// The two shapes of the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    OpenAi,
    /// A bare list, with every vector in a list of its own.
    Native,
}

pub(super) fn embed(context: &Context<'_>, body: &Map<String, Value>, shape: Shape) -> Result<Reply, Refusal> {
    let script = context.script;
    let Serves::Embeddings { dimensions } = script.serves else { return Err(Refusal::NoEmbeddings) };
    let fields = Fields::new(body);
    let field = if fields.get("input").is_none() && shape == Shape::Native { "content" } else { "input" };
    let inputs = fields.inputs(field)?;
    let text: String =
        inputs.iter().map(|input| if let Input::Text(text) = input { text.as_str() } else { "" }).collect();
    let inputs = inputs.into_iter().map(request::ids).collect::<Result<Vec<_>, _>>()?;
    if inputs.is_empty() || inputs.iter().any(Vec::is_empty) {
        return Err(Refusal::EmptyInput);
    }
    if let Some(long) = inputs.iter().find(|ids| ids.len() > script.max_model_len as usize) {
        return Err(Refusal::InputTooLarge { tokens: long.len(), batch: script.max_model_len });
    }
    context.shared.recorded().push(&Value::Object(body.clone()), script.record);

    let tokens: u64 = inputs.iter().map(|ids| ids.len() as u64).sum();
    let vectors = inputs.iter().map(|ids| embedding::vector(ids, dimensions)).enumerate();
    let whole = match shape {
        Shape::OpenAi => {
            let as_base64 = fields.text("encoding_format")? == Some("base64");
            let data: Vec<Value> = vectors
                .map(|(index, vector)| {
                    let vector = if as_base64 { json!(embedding::base64(&vector)) } else { json!(vector) };
                    json!({"embedding": vector, "index": index, "object": "embedding"})
                })
                .collect();
            Whole::ok(&json!({
                "model": script.model,
                "object": "list",
                "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
                "data": data,
            }))
        }
        Shape::Native => {
            let data: Vec<Value> =
                vectors.map(|(index, vector)| json!({"index": index, "embedding": [vector]})).collect();
            Whole::ok(&json!(data))
        }
    };
    Ok(Reply::Work(Box::new(Work {
        orders: Orders::new(script, &text, 0),
        prompt_tokens: tokens,
        dialect: script.dialect,
        task: Task::Embed(whole),
    })))
}
