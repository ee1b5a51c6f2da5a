//! vLLM's tokenizer, asked over HTTP.

use cloudach_proto::v1::Failed;
use serde::{Deserialize, Serialize};

use super::{
    super::{call::Calls, failure::lost},
    errors,
};

#[derive(Serialize)]
struct Words<'a> {
    model: &'a str,
    prompt: &'a str,
    add_special_tokens: bool,
}

#[derive(Deserialize)]
struct Ids {
    tokens: Vec<u32>,
}

#[derive(Serialize)]
struct Question<'a> {
    tokens: &'a [u32],
}

#[derive(Deserialize)]
struct Text {
    prompt: String,
}

/// The ids of a text.
pub(super) async fn ids_of(
    calls: &Calls,
    model: &str,
    prompt: &str,
    add_special_tokens: bool,
) -> Result<Vec<u32>, Failed> {
    let answer = calls.post("/tokenize", &Words { model, prompt, add_special_tokens }).await?;
    if !answer.status.is_success() {
        return Err(errors::failed(answer.status, &answer.body, ""));
    }
    let ids: Ids = answer.json().map_err(lost)?;
    Ok(ids.tokens)
}

/// What the ids say, special tokens written out. Ids that the model does not have say nothing here; the completion
/// refuses them.
pub(super) async fn text_of(calls: &Calls, ids: &[u32]) -> Result<String, Failed> {
    let answer = calls.post("/detokenize", &Question { tokens: ids }).await?;
    if !answer.status.is_success() {
        return Err(errors::failed(answer.status, &answer.body, ""));
    }
    let text: Text = answer.json().map_err(lost)?;
    Ok(text.prompt)
}
