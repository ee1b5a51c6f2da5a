//! `POST /v1/embeddings` of a vLLM that serves an embedding model.

use serde_json::{Value, json};

use super::errors::Refusal;
use super::{Context, now, request};
use crate::embedding;
use crate::fields::{Fields, Input};
use crate::orders::Orders;
use crate::reply::{Reply, Task, Whole, Work};
use crate::script::Serves;

pub(super) fn embed(context: &Context<'_>, body: &Value) -> Result<Reply, Refusal> {
    let Value::Object(object) = body else {
        return Err(Refusal::BadJson("the body is no object".to_owned()));
    };
    let fields = Fields::new(object);
    let script = context.script;
    let model = context.served(fields.text("model")?)?;
    let Serves::Embeddings { dimensions } = script.serves else { return Err(Refusal::NotFound) };
    let dimensions = match fields.count("dimensions")? {
        None => dimensions,
        // A vector of fewer dimensions is the beginning of the whole one, at unit length.
        Some(fewer) if script.matryoshka => fewer.clamp(1, dimensions),
        Some(_) => return Err(Refusal::Dimensions(model)),
    };
    let inputs = fields.inputs("input")?;
    let text: String =
        inputs.iter().map(|input| if let Input::Text(text) = input { text.as_str() } else { "" }).collect();
    let inputs = inputs.into_iter().map(request::ids).collect::<Result<Vec<_>, _>>()?;
    if let Some(long) = inputs.iter().find(|ids| ids.len() > script.max_model_len as usize) {
        return Err(Refusal::PromptTooLong { tokens: long.len(), max: script.max_model_len });
    }
    if inputs.is_empty() {
        return Err(Refusal::NoPrompt);
    }
    context.shared.recorded().push(body, script.record);

    let as_base64 = fields.text("encoding_format")? == Some("base64");
    let data: Vec<Value> = inputs
        .iter()
        .enumerate()
        .map(|(index, ids)| {
            let vector = embedding::vector(ids, dimensions);
            let vector = if as_base64 { json!(embedding::base64(&vector)) } else { json!(vector) };
            json!({"index": index, "object": "embedding", "embedding": vector})
        })
        .collect();
    let tokens: u64 = inputs.iter().map(|ids| ids.len() as u64).sum();
    let id = context.call.request_id.clone().unwrap_or_else(|| format!("{:016x}", context.shared.next_number()));
    let whole = Whole::ok(&json!({
        "id": format!("embd-{id}"),
        "object": "list",
        "created": now(),
        "model": model,
        "data": data,
        "usage": {
            "prompt_tokens": tokens,
            "total_tokens": tokens,
            "completion_tokens": 0,
            "prompt_tokens_details": null,
            "completion_tokens_details": null,
        },
    }));
    Ok(Reply::Work(Box::new(Work {
        orders: Orders::new(script, &text, 0),
        prompt_tokens: tokens,
        dialect: script.dialect,
        task: Task::Embed(whole),
    })))
}
