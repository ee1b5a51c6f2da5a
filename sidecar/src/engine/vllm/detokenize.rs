//! The text of a prompt of token ids, as vLLM reads it.

use cloudach_proto::v1::Failed;
use serde::{Deserialize, Serialize};

use super::{
    super::{call::Calls, failure::lost},
    errors,
};

#[derive(Serialize)]
struct Question<'a> {
    tokens: &'a [u32],
}

#[derive(Deserialize)]
struct Text {
    prompt: String,
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
