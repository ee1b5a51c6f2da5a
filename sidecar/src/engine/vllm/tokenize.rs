//! vLLM's tokenizer, asked over HTTP.

use cloudach_proto::v1::{DetokenizeRequest, DetokenizedText, ErrorCode, Failed, TokenizeRequest, Tokens};
use serde::{Deserialize, Serialize};

use super::{
    super::{
        call::Calls,
        failure::{invalid, lost, not_tokenized},
    },
    errors,
};

#[derive(Serialize)]
struct Words<'a> {
    model: &'a str,
    prompt: &'a str,
    add_special_tokens: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    return_token_strs: bool,
}

#[derive(Deserialize)]
struct Ids {
    tokens: Vec<u32>,
    #[serde(default)]
    token_strs: Option<Vec<String>>,
}

#[derive(Serialize)]
struct Question<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    tokens: &'a [u32],
}

#[derive(Deserialize)]
struct Text {
    prompt: String,
}

/// The body of a client's question for the tokens of a text.
pub(super) fn question(request: &TokenizeRequest, model: &str) -> Result<Vec<u8>, Failed> {
    let prompt = request.prompt.as_ref().ok_or_else(|| invalid("prompt", "the request has no prompt"))?;
    write(&Words {
        model,
        prompt: &prompt.text,
        add_special_tokens: prompt.add_special_tokens,
        return_token_strs: request.texts,
    })
}

/// Reads the answer to it.
pub(super) fn tokens(body: &[u8]) -> Result<Tokens, Failed> {
    let ids: Ids = read(body)?;
    Ok(Tokens { ids: ids.tokens, texts: ids.token_strs.unwrap_or_default(), replica: String::new() })
}

/// The body of a client's question for the text of tokens.
pub(super) fn ids(request: &DetokenizeRequest, model: &str) -> Result<Vec<u8>, Failed> {
    write(&Question { model: Some(model), tokens: &request.ids })
}

/// Reads the answer to it.
pub(super) fn text(body: &[u8]) -> Result<DetokenizedText, Failed> {
    let text: Text = read(body)?;
    Ok(DetokenizedText { text: text.prompt, replica: String::new() })
}

fn write(body: &impl Serialize) -> Result<Vec<u8>, Failed> {
    serde_json::to_vec(body).map_err(|error| invalid("prompt", format!("the request cannot be written: {error}")))
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Failed> {
    serde_json::from_slice(body).map_err(|error| {
        Failed::retryable(ErrorCode::EngineFailed, format!("the tokenizer's answer cannot be read: {error}"))
    })
}

/// The ids of a text.
pub(super) async fn ids_of(
    calls: &Calls,
    model: &str,
    prompt: &str,
    add_special_tokens: bool,
) -> Result<Vec<u32>, Failed> {
    let question = Words { model, prompt, add_special_tokens, return_token_strs: false };
    let answer = calls.post("/tokenize", &question).await.map_err(not_tokenized)?;
    if !answer.status.is_success() {
        return Err(errors::failed(answer.status, &answer.body, ""));
    }
    let ids: Ids = answer.json().map_err(lost)?;
    Ok(ids.tokens)
}

/// What the ids say, special tokens written out. Ids that the model does not have say nothing here; the completion
/// refuses them.
pub(super) async fn text_of(calls: &Calls, ids: &[u32]) -> Result<String, Failed> {
    let question = Question { model: None, tokens: ids };
    let answer = calls.post("/detokenize", &question).await.map_err(not_tokenized)?;
    if !answer.status.is_success() {
        return Err(errors::failed(answer.status, &answer.body, ""));
    }
    let text: Text = answer.json().map_err(lost)?;
    Ok(text.prompt)
}

#[cfg(test)]
mod tests {
    use cloudach_proto::v1::PromptText;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn clients_questions_are_passed_on_as_they_are() {
        let ask = |add_special_tokens, texts| {
            let prompt = Some(PromptText { text: "Hi".into(), add_special_tokens });
            let body = question(&TokenizeRequest { prompt, texts, ..TokenizeRequest::default() }, "m").unwrap();
            serde_json::from_slice::<Value>(&body).unwrap()
        };
        assert_eq!(ask(true, false), json!({"model": "m", "prompt": "Hi", "add_special_tokens": true}));
        let texts = json!({"model": "m", "prompt": "Hi", "add_special_tokens": false, "return_token_strs": true});
        assert_eq!(ask(false, true), texts);
        assert_eq!(question(&TokenizeRequest::default(), "m").unwrap_err().param, "prompt");
        let back = ids(&DetokenizeRequest { ids: vec![7], ..DetokenizeRequest::default() }, "m").unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&back).unwrap(), json!({"model": "m", "tokens": [7]}));
    }

    #[test]
    fn answers_are_read() {
        let told = tokens(br#"{"count":1,"max_model_len":8,"tokens":[7],"token_strs":["\u0120a"]}"#).unwrap();
        assert_eq!((told.ids, told.texts), (vec![7], vec!["\u{120}a".to_owned()]));
        assert!(tokens(br#"{"tokens":[7],"token_strs":null}"#).unwrap().texts.is_empty());
        assert_eq!(text(br#"{"prompt":"a"}"#).unwrap().text, "a");
        assert_eq!(tokens(b"{}").unwrap_err().code(), ErrorCode::EngineFailed);
    }
}
