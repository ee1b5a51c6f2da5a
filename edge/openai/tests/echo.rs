//! Prompts in the answers of completions, and the choice of the best continuations.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops where it is")]

use cloudach_openai::completions::{self, Candidate, Echo};
use cloudach_openai::{FinishReason, Head, Piece, TokenLogprob, TopLogprob, Usage};
use serde_json::{Value, json};

fn parse(more: &Value) -> completions::CompletionRequest {
    let mut body = json!({"model": "m", "prompt": "Say", "echo": true});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    completions::parse(body.to_string().as_bytes()).unwrap_or_else(|error| panic!("{error}: {body}"))
}

fn reply(more: &Value) -> completions::Reply {
    let head = Head { id: "id".into(), created: 1, model: "m".into(), seed: 3 };
    completions::Reply::new(&head, &parse(more))
}

fn token(token: &str, logprob: f32) -> TokenLogprob {
    let top = vec![TopLogprob { token: token.into(), bytes: None, logprob }];
    TokenLogprob { token: token.into(), bytes: None, logprob, top }
}

#[test]
fn a_request_says_who_repeats_the_prompt() {
    for (more, expected) in [
        (json!({"echo": false}), Echo::No),
        (json!({"echo": null}), Echo::No),
        (json!({}), Echo::FromRequest),
        (json!({"prompt": ["a", "b"], "best_of": 2}), Echo::FromRequest),
        (json!({"prompt": [1, 2]}), Echo::FromEngine),
        (json!({"prompt": [[1], [2]]}), Echo::FromEngine),
        (json!({"logprobs": 0}), Echo::FromEngine),
        (json!({"max_tokens": 0}), Echo::FromEngine),
    ] {
        assert_eq!(parse(&more).echo, expected, "{more}");
    }
    assert_eq!(parse(&json!({"max_tokens": 0})).sampling.max_tokens, Some(0));
}

/// As lm-eval-harness asks: token ids, one alternative, one token more.
#[test]
fn a_prompt_with_logprobs_begins_the_columns() {
    let more = json!({"prompt": [5, 6], "logprobs": 1, "max_tokens": 1});
    let prompt = [token("é", f32::NAN), token(" b", -2.0)];
    let columns = r#"{"tokens":["é"," b","c"],"token_logprobs":[null,-2.0,-0.5],"top_logprobs":[null,{" b":-2.0},{"c":-0.5}],"text_offset":[0,1,3]}"#;
    let mut whole = reply(&more);
    let mut out = Vec::new();
    whole.opening(&mut out);
    whole.prompt(0, "é b", &prompt, &mut out);
    whole.push(0, &Piece { text: "c", logprobs: &[token("c", -0.5)] }, &mut out);
    whole.finish_choice(0, FinishReason::Length, &mut out);
    assert!(out.is_empty());
    let body = String::from_utf8(whole.into_body(&Usage::default())).unwrap();
    let choice = format!(r#""choices":[{{"text":"é bc","index":0,"logprobs":{columns},"finish_reason":"length"}}]"#);
    assert!(body.contains(&choice), "{body}");

    let mut stream = reply(&json!({"prompt": [5, 6], "logprobs": 1, "max_tokens": 1, "stream": true}));
    let mut out = Vec::new();
    stream.opening(&mut out);
    assert!(out.is_empty());
    stream.prompt(0, "é b", &prompt, &mut out);
    stream.push(0, &Piece { text: "c", logprobs: &[token("c", -0.5)] }, &mut out);
    let out = String::from_utf8(out).unwrap();
    let chunks: Vec<&str> = out.split_terminator("\n\n").collect();
    assert!(chunks[0].contains(r#"{"text":"é b","index":0,"logprobs":{"tokens":["é"," b"],"token_logprobs":[null,-2.0],"top_logprobs":[null,{" b":-2.0}],"text_offset":[0,1]},"finish_reason":null}"#), "{out}");
    assert!(chunks[1].contains(r#"{"text":"c","index":0,"logprobs":{"tokens":["c"],"token_logprobs":[-0.5],"top_logprobs":[{"c":-0.5}],"text_offset":[3]},"#), "{out}");
}

#[test]
fn the_prompt_alone_is_an_answer() {
    for stream in [false, true] {
        let mut reply = reply(&json!({"prompt": ["a", "b"], "n": 2, "max_tokens": 0, "stream": stream}));
        let mut out = Vec::new();
        reply.opening(&mut out);
        for choice in 0..4 {
            reply.prompt(choice, if choice < 2 { "a" } else { "b" }, &[], &mut out);
            reply.finish_choice(choice, FinishReason::Length, &mut out);
        }
        // Too late, and nobody's.
        reply.prompt(0, "a", &[], &mut out);
        reply.prompt(4, "a", &[], &mut out);
        reply.close(&Usage::default(), &mut out);
        let out = String::from_utf8(out).unwrap();
        for (index, text) in ["a", "a", "b", "b"].into_iter().enumerate() {
            let choice = format!(r#"{{"text":"{text}","index":{index},"logprobs":null,"finish_reason":"length"}}"#);
            assert_eq!(out.matches(&choice).count(), 1, "{choice} in {out}");
        }
        assert_eq!(out.matches("\"text\"").count(), 4);
    }
}

#[test]
fn no_alternatives_are_no_column() {
    let mut reply = reply(&json!({"logprobs": 0}));
    let mut out = Vec::new();
    reply.prompt(0, "ab", &[token("a", -1.0), token("b", -2.0)], &mut out);
    reply.push(0, &Piece { text: "c", logprobs: &[token("c", -0.5)] }, &mut out);
    reply.finish_choice(0, FinishReason::Stop, &mut out);
    let body: Value = serde_json::from_slice(&reply.into_body(&Usage::default())).unwrap();
    let expected = json!({"tokens": ["a", "b", "c"], "token_logprobs": [null, -2.0, -0.5], "top_logprobs": null, "text_offset": [0, 1, 2]});
    assert_eq!(body["choices"][0]["logprobs"], expected);
}

#[test]
fn best_of_is_at_least_n() {
    let read = |more: Value| {
        let request = parse(&more);
        (request.n, request.best_of, request.choices(), request.candidates())
    };
    assert_eq!(read(json!({})), (1, 1, 1, 1));
    assert_eq!(read(json!({"n": 3, "best_of": null})), (3, 3, 3, 3));
    assert_eq!(read(json!({"prompt": ["a", "b"], "n": 2, "best_of": 20})), (2, 20, 4, 40));
    assert_eq!(read(json!({"n": 2, "best_of": 2, "stream": true})), (2, 2, 2, 2));
}

#[test]
fn the_best_have_the_likeliest_tokens() {
    let candidate = |logprob: f64, tokens: u32| Candidate { logprob, tokens };
    let best = |candidates: &[Candidate], n| completions::best(candidates, n);
    // By token, not by sum.
    let candidates = [candidate(-4.0, 2), candidate(-9.0, 9), candidate(-3.0, 1)];
    assert_eq!(best(&candidates, 3), [1, 0, 2]);
    assert_eq!(best(&candidates, 1), [1]);
    assert_eq!(best(&candidates, 0), [0_usize; 0]);
    assert_eq!(best(&candidates, 9).len(), 3);
    // Equals stay in order; what generated nothing, or of which nothing is known, is last.
    let equals = [
        candidate(0.0, 0),
        candidate(-2.0, 2),
        candidate(f64::NAN, 3),
        candidate(-1.0, 1),
        candidate(f64::NEG_INFINITY, 1),
    ];
    assert_eq!(best(&equals, 5), [1, 3, 0, 2, 4]);
}
