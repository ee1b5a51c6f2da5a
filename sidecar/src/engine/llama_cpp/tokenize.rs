//! llama.cpp's tokenizer, asked over HTTP.

use cloudach_proto::v1::{
    DetokenizeRequest, DetokenizedText, EmbedRequest, ErrorCode, Failed, Prompt, TokenIds, TokenizeRequest,
    Tokens as Told, prompt,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    super::{
        call::{Calls, EngineError},
        failure::{invalid, not_tokenized},
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
    id: u32,
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
        let answer = self.calls.post("/tokenize", &question).await.map_err(not_tokenized)?;
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
        let answer = self.calls.post("/detokenize", &json!({ "tokens": ids })).await.map_err(not_tokenized)?;
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

/// The body of a client's question for the tokens of a text.
pub(super) fn question(request: &TokenizeRequest) -> Result<Vec<u8>, Failed> {
    let prompt = request.prompt.as_ref().ok_or_else(|| invalid("prompt", "the request has no prompt"))?;
    write(&json!({
        "content": prompt.text,
        "add_special": prompt.add_special_tokens,
        "parse_special": true,
        "with_pieces": request.texts,
    }))
}

/// Reads the answer to it. A token that is a part of a character has no text of its own: its bytes are shown as far as they
/// are characters.
pub(super) fn tokens(body: &[u8], with_texts: bool) -> Result<Told, Failed> {
    let (ids, texts) = if with_texts {
        let pieces: Pieces = read(body)?;
        pieces.tokens.into_iter().map(|token| (token.id, text_of(&token.piece))).unzip()
    } else {
        (read::<Tokens>(body)?.tokens, Vec::new())
    };
    Ok(Told { ids, texts, replica: String::new() })
}

/// The body of a client's question for the text of tokens.
pub(super) fn ids(request: &DetokenizeRequest) -> Result<Vec<u8>, Failed> {
    write(&json!({ "tokens": request.ids }))
}

/// Reads the answer to it.
pub(super) fn text(body: &[u8]) -> Result<DetokenizedText, Failed> {
    let text: Text = read(body)?;
    Ok(DetokenizedText { text: text.content, replica: String::new() })
}

fn text_of(piece: &Value) -> String {
    let byte = |value: &Value| value.as_u64().and_then(|byte| u8::try_from(byte).ok());
    match piece {
        Value::String(text) => text.clone(),
        Value::Array(bytes) => String::from_utf8_lossy(&bytes.iter().filter_map(byte).collect::<Vec<_>>()).into_owned(),
        _ => String::new(),
    }
}

fn write(body: &Value) -> Result<Vec<u8>, Failed> {
    serde_json::to_vec(body).map_err(|error| invalid("prompt", format!("the request cannot be written: {error}")))
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Failed> {
    serde_json::from_slice(body).map_err(|error| {
        Failed::retryable(ErrorCode::EngineFailed, format!("the tokenizer's answer cannot be read: {error}"))
    })
}

fn unreadable(error: EngineError) -> Failed {
    super::super::failure::lost(error)
}

#[cfg(test)]
mod tests {
    use cloudach_proto::v1::PromptText;

    use super::*;

    #[test]
    fn clients_questions_are_passed_on_as_they_are() {
        let ask = |add_special_tokens, texts| {
            let prompt = Some(PromptText { text: "Hi".into(), add_special_tokens });
            let body = question(&TokenizeRequest { prompt, texts, ..TokenizeRequest::default() }).unwrap();
            serde_json::from_slice::<Value>(&body).unwrap()
        };
        let asked = |special: bool, pieces: bool| json!({"content": "Hi", "add_special": special, "parse_special": true, "with_pieces": pieces});
        assert_eq!(ask(true, false), asked(true, false));
        assert_eq!(ask(false, true), asked(false, true));
        assert_eq!(question(&TokenizeRequest::default()).unwrap_err().param, "prompt");
    }

    #[test]
    fn parts_of_characters_are_shown_as_far_as_they_are_some() {
        let told =
            tokens(br#"{"tokens":[{"id":1,"piece":" a"},{"id":2,"piece":[240,159]},{"id":3,"piece":[98]}]}"#, true);
        let told = told.unwrap();
        assert_eq!(told.ids, [1, 2, 3]);
        assert_eq!(told.texts, [" a", "\u{fffd}", "b"]);
        assert_eq!(tokens(br#"{"tokens":[1,2]}"#, false).unwrap().ids, [1, 2]);
        assert_eq!(text(br#"{"content":"a"}"#).unwrap().text, "a");
        assert_eq!(tokens(b"{}", false).unwrap_err().code(), ErrorCode::EngineFailed);
    }
}
