//! Token counts that OpenAI's own library gives, and texts meant to make counting slow.

use std::time::{Duration, Instant};

use cloudach_model::tokens::{Encoding, UnknownToken, chat_prompt, count, decode};
use serde_json::json;

const BOTH: [Encoding; 2] = [Encoding::O200kBase, Encoding::Cl100kBase];

#[test]
fn counts_are_those_of_tiktoken() {
    let cases = [
        ("", 0, 0),
        ("hello world", 2, 2),
        ("Hello, how are you today?", 7, 7),
        ("<|endoftext|>", 7, 7),
        ("1234567890", 4, 4),
        ("    indented\n\n\tcode", 5, 5),
        ("你好，世界", 3, 6),
        ("🚀🚀", 4, 6),
        ("déjà vu — it's", 5, 7),
        ("naïve\u{a0}space\r\n\r\n  end ", 9, 9),
        ("CamelCaseHTTPServer's don't", 6, 8),
        ("def f(x):\n    return x ** 2  # square\n", 14, 14),
    ];
    for (text, o200k, cl100k) in cases {
        assert_eq!((count(Encoding::O200kBase, text), count(Encoding::Cl100kBase, text)), (o200k, cl100k), "{text:?}");
    }
    assert_eq!(count(Encoding::O200kBase, &(" ".repeat(100_000) + "x")), 783);
}

#[test]
fn messages_cost_role_content_and_name() {
    let messages = json!([
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": [{"type": "text", "text": "Hello, "}, {"type": "text", "text": "who are you?"}], "name": "bob"},
    ]);
    let by_hand = 3 + (3 + 1 + 6) + (3 + 1 + 6 + 1);
    assert_eq!(chat_prompt(Encoding::O200kBase, messages.as_array().unwrap(), &[]), by_hand);
    assert_eq!(chat_prompt(Encoding::O200kBase, &[], &[]), 3);
}

#[test]
fn tools_cost_their_typescript() {
    let messages = json!([{"role": "user", "content": "hello"}]);
    let tool =
        json!({"type": "function", "function": {"name": "foo", "parameters": {"type": "object", "properties": {}}}});
    let without = chat_prompt(Encoding::Cl100kBase, messages.as_array().unwrap(), &[]);
    let with = chat_prompt(Encoding::Cl100kBase, messages.as_array().unwrap(), &[tool]);
    // `namespace functions {` and so on: 14 tokens of text, 9 of framing.
    assert_eq!(
        with - without,
        count(Encoding::Cl100kBase, "namespace functions {\n\ntype foo = () => any;\n\n} // namespace functions") + 9
    );
}

#[test]
fn odd_messages_are_counted_not_refused() {
    let messages = [
        json!(null),
        json!(7),
        json!({"role": 1, "content": {"a": []}}),
        json!({"tool_calls": [null, {"function": 3}]}),
    ];
    let tools = [json!(null), json!({"function": {"parameters": {"properties": {"a": null}}}})];
    assert!(chat_prompt(Encoding::O200kBase, &messages, &tools) > 0);
}

#[test]
fn ids_become_text_again() {
    for encoding in BOTH {
        assert_eq!(decode(encoding, &[]), Ok(String::new()));
        assert_eq!(decode(encoding, &[u32::MAX]), Err(UnknownToken { encoding, token: u32::MAX }));
        assert_eq!(encoding.name().parse(), Ok(encoding));
    }
    assert_eq!(decode(Encoding::O200kBase, &[112_927, 222, 112_927, 222]).unwrap(), "🚀🚀");
    assert_eq!(decode(Encoding::O200kBase, &[79_163, 72_807, 112_927]).unwrap(), "héllo\u{fffd}");
    assert!("gpt2".parse::<Encoding>().is_err());
}

/// What makes tokenizers slow, or fall over, takes a second per megabyte at worst; a quadratic step would
/// take hours.
#[test]
fn hostile_text_is_counted_in_linear_time() {
    const SIZE: usize = 400_000;
    for encoding in BOTH {
        for unit in ["a", "A", " ", "\t", "\n", " \n", "!", "'s", "你", "  x", "a\u{301}"] {
            let text = unit.repeat(SIZE / unit.len()) + "x";
            let start = Instant::now();
            let tokens = count(encoding, &text);
            let took = start.elapsed();
            println!("{} {unit:?}: {tokens} tokens in {took:?}", encoding.name());
            assert!(tokens > 0 && took < Duration::from_secs(20), "{unit:?} took {took:?}");
        }
    }
}
