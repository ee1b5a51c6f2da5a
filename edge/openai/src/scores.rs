//! `POST /v1/rerank` and `POST /v1/score`: how well documents answer a query. OpenAI has neither; the shapes are those that
//! vLLM, Jina and Cohere share.

use serde_json::Value;

use crate::invalid::Invalid;
use crate::json;
use crate::reader::{self, Fields, Path, boolean, integer, string};
use crate::request;
use crate::unsupported;

/// Documents in one request: as many as inputs of embeddings.
const MOST_DOCUMENTS: usize = 2048;

/// The names of what is compared with what, by any of which a client may give it.
const PAIRS: [(&str, &str); 4] =
    [("text_1", "text_2"), ("queries", "documents"), ("queries", "items"), ("data_1", "data_2")];

/// Scores that were asked for, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScoreRequest {
    /// The model by the client's name for it; never empty.
    pub model: String,
    /// One, which is that of all documents, or one for each.
    pub queries: Vec<String>,
    /// Never empty.
    pub documents: Vec<String>,
    /// Pairs longer than so many tokens are cut; -1: than the context. `None`: they are refused.
    pub truncate_tokens: Option<i32>,
    /// The client's own user.
    pub user: Option<String>,
}

/// An order of documents that was asked for, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RerankRequest {
    /// Of one query.
    pub scores: ScoreRequest,
    /// How many of the best are told. `None`: all.
    pub top_n: Option<usize>,
    /// The answer repeats the documents.
    pub return_documents: bool,
}

/// Reads the body of a request to `/v1/score`.
pub fn parse_score(body: &[u8]) -> Result<ScoreRequest, Invalid> {
    let mut fields = Fields::of_body(body)?;
    let model = request::model(&mut fields)?;
    let given = |(one, other): &(&str, &str)| fields.peek(one).is_some() && fields.peek(other).is_some();
    let (one, other) = PAIRS.into_iter().find(given).unwrap_or(PAIRS[0]);
    let queries = fields.require(one, documents)?;
    let documents = fields.require(other, documents)?;
    if queries.len() > 1 && queries.len() != documents.len() {
        return Err(Invalid::new(format!(
            "Invalid '{one}': expected one, or as many as in '{other}', but got {} for {}.",
            queries.len(),
            documents.len()
        ))
        .param(one));
    }
    finish(fields, model, queries, documents)
}

/// Reads the body of a request to `/v1/rerank`.
pub fn parse_rerank(body: &[u8]) -> Result<RerankRequest, Invalid> {
    let mut fields = Fields::of_body(body)?;
    let model = request::model(&mut fields)?;
    let query = fields.require("query", query)?;
    let documents = fields.require("documents", documents)?;
    let top_n = fields.read("top_n", integer(0, i64::from(u32::MAX)))?.filter(|top_n| *top_n > 0);
    let return_documents = fields.read("return_documents", boolean)?.unwrap_or(true);
    Ok(RerankRequest { scores: finish(fields, model, vec![query], documents)?, top_n, return_documents })
}

/// What both have.
fn finish(
    mut fields: Fields<'_>,
    model: String,
    queries: Vec<String>,
    documents: Vec<String>,
) -> Result<ScoreRequest, Invalid> {
    unsupported::refuse(&mut fields, unsupported::SCORES)?;
    for name in ["max_tokens_per_query", "max_tokens_per_doc"] {
        fields.read(name, |path, value| match integer(0, i64::from(u32::MAX))(path, value)? {
            0_u32 => Ok(()),
            _ => Err(Invalid::unsupported(path, "Use 'truncate_prompt_tokens' instead.")),
        })?;
    }
    fields.read("use_activation", |path, value| match boolean(path, value)? {
        true => Ok(()),
        false => Err(Invalid::unsupported_value(path, "false", "Leave it out.")),
    })?;
    let truncate_tokens = fields.read("truncate_prompt_tokens", integer(-1, i32::MAX.into()))?;
    let user = request::user(&mut fields)?;
    fields.no_unrecognized()?;
    Ok(ScoreRequest { model, queries, documents, truncate_tokens, user })
}

