//! `POST /tokenize` and `POST /detokenize`: a model's own tokens. OpenAI has neither; the shapes are vLLM's.

use serde_json::Value;

use crate::chat::{self, ChatRequest};
use crate::invalid::Invalid;
use crate::json;
use crate::reader::{self, Fields, Path, boolean, integer, string};
use crate::request;

/// Tokens that were asked for, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenizeRequest {
    /// The model by the client's name for it; never empty.
    pub model: String,
    /// Whose tokens.
    pub of: Tokenized,
    /// The tokenizer puts its special tokens around the text.
    pub add_special_tokens: bool,
    /// The answer tells the tokens' texts, too.
    pub return_token_strs: bool,
}

/// What is cut into tokens.
#[derive(Debug, Clone, PartialEq)]
pub enum Tokenized {
    /// The text.
    Prompt(String),
    /// The prompt that the same chat has.
    Chat(Box<ChatRequest>),
}

/// A text that was asked for, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetokenizeRequest {
    /// The model by the client's name for it; never empty.
    pub model: String,
    pub tokens: Vec<u32>,
}

/// Reads the body of a request to `/tokenize`.
pub fn parse_tokenize(body: &[u8]) -> Result<TokenizeRequest, Invalid> {
    let mut fields = Fields::of_body(body)?;
    let is_chat = fields.peek("messages").is_some();
    if is_chat && fields.peek("prompt").is_some() {
        return Err(
            Invalid::new("Only one of 'prompt' and 'messages' can be given. Leave one of them out.").param("prompt")
        );
    }
    // What is left of the two is null.
    fields.read(if is_chat { "prompt" } else { "messages" }, |_, _| Ok(()))?;
    // A template writes them itself.
    let add_special_tokens = fields.read("add_special_tokens", boolean)?.unwrap_or(!is_chat);
    let return_token_strs = fields.read("return_token_strs", boolean)?.unwrap_or(false);
    if is_chat {
        let chat = chat::parse_fields(fields)?;
        let model = chat.model.clone();
        return Ok(TokenizeRequest {
            model,
            of: Tokenized::Chat(Box::new(chat)),
            add_special_tokens,
            return_token_strs,
        });
    }
    let model = request::model(&mut fields)?;
    let prompt = fields.require("prompt", string)?;
    fields.no_unrecognized()?;
    Ok(TokenizeRequest { model, of: Tokenized::Prompt(prompt), add_special_tokens, return_token_strs })
}

/// Reads the body of a request to `/detokenize`.
pub fn parse_detokenize(body: &[u8]) -> Result<DetokenizeRequest, Invalid> {
    let mut fields = Fields::of_body(body)?;
    let model = request::model(&mut fields)?;
    let tokens = fields.require("tokens", tokens)?;
    fields.no_unrecognized()?;
    Ok(DetokenizeRequest { model, tokens })
}

fn tokens(path: &Path<'_>, value: Value) -> Result<Vec<u32>, Invalid> {
    match value {
        Value::Array(values) if values.is_empty() => Err(Invalid::empty_array(path)),
        Value::Array(values) => reader::items(path, values, integer(0, u32::MAX.into())),
        other => Err(Invalid::wrong_type(path, "an array of integers", reader::kind(&other))),
    }
}

/// The answer of `/tokenize`. `max_model_len`: the model's context length in tokens.
pub fn tokenize_body(tokens: &[u32], texts: Option<&[String]>, max_model_len: u32) -> Vec<u8> {
    let mut out = b"{\"count\":".to_vec();
    json::write(&mut out, &tokens.len());
    out.extend_from_slice(b",\"max_model_len\":");
    json::write(&mut out, &max_model_len);
    out.extend_from_slice(b",\"tokens\":");
    json::write(&mut out, tokens);
    out.extend_from_slice(b",\"token_strs\":");
    json::write(&mut out, &texts);
    out.push(b'}');
    out
}

/// The answer of `/detokenize`.
pub fn detokenize_body(text: &str) -> Vec<u8> {
    let mut out = b"{\"prompt\":".to_vec();
    json::write(&mut out, text);
    out.push(b'}');
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tokenize(body: Value) -> Result<TokenizeRequest, Invalid> {
        parse_tokenize(&serde_json::to_vec(&body).unwrap())
    }

    #[test]
    fn special_tokens_are_the_tokenizers_around_texts_and_the_templates_in_chats() {
        let text = tokenize(json!({"model": "m", "prompt": ""})).unwrap();
        assert_eq!(
            (text.of, text.add_special_tokens, text.return_token_strs),
            (Tokenized::Prompt(String::new()), true, false)
        );
        let messages = json!([{"role": "user", "content": "Hi"}]);
        let chat = tokenize(json!({"model": "m", "messages": messages, "add_generation_prompt": false})).unwrap();
        assert!(!chat.add_special_tokens);
        let Tokenized::Chat(request) = chat.of else { panic!("a chat") };
        assert!(!request.add_generation_prompt);
        let both = tokenize(json!({"model": "m", "messages": messages, "add_special_tokens": true})).unwrap();
        assert!(both.add_special_tokens);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let param = |body| tokenize(body).unwrap_err().param;
        let messages = json!([{"role": "user", "content": "Hi"}]);
        assert_eq!(param(json!({"model": "m"})).unwrap(), "prompt");
        assert_eq!(param(json!({"model": "m", "prompt": ["a"]})).unwrap(), "prompt");
        assert_eq!(param(json!({"model": "m", "prompt": "a", "messages": messages})).unwrap(), "prompt");
        assert_eq!(param(json!({"model": "m", "messages": []})).unwrap(), "messages");
        assert_eq!(param(json!({"model": "m", "messages": messages, "chat_template": "x"})).unwrap(), "chat_template");
        assert_eq!(param(json!({"prompt": "a"})), None, "no model");
        let ids =
            |tokens: Value| parse_detokenize(&serde_json::to_vec(&json!({"model": "m", "tokens": tokens})).unwrap());
        assert_eq!(ids(json!([1, 2])).unwrap().tokens, [1, 2]);
        for wrong in [json!([]), json!("a"), json!(null)] {
            assert_eq!(ids(wrong).unwrap_err().param.unwrap(), "tokens");
        }
        assert_eq!(ids(json!([1, -1])).unwrap_err().param.unwrap(), "tokens[1]");
    }

    #[test]
    fn answers_are_vllms() {
        assert_eq!(
            String::from_utf8(tokenize_body(&[1, 2], None, 8)).unwrap(),
            r#"{"count":2,"max_model_len":8,"tokens":[1,2],"token_strs":null}"#
        );
        let texts = ["a\"".to_owned()];
        assert_eq!(
            String::from_utf8(tokenize_body(&[1], Some(&texts), 8)).unwrap(),
            r#"{"count":1,"max_model_len":8,"tokens":[1],"token_strs":["a\""]}"#
        );
        assert_eq!(String::from_utf8(detokenize_body("a\n")).unwrap(), r#"{"prompt":"a\n"}"#);
    }
}
