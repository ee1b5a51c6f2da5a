//! `POST /score` of a vLLM that serves a model for embeddings or for scores.

use serde_json::{Value, json};

use super::errors::Refusal;
use super::{Context, now};
use crate::fields::Fields;
use crate::orders::Orders;
use crate::reply::{Reply, Task, Whole, Work};
use crate::score;

pub(super) fn score(context: &Context<'_>, body: &Value) -> Result<Reply, Refusal> {
    let Value::Object(object) = body else {
        return Err(Refusal::BadJson("the body is no object".to_owned()));
    };
    let fields = Fields::new(object);
    let script = context.script;
    let model = context.served(fields.text("model")?)?;
    let (queries, documents) = (fields.texts("text_1")?, fields.texts("text_2")?);
    let lengths = (queries.len(), documents.len());
    if lengths.1 == 0 || (lengths.0 != 1 && lengths.0 != lengths.1) {
        return Err(Refusal::Lengths);
    }
    let most = |tokens: i64| usize::try_from(tokens).unwrap_or(script.max_model_len as usize);
    let truncated = fields.integer("truncate_prompt_tokens")?.map(most);
    let pairs: Vec<(&str, &str)> =
        documents.iter().enumerate().map(|(at, document)| (&*queries[at.min(lengths.0 - 1)], &**document)).collect();
    let counts: Vec<usize> = pairs
        .iter()
        .map(|(query, document)| score::tokens(query, document).min(truncated.unwrap_or(usize::MAX)))
        .collect();
    if let Some(&tokens) = counts.iter().find(|&&tokens| tokens > script.max_model_len as usize) {
        return Err(Refusal::PromptTooLong { tokens, max: script.max_model_len });
    }
    context.shared.recorded().push(body, script.record);

    let data: Vec<Value> = pairs
        .iter()
        .enumerate()
        .map(|(index, (query, document))| {
            json!({"index": index, "object": "score", "score": score::score(query, document)})
        })
        .collect();
    let tokens: usize = counts.iter().sum();
    let id = context.call.request_id.clone().unwrap_or_else(|| format!("{:016x}", context.shared.next_number()));
    let whole = Whole::ok(&json!({
        "id": format!("score-{id}"),
        "object": "list",
        "created": now(),
        "model": model,
        "data": data,
        "usage": {
            "prompt_tokens": tokens,
            "total_tokens": tokens,
            "completion_tokens": 0,
            "prompt_tokens_details": null,
        },
    }));
    let text = queries.concat() + &documents.concat();
    Ok(Reply::Work(Box::new(Work {
        orders: Orders::new(script, &text, 0),
        prompt_tokens: tokens as u64,
        dialect: script.dialect,
        task: Task::Embed(whole),
    })))
}
