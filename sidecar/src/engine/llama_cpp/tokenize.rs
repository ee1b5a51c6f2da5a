//! llama.cpp's tokenizer, asked over HTTP.

use cloudach_proto::v1::{EmbedRequest, Failed, Prompt, TokenIds, prompt};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    super::{
        call::{Calls, EngineError},
        marks,
        prompt::Input,
    },
    errors,
};

#[derive(Debug, Clone)]
pub(in crate::engine) struct Tokenizer {
    calls: Calls,
}

#[derive(Deserialize)]
struct Tokens {
    tokens: Vec<u32>,
}

#[derive(Deserialize)]
struct Pieces {
    tokens: Vec<Piece>,
}

#[derive(Deserialize)]
struct Piece {
    /// Bytes instead, where it is a part of a character.
    piece: Value,
}

#[derive(Deserialize)]
struct Text {
    content: String,
}

impl Tokenizer {
    pub(super) fn new(calls: Calls) -> Self {
        Self { calls }
    }

    /// The ids of a rendered prompt, whose special tokens are written out in it.
    pub(super) async fn ids(&self, text: &str, add_special_tokens: bool) -> Result<Vec<u32>, Failed> {
        let question = json!({ "content": text, "add_special": add_special_tokens, "parse_special": true });
        let answer = self.calls.post("/tokenize", &question).await?;
        if !answer.status.is_success() {
            return Err(errors::failed(answer.status, &answer.body, ""));
        }
        let tokens: Tokens = answer.json().map_err(unreadable)?;
        Ok(tokens.tokens)
    }

    /// Which of the tokens that tell families apart the vocabulary has.
    pub(super) async fn marks(&self) -> Result<Vec<String>, EngineError> {
        let question =
            json!({ "content": marks::question(), "add_special": false, "parse_special": true, "with_pieces": true });
        let pieces: Pieces = self.calls.post("/tokenize", &question).await?.success()?.json()?;
        Ok(marks::found(pieces.tokens.iter().filter_map(|token| token.piece.as_str())))
    }

    /// What the ids say, special tokens written out.
    pub(super) async fn text(&self, ids: &[u32]) -> Result<String, Failed> {
        let answer = self.calls.post("/detokenize", &json!({ "tokens": ids })).await?;
        if !answer.status.is_success() {
            return Err(errors::failed(answer.status, &answer.body, ""));
        }
        let text: Text = answer.json().map_err(unreadable)?;
        Ok(text.content)
    }

    /// The request with its texts as ids.
    pub(super) async fn without_special_tokens(&self, request: &EmbedRequest) -> Result<EmbedRequest, Failed> {
        let mut inputs = Vec::with_capacity(request.inputs.len());
        for prompt in &request.inputs {
            inputs.push(match Input::of(Some(prompt))? {
                Input::Ids(_) => prompt.clone(),
                Input::Text { text, .. } => {
                    let ids = self.ids(text, false).await?;
                    Prompt { prompt: Some(prompt::Prompt::TokenIds(TokenIds { ids })) }
                }
            });
        }
        Ok(EmbedRequest { inputs, ..request.clone() })
    }
}

fn unreadable(error: EngineError) -> Failed {
    super::super::failure::lost(error)
}