fn query(path: &Path<'_>, value: Value) -> Result<String, Invalid> {
    let query = text(path, value)?;
    if query.is_empty() { Err(Invalid::empty_string(path)) } else { Ok(query) }
}

/// One, or several.
fn documents(path: &Path<'_>, value: Value) -> Result<Vec<String>, Invalid> {
    match value {
        Value::Array(values) if values.is_empty() => Err(Invalid::empty_array(path)),
        Value::Array(values) if values.len() > MOST_DOCUMENTS => {
            Err(Invalid::array_too_long(path, MOST_DOCUMENTS, values.len()))
        }
        Value::Array(values) => reader::items(path, values, text),
        one => Ok(vec![text(path, one)?]),
    }
}

/// A text, alone or as an object with nothing else in it.
fn text(path: &Path<'_>, value: Value) -> Result<String, Invalid> {
    match value {
        Value::String(text) => Ok(text),
        Value::Object(_) => {
            let mut fields = Fields::of(path, value)?;
            let text = fields.require("text", string)?;
            fields.no_unknown()?;
            Ok(text)
        }
        other => Err(Invalid::wrong_type(path, "a string or an object with a 'text'", reader::kind(&other))),
    }
}

/// The answer of `/v1/score`; the scores stand in the order of the documents.
pub fn score_body(id: &str, created: u64, model: &str, scores: &[f64], prompt_tokens: u64) -> Vec<u8> {
    let mut out = b"{\"id\":".to_vec();
    json::write(&mut out, id);
    out.extend_from_slice(b",\"object\":\"list\",\"created\":");
    json::write(&mut out, &created);
    out.extend_from_slice(b",\"model\":");
    json::write(&mut out, model);
    out.extend_from_slice(b",\"data\":[");
    for (index, score) in scores.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"index\":");
        json::write(&mut out, &index);
        out.extend_from_slice(b",\"object\":\"score\",\"score\":");
        json::write(&mut out, score);
        out.push(b'}');
    }
    out.push(b']');
    write_usage(&mut out, prompt_tokens);
    out
}

/// The answer of `/v1/rerank`: the best first, and of those that are alike the one that came first. `scores` stand in the
/// order of the documents, which are repeated where they are given.
pub fn rerank_body(
    id: &str,
    model: &str,
    scores: &[f64],
    documents: Option<&[String]>,
    top_n: Option<usize>,
    prompt_tokens: u64,
) -> Vec<u8> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&one, &other| scores[other].total_cmp(&scores[one]));
    order.truncate(top_n.unwrap_or(usize::MAX));
    let mut out = b"{\"id\":".to_vec();
    json::write(&mut out, id);
    out.extend_from_slice(b",\"model\":");
    json::write(&mut out, model);
    out.extend_from_slice(b",\"results\":[");
    for (place, index) in order.into_iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"index\":");
        json::write(&mut out, &index);
        if let Some(document) = documents.and_then(|documents| documents.get(index)) {
            out.extend_from_slice(b",\"document\":{\"text\":");
            json::write(&mut out, document);
            out.push(b'}');
        }
        out.extend_from_slice(b",\"relevance_score\":");
        json::write(&mut out, &scores[index]);
        out.push(b'}');
    }
    out.push(b']');
    write_usage(&mut out, prompt_tokens);
    out
}

