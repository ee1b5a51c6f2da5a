//! OpenAI's `/v1/embeddings`, which every engine that embeds has. No I/O.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use cloudach_proto::v1::{EmbedRequest, Embedding, Embeddings, ErrorCode, Failed, TokenUsage};
use serde::{Deserialize, Serialize};

use super::{failure::invalid, prompt::Input};

#[derive(Serialize)]
struct Request<'a> {
    model: &'a str,
    input: Vec<Input<'a>>,
    /// A quarter of the bytes of decimal numbers, and nothing to parse.
    encoding_format: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    add_special_tokens: Option<bool>,
}

#[derive(Deserialize)]
struct Page {
    data: Vec<Entry>,
    #[serde(default)]
    usage: Usage,
}

#[derive(Deserialize)]
struct Entry {
    index: usize,
    embedding: String,
}

#[derive(Default, Deserialize)]
struct Usage {
    #[serde(default)]
    prompt_tokens: u32,
}

/// The body of the request.
pub(super) fn request(request: &EmbedRequest, served_name: &str) -> Result<Vec<u8>, Failed> {
    if request.inputs.is_empty() {
        return Err(invalid("input", "there is nothing to embed"));
    }
    let input: Vec<Input<'_>> =
        request.inputs.iter().map(|prompt| Input::named("input", Some(prompt))).collect::<Result<_, _>>()?;
    let text = |input: &Input<'_>| matches!(input, Input::Text { .. });
    if input.iter().any(text) && !input.iter().all(text) {
        return Err(invalid("input", "text and token ids cannot be embedded in one request"));
    }
    let special = input[0].add_special_tokens();
    if input.iter().any(|other| other.add_special_tokens() != special) {
        return Err(invalid("input", "all inputs of one request take special tokens, or none does"));
    }
    let add_special_tokens = text(&input[0]).then_some(special);
    let body = Request {
        model: served_name,
        input,
        encoding_format: "base64",
        dimensions: request.dimensions,
        add_special_tokens,
    };
    serde_json::to_vec(&body).map_err(|error| invalid("input", format!("the request cannot be written: {error}")))
}

/// Reads the answer to a request with so many inputs.
pub(super) fn read(body: &[u8], inputs: usize) -> Result<Embeddings, Failed> {
    let unreadable = |reason: String| {
        Failed::retryable(ErrorCode::EngineFailed, format!("the engine's embeddings cannot be read: {reason}"))
    };
    let page: Page = serde_json::from_slice(body).map_err(|error| unreadable(error.to_string()))?;
    let mut data = vec![Embedding::default(); inputs];
    for entry in page.data {
        let place =
            data.get_mut(entry.index).ok_or_else(|| unreadable(format!("there is no input {}", entry.index)))?;
        place.values = floats(&entry.embedding).ok_or_else(|| unreadable("a vector is not base64".to_owned()))?;
    }
    if let Some(missing) = data.iter().position(|embedding| embedding.values.is_empty()) {
        return Err(unreadable(format!("input {missing} has none")));
    }
    let usage = TokenUsage { prompt_tokens: page.usage.prompt_tokens, ..TokenUsage::default() };
    Ok(Embeddings { data, usage: Some(usage), replica: String::new() })
}

fn floats(base64: &str) -> Option<Vec<f32>> {
    let bytes = STANDARD.decode(base64).ok()?;
    let (chunks, rest) = bytes.as_chunks::<4>();
    rest.is_empty().then(|| chunks.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect())
}

#[cfg(test)]
mod tests {
    use cloudach_proto::v1::{Prompt, PromptText, TokenIds, prompt};
    use serde_json::{Value, json};

    use super::*;

    fn text(text: &str) -> Prompt {
        Prompt { prompt: Some(prompt::Prompt::Text(PromptText { text: text.into(), add_special_tokens: true })) }
    }

    fn ids(ids: &[u32]) -> Prompt {
        Prompt { prompt: Some(prompt::Prompt::TokenIds(TokenIds { ids: ids.to_vec() })) }
    }

    fn body(inputs: Vec<Prompt>) -> Result<Value, Failed> {
        let asked = EmbedRequest { inputs, dimensions: Some(64), ..EmbedRequest::default() };
        request(&asked, "m").map(|body| serde_json::from_slice(&body).unwrap())
    }

    #[test]
    fn requests_are_written() {
        let texts = json!({"model": "m", "input": ["a", "b"], "encoding_format": "base64", "dimensions": 64,
            "add_special_tokens": true});
        assert_eq!(body(vec![text("a"), text("b")]).unwrap(), texts);
        let lists = json!({"model": "m", "input": [[1, 2], [3]], "encoding_format": "base64", "dimensions": 64});
        assert_eq!(body(vec![ids(&[1, 2]), ids(&[3])]).unwrap(), lists);
        for wrong in [vec![], vec![text("a"), ids(&[1])], vec![text("")], vec![Prompt::default()]] {
            assert_eq!(body(wrong).unwrap_err().param, "input");
        }
    }

    #[test]
    fn answers_are_put_in_order() {
        let page = json!({"usage": {"prompt_tokens": 5}, "data": [
            {"index": 1, "embedding": STANDARD.encode([0, 0, 0, 64])},
            {"index": 0, "embedding": STANDARD.encode([0, 0, 128, 63, 0, 0, 0, 191])},
        ]});
        let read = read(&serde_json::to_vec(&page).unwrap(), 2).unwrap();
        assert_eq!(read.data[0].values, [1.0, -0.5]);
        assert_eq!(read.data[1].values, [2.0]);
        assert_eq!(read.usage.unwrap().prompt_tokens, 5);
    }

    #[test]
    fn an_answer_with_gaps_is_a_failure() {
        for page in [
            "",
            "{}",
            r#"{"data":[]}"#,
            r#"{"data":[{"index":7,"embedding":""}]}"#,
            r#"{"data":[{"index":0,"embedding":"AA=="}]}"#,
        ] {
            assert_eq!(read(page.as_bytes(), 1).unwrap_err().code(), ErrorCode::EngineFailed, "{page}");
        }
    }
}
