//! What a token costs in memory on its way to a client: nothing, once the buffer it is written to has its size.

use cloudach_openai::{Head, Piece, TokenLogprob, chat, completions};
use serde_json::json;

/// Writes tokens into one buffer that is emptied after each, as a stream's is: how often that allocates.
fn allocations_of(mut push: impl FnMut(&Piece<'_>, &mut Vec<u8>), logprobs: &[TokenLogprob]) -> u64 {
    let mut out = Vec::new();
    let mut write = |tokens: &[&str]| {
        for text in tokens {
            out.clear();
            push(&Piece { text, logprobs }, &mut out);
            assert!(!out.is_empty());
        }
    };
    write(&["the longest of all tokens that come, with \"quotes\" and\nlines", "and", " another"]);
    allocation_counter::measure(|| (0..100).for_each(|_| write(&[" token", "\"\n", "日本", " of many words at once"])))
        .count_total
}

fn head() -> Head {
    Head { id: "chatcmpl-1".into(), created: 7, model: "org/m".into(), seed: 1 }
}

#[test]
fn a_token_of_a_chat_allocates_nothing() {
    let body =
        json!({"model": "org/m", "messages": [{"role": "user", "content": "hi"}], "stream": true, "logprobs": true});
    let request = chat::parse(body.to_string().as_bytes()).unwrap();
    for obfuscation in [false, true] {
        let defaults = chat::Defaults { obfuscation, reasoning: chat::ReasoningField::ReasoningContent };
        let mut reply = chat::Reply::new(&head(), &request, defaults);
        reply.opening(&mut Vec::new());
        let logprob = TokenLogprob { token: " token".into(), ..TokenLogprob::default() };
        assert_eq!(allocations_of(|piece, out| reply.push(0, piece, out), &[]), 0, "obfuscation: {obfuscation}");
        assert_eq!(allocations_of(|piece, out| reply.push(0, piece, out), &[logprob]), 0, "obfuscation: {obfuscation}");
        assert_eq!(allocations_of(|piece, out| reply.reasoning(0, piece.text, out), &[]), 0, "reasoning");
    }
}

#[test]
fn a_token_of_a_completion_allocates_nothing() {
    let body = json!({"model": "org/m", "prompt": "hi", "stream": true});
    let mut reply = completions::Reply::new(&head(), &completions::parse(body.to_string().as_bytes()).unwrap());
    reply.opening(&mut Vec::new());
    assert_eq!(allocations_of(|piece, out| reply.push(0, piece, out), &[]), 0);
}
