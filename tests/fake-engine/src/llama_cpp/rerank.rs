//! `POST /v1/rerank` of a llama.cpp that was started with `--reranking`.

use serde_json::{Map, Value, json};

use super::Context;
use super::errors::Refusal;
use crate::fields::Fields;
use crate::orders::Orders;
use crate::reply::{Reply, Task, Whole, Work};
use crate::score;
use crate::script::Serves;

pub(super) fn rerank(context: &Context<'_>, body: &Map<String, Value>) -> Result<Reply, Refusal> {
    let script = context.script;
    if script.serves != Serves::Scores {
        return Err(Refusal::NoReranking);
    }
    let fields = Fields::new(body);
    let query = fields.text("query")?.ok_or(Refusal::Missing("query"))?;
    let documents = fields.texts("documents")?;
    if documents.is_empty() {
        return Err(Refusal::NoDocuments);
    }
    let counts: Vec<usize> = documents.iter().map(|document| score::tokens(query, document)).collect();
    if let Some(&tokens) = counts.iter().find(|&&tokens| tokens > script.max_model_len as usize) {
        return Err(Refusal::InputTooLarge { tokens, batch: script.max_model_len });
    }
    context.shared.recorded().push(&Value::Object(body.clone()), script.record);

    let mut results: Vec<(usize, f64)> =
        documents.iter().map(|document| score::score(query, document)).enumerate().collect();
    results.sort_by(|one, other| other.1.total_cmp(&one.1));
    let results: Vec<Value> =
        results.into_iter().map(|(index, score)| json!({"index": index, "relevance_score": score})).collect();
    let tokens: usize = counts.iter().sum();
    let whole = Whole::ok(&json!({
        "model": script.model,
        "object": "list",
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        "results": results,
    }));
    Ok(Reply::Work(Box::new(Work {
        orders: Orders::new(script, &(query.to_owned() + &documents.concat()), 0),
        prompt_tokens: tokens as u64,
        dialect: script.dialect,
        task: Task::Embed(whole),
    })))
}
