//! What it costs to write a token's chunk: `cargo bench -p cloudach-openai`.

#![expect(clippy::print_stdout, clippy::expect_used, reason = "figures are what a bench is for, and it fails loudly")]

use std::{hint::black_box, time::Instant};

use cloudach_openai::{CallPiece, Head, Piece, TokenLogprob, TopLogprob, chat, completions};
use serde_json::{Value, json};

const TOKENS: u32 = 1_000_000;
const ROUNDS: u32 = 5;

/// As tokens are: most plain, some that JSON has to escape.
const PIECES: [&str; 8] = [" the", " quick", " brown", "\n\n", " \"fox\"", "日本", " jumps", ","];

fn main() {
    for obfuscation in [false, true] {
        let padded = if obfuscation { ", padded" } else { "" };
        let mut reply = chat(&json!({}), obfuscation);
        measure(&format!("chat, text{padded}"), |text, out| reply.push(0, &Piece { text, logprobs: &[] }, out));
        let mut reply = chat(&json!({}), obfuscation);
        measure(&format!("chat, reasoning{padded}"), |text, out| reply.reasoning(0, text, out));
    }
    let likely = |token: &str| TopLogprob { token: token.to_owned(), bytes: None, logprob: -1.25 };
    for top in [0, 5] {
        let logprob = TokenLogprob {
            token: " token".to_owned(),
            bytes: None,
            logprob: -0.125,
            top: PIECES.iter().take(top).map(|token| likely(token)).collect(),
        };
        let logprobs = [logprob];
        let mut reply = chat(&json!({"logprobs": true, "top_logprobs": top}), false);
        measure(&format!("chat, text with its log-probability and {top} others"), |text, out| {
            reply.push(0, &Piece { text, logprobs: &logprobs }, out);
        });
    }
    let tool = json!({"type": "function", "function": {"name": "get_weather"}});
    let mut reply = chat(&json!({"tools": [tool]}), false);
    reply.call(0, &CallPiece::Begin { id: "call_1", name: "get_weather" }, &mut Vec::new());
    measure("chat, arguments of a call", |text, out| reply.call(0, &CallPiece::Arguments(text), out));
    let body = json!({"model": "org/m", "prompt": "hi", "stream": true});
    let request = completions::parse(body.to_string().as_bytes()).expect("a request");
    let mut reply = completions::Reply::new(&head(), &request);
    measure("completion, text", |text, out| reply.push(0, &Piece { text, logprobs: &[] }, out));
}

fn head() -> Head {
    Head { id: "chatcmpl-0123456789abcdef".into(), created: 1_772_892_309, model: "org/model".into(), seed: 1 }
}

fn chat(more: &Value, obfuscation: bool) -> chat::Reply {
    let mut body = json!({"model": "org/m", "messages": [{"role": "user", "content": "hi"}], "stream": true});
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    let request = chat::parse(body.to_string().as_bytes()).expect("a request");
    let defaults = chat::Defaults { obfuscation, reasoning: chat::ReasoningField::ReasoningContent };
    let mut reply = chat::Reply::new(&head(), &request, defaults);
    reply.opening(&mut Vec::new());
    reply
}

/// The best of some rounds, in nanoseconds for each chunk.
fn measure(what: &str, mut push: impl FnMut(&str, &mut Vec<u8>)) {
    let (mut best, mut out, mut bytes) = (f64::INFINITY, Vec::new(), 0);
    for _ in 0..ROUNDS {
        bytes = 0;
        let start = Instant::now();
        for text in PIECES.iter().cycle().take(TOKENS as usize) {
            out.clear();
            push(black_box(text), &mut out);
            bytes += black_box(&out).len();
        }
        best = best.min(start.elapsed().as_secs_f64() * 1e9 / f64::from(TOKENS));
    }
    println!("{best:6.1} ns for {:>4} bytes  {what}", bytes / TOKENS as usize);
}
