//! How well documents answer queries: vLLM's `/score` and llama.cpp's `/v1/rerank`, which say the same in other words. No
//! I/O.

use cloudach_proto::v1::{ErrorCode, Failed, ScoreRequest, Scores, TokenUsage};
use serde::{Deserialize, Serialize};

use super::failure::{invalid, unsupported};

/// What vLLM is asked.
#[derive(Serialize)]
struct Pairs<'a> {
    model: &'a str,
    text_1: OneOrMany<'a>,
    text_2: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    truncate_prompt_tokens: Option<i32>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum OneOrMany<'a> {
    One(&'a str),
    Many(&'a [String]),
}

/// What llama.cpp is asked.
#[derive(Serialize)]
struct Documents<'a> {
    model: &'a str,
    query: &'a str,
    documents: &'a [String],
}

/// What either answers.
#[derive(Deserialize)]
struct Page {
    #[serde(alias = "results")]
    data: Vec<Entry>,
    #[serde(default)]
    usage: Usage,
}

#[derive(Deserialize)]
struct Entry {
    index: usize,
    #[serde(alias = "relevance_score")]
    score: f64,
}

#[derive(Default, Deserialize)]
struct Usage {
    #[serde(default)]
    prompt_tokens: u32,
}

/// The body of the request, for vLLM.
pub(super) fn pairs(request: &ScoreRequest, served_name: &str) -> Result<Vec<u8>, Failed> {
    check(request)?;
    let text_1 = match request.queries.as_slice() {
        [query] => OneOrMany::One(query),
        queries => OneOrMany::Many(queries),
    };
    let truncate_prompt_tokens = request.truncate_tokens;
    write(&Pairs { model: served_name, text_1, text_2: &request.documents, truncate_prompt_tokens })
}

/// The body of the request, for llama.cpp.
pub(super) fn documents(request: &ScoreRequest, served_name: &str) -> Result<Vec<u8>, Failed> {
    check(request)?;
    if request.truncate_tokens.is_some() {
        return Err(unsupported("truncate_prompt_tokens", "llama.cpp's server cannot cut what is too long"));
    }
    let [query] = request.queries.as_slice() else {
        return Err(unsupported("text_1", "llama.cpp's server scores the documents of one query at a time"));
    };
    write(&Documents { model: served_name, query, documents: &request.documents })
}

fn check(request: &ScoreRequest) -> Result<(), Failed> {
    match (request.queries.len(), request.documents.len()) {
        (_, 0) => Err(invalid("documents", "there is nothing to score")),
        (1, _) => Ok(()),
        (queries, documents) if queries == documents => Ok(()),
        _ => Err(invalid("text_1", "there is to be one query, or one for each document")),
    }
}

fn write(body: &impl Serialize) -> Result<Vec<u8>, Failed> {
    serde_json::to_vec(body).map_err(|error| invalid("documents", format!("the request cannot be written: {error}")))
}

/// Reads the answer to a request with so many documents.
pub(super) fn read(body: &[u8], documents: usize) -> Result<Scores, Failed> {
    let unreadable = |reason: String| {
        Failed::retryable(ErrorCode::EngineFailed, format!("the engine's scores cannot be read: {reason}"))
    };
    let page: Page = serde_json::from_slice(body).map_err(|error| unreadable(error.to_string()))?;
    let mut scores = vec![None; documents];
    for entry in page.data {
        let place =
            scores.get_mut(entry.index).ok_or_else(|| unreadable(format!("there is no document {}", entry.index)))?;
        *place = Some(entry.score);
    }
    let missing = scores.iter().position(Option::is_none);
    let data = scores.into_iter().collect::<Option<Vec<_>>>();
    let data = data.ok_or_else(|| unreadable(format!("document {} has none", missing.unwrap_or_default())))?;
    let usage = TokenUsage { prompt_tokens: page.usage.prompt_tokens, ..TokenUsage::default() };
    Ok(Scores { data, usage: Some(usage), replica: String::new() })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn request(queries: &[&str], documents: &[&str]) -> ScoreRequest {
        let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        ScoreRequest { queries: texts(queries), documents: texts(documents), ..ScoreRequest::default() }
    }

    fn json(body: Result<Vec<u8>, Failed>) -> Value {
        serde_json::from_slice(&body.unwrap()).unwrap()
    }

    #[test]
    fn requests_are_written() {
        let one = request(&["q"], &["a", "b"]);
        assert_eq!(json(pairs(&one, "m")), json!({"model": "m", "text_1": "q", "text_2": ["a", "b"]}));
        assert_eq!(json(documents(&one, "m")), json!({"model": "m", "query": "q", "documents": ["a", "b"]}));
        let each = ScoreRequest { truncate_tokens: Some(-1), ..request(&["p", "q"], &["a", "b"]) };
        let told = json!({"model": "m", "text_1": ["p", "q"], "text_2": ["a", "b"], "truncate_prompt_tokens": -1});
        assert_eq!(json(pairs(&each, "m")), told);
    }

    #[test]
    fn what_cannot_be_scored_is_refused_by_its_name() {
        let param = |body: Result<Vec<u8>, Failed>| body.unwrap_err().param;
        assert_eq!(param(pairs(&request(&["q"], &[]), "m")), "documents");
        assert_eq!(param(pairs(&request(&["p", "q"], &["a"]), "m")), "text_1");
        assert_eq!(param(pairs(&request(&[], &["a"]), "m")), "text_1");
        assert_eq!(param(documents(&request(&["p", "q"], &["a", "b"]), "m")), "text_1");
        let cut = ScoreRequest { truncate_tokens: Some(8), ..request(&["q"], &["a"]) };
        assert_eq!(param(documents(&cut, "m")), "truncate_prompt_tokens");
    }

    #[test]
    fn answers_are_put_in_order() {
        let vllm = json!({"usage": {"prompt_tokens": 5}, "data": [
            {"index": 0, "object": "score", "score": 0.25}, {"index": 1, "object": "score", "score": -1.5}]});
        let llama_cpp = json!({"usage": {"prompt_tokens": 5}, "results": [
            {"index": 1, "relevance_score": -1.5}, {"index": 0, "relevance_score": 0.25}]});
        for page in [vllm, llama_cpp] {
            let scores = read(&serde_json::to_vec(&page).unwrap(), 2).unwrap();
            assert_eq!((scores.data, scores.usage.unwrap().prompt_tokens), (vec![0.25, -1.5], 5));
        }
    }

    #[test]
    fn an_answer_with_gaps_is_a_failure() {
        for page in [
            "",
            "{}",
            r#"{"data":[]}"#,
            r#"{"data":[{"index":7,"score":1}]}"#,
            r#"{"data":[{"index":0,"score":null}]}"#,
        ] {
            assert_eq!(read(page.as_bytes(), 1).unwrap_err().code(), ErrorCode::EngineFailed, "{page}");
        }
    }
}