fn write_usage(out: &mut Vec<u8>, prompt_tokens: u64) {
    out.extend_from_slice(b",\"usage\":{\"prompt_tokens\":");
    json::write(out, &prompt_tokens);
    out.extend_from_slice(b",\"total_tokens\":");
    json::write(out, &prompt_tokens);
    out.extend_from_slice(b"}}");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rerank(body: Value) -> Result<RerankRequest, Invalid> {
        parse_rerank(&serde_json::to_vec(&body).unwrap())
    }

    fn score(body: Value) -> Result<ScoreRequest, Invalid> {
        parse_score(&serde_json::to_vec(&body).unwrap())
    }

    #[test]
    fn documents_are_texts_or_objects() {
        let request =
            rerank(json!({"model": "m", "query": "q", "documents": ["a", {"text": "b"}], "top_n": 0})).unwrap();
        assert_eq!(request.scores.documents, ["a", "b"]);
        assert_eq!((request.top_n, request.return_documents), (None, true));
        let one = rerank(json!({"model": "m", "query": {"text": "q"}, "documents": "a", "top_n": 3})).unwrap();
        assert_eq!((one.scores.documents, one.top_n), (vec!["a".to_owned()], Some(3)));
    }

    #[test]
    fn pairs_have_several_names() {
        for (one, other) in PAIRS {
            let request = score(json!({"model": "m", one: "q", other: ["a", "b"]})).unwrap();
            assert_eq!((request.queries.len(), request.documents.len()), (1, 2), "{one}");
        }
        assert_eq!(score(json!({"model": "m", "text_1": ["p", "q"], "text_2": ["a", "b"]})).unwrap().queries.len(), 2);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let plain = json!({"model": "m", "query": "q", "documents": ["a"]});
        let with = |name: &str, value: Value| {
            let mut body = plain.clone();
            body[name] = value;
            rerank(body).unwrap_err().param.unwrap_or_default()
        };
        for (name, value, param) in [
            ("query", json!(""), "query"),
            ("query", json!(3), "query"),
            ("documents", json!([]), "documents"),
            ("documents", json!(["a", 1]), "documents[1]"),
            ("documents", json!([{"text": "a", "title": "t"}]), "documents[0].title"),
            ("documents", json!([{"content": []}]), "documents[0].text"),
            ("documents", json!(vec!["a"; MOST_DOCUMENTS + 1]), "documents"),
            ("top_n", json!(-1), "top_n"),
            ("max_tokens_per_doc", json!(8), "max_tokens_per_doc"),
            ("rank_fields", json!(["x"]), "rank_fields"),
            ("truncate_prompt_tokens", json!(-2), "truncate_prompt_tokens"),
            ("use_activation", json!(false), "use_activation"),
        ] {
            assert_eq!(with(name, value.clone()), param, "{name}: {value}");
        }
        assert_eq!(rerank(json!({"model": "m", "documents": ["a"]})).unwrap_err().param.unwrap(), "query");
        let param = |body| score(body).unwrap_err().param.unwrap_or_default();
        assert_eq!(param(json!({"model": "m"})), "text_1");
        assert_eq!(param(json!({"model": "m", "text_1": ["p", "q"], "text_2": "a"})), "text_1");
        assert_eq!(param(json!({"model": "m", "queries": "q", "documents": []})), "documents");
    }

    #[test]
    fn the_best_come_first() {
        let documents = ["a", "b", "c"].map(str::to_owned);
        let body = rerank_body("rerank-1", "m", &[0.25, -1.0, 0.25], Some(&documents), None, 7);
        let told: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            told,
            json!({"id": "rerank-1", "model": "m", "results": [
                {"index": 0, "document": {"text": "a"}, "relevance_score": 0.25},
                {"index": 2, "document": {"text": "c"}, "relevance_score": 0.25},
                {"index": 1, "document": {"text": "b"}, "relevance_score": -1.0},
            ], "usage": {"prompt_tokens": 7, "total_tokens": 7}})
        );
        let best: Value = serde_json::from_slice(&rerank_body("r", "m", &[0.0, 1.0], None, Some(1), 0)).unwrap();
        assert_eq!(best["results"], json!([{"index": 1, "relevance_score": 1.0}]));
        let scores: Value = serde_json::from_slice(&score_body("score-1", 9, "m", &[0.5], 3)).unwrap();
        assert_eq!(scores["data"], json!([{"index": 0, "object": "score", "score": 0.5}]));
    }
}
