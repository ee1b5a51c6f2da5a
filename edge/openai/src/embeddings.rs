//! `POST /v1/embeddings`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::invalid::Invalid;
use crate::json;
use crate::prompt::{self, PromptInput};
use crate::reader::{Fields, Path, integer, one_of};
use crate::request;
use crate::unsupported;

/// Inputs in one request, as at OpenAI.
const MOST_INPUTS: usize = 2048;

/// Embeddings that were asked for, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbeddingRequest {
    /// The model by the client's name for it; never empty.
    pub model: String,
    /// What to embed: never empty, nor is any of them.
    pub inputs: Vec<PromptInput>,
    /// How vectors are written.
    pub encoding: Encoding,
    /// How long they are to be. `None`: as the model makes them.
    pub dimensions: Option<u32>,
    /// The client's own user.
    pub user: Option<String>,
}

/// How a vector is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// An array of numbers.
    Float,
    /// Base64 of little-endian 32-bit floats: what the official clients ask for by default.
    Base64,
}

/// Reads the body of a request.
pub fn parse(body: &[u8]) -> Result<EmbeddingRequest, Invalid> {
    let mut fields = Fields::of_body(body)?;
    let model = request::model(&mut fields)?;
    let inputs = fields.require("input", inputs)?;
    unsupported::refuse(&mut fields, unsupported::EMBEDDINGS)?;
    let dimensions = fields.read("dimensions", dimensions)?;
    let request = EmbeddingRequest {
        model,
        inputs,
        encoding: fields
            .read("encoding_format", one_of(&[("float", Encoding::Float), ("base64", Encoding::Base64)]))?
            .unwrap_or(Encoding::Float),
        dimensions,
        user: request::user(&mut fields)?,
    };
    fields.no_unrecognized()?;
    Ok(request)
}

/// The answer's body; `model` is the name the client used, the vectors stand in the order of the inputs.
pub fn body<'v>(
    model: &str,
    vectors: impl IntoIterator<Item = &'v [f32]>,
    encoding: Encoding,
    prompt_tokens: u64,
) -> Vec<u8> {
    let mut out = b"{\"object\":\"list\",\"data\":[".to_vec();
    for (index, vector) in vectors.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"object\":\"embedding\",\"index\":");
        json::write(&mut out, &index);
        out.extend_from_slice(b",\"embedding\":");
        match encoding {
            Encoding::Float => json::write(&mut out, vector),
            Encoding::Base64 => write_base64(vector, &mut out),
        }
        out.push(b'}');
    }
    out.extend_from_slice(b"],\"model\":");
    json::write(&mut out, model);
    out.extend_from_slice(b",\"usage\":{\"prompt_tokens\":");
    json::write(&mut out, &prompt_tokens);
    out.extend_from_slice(b",\"total_tokens\":");
    json::write(&mut out, &prompt_tokens);
    out.extend_from_slice(b"}}");
    out
}

fn inputs(path: &Path<'_>, value: Value) -> Result<Vec<PromptInput>, Invalid> {
    let no_inputs = value.as_array().is_some_and(Vec::is_empty);
    if no_inputs {
        return Err(invalid_input());
    }
    let inputs = prompt::read(path, value, MOST_INPUTS)?;
    let empty = |input: &PromptInput| matches!(input, PromptInput::Text(text) if text.is_empty());
    if inputs.iter().any(empty) {
        return Err(invalid_input());
    }
    Ok(inputs)
}

/// The older validator of this endpoint has one text for all that is empty.
fn invalid_input() -> Invalid {
    Invalid::new(
        "'$.input' is invalid. Please check the API reference: https://platform.openai.com/docs/api-reference.",
    )
}

/// As the older validator says it.
fn dimensions(path: &Path<'_>, value: Value) -> Result<u32, Invalid> {
    match value.as_i64() {
        Some(number) if number < 1 => Err(Invalid::new(format!("{number} is less than the minimum of 1 - '{path}'"))),
        _ => integer(1, u32::MAX.into())(path, value),
    }
}

fn write_base64(vector: &[f32], out: &mut Vec<u8>) {
    let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
    out.push(b'"');
    out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
    out.push(b'"');
}
