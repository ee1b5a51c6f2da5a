//! Text is exact: whatever the engine's tokens cut through (characters, stop strings), the deltas of a stream put
//! together are the content of the whole answer, and both are what the model wrote up to the first stop string.
//! Checklist C02, C08, C21, C23.

#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]
#![expect(clippy::print_stdout, reason = "says what was compared and what was skipped")]

use std::thread;

use cloudach_blackbox::{Client, Connection, Fleet, Plan, Replica, Shared, chat, chat_text, with};
use cloudach_fake_engine::Script;
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";

/// How many texts there are; each is cut at every one of its bytes.
const WITH_VLLM: u64 = 200;
const WITH_LLAMA_CPP: u64 = 50;

static FLEET: Shared = Shared::new(|| {
    Fleet::start(Plan {
        replicas: vec![Replica::fake(Script::vllm()), Replica::of("llama", Script::llama_cpp())],
        ..Plan::default()
    })
});

/// A text that a model writes, and the stop strings of the request.
#[derive(Debug)]
struct Case {
    text: String,
    stops: Vec<String>,
}

/// One answer, streamed or whole.
#[derive(Debug, PartialEq)]
struct Seen {
    content: String,
    finish_reason: Value,
}

#[test]
fn streamed_is_whole_for_every_cut_with_vllm() {
    every_cut("fake-model", WITH_VLLM);
}

#[test]
fn streamed_is_whole_for_every_cut_with_llama_cpp() {
    every_cut("llama", WITH_LLAMA_CPP);
}

fn every_cut(model: &'static str, texts: u64) {
    const THREADS: u64 = 2;
    let fleet = FLEET.visit();
    let workers: Vec<_> = (0..THREADS)
        .map(|worker| {
            let client = fleet.client();
            thread::spawn(move || {
                let cases = (0..texts).filter(|number| number % THREADS == worker);
                cases.map(|number| check(&client, model, &Case::generate(number))).sum::<usize>()
            })
        })
        .collect();
    let cuts: usize = workers.into_iter().map(|worker| worker.join().unwrap()).sum();
    println!("{model}: {texts} texts cut at {cuts} bytes, each streamed and whole");
    assert!(
        cuts > 20 * usize::try_from(texts).unwrap(),
        "the texts have become too short to prove anything: {cuts} cuts"
    );
}

/// Asks for the text cut at each of its bytes, and returns how many those were.
fn check(client: &Client, model: &str, case: &Case) -> usize {
    let expected = case.expected();
    let mut connection = client.connect();
    for cut in 1..case.text.len() {
        let request = with(
            chat(&format!("[[say:{}]][[cut_at={cut}]]", case.text)),
            json!({ "model": model, "stop": case.stops, "max_tokens": 1000 }),
        );
        let whole = whole(client, &mut connection, &request);
        assert_eq!(whole, expected, "whole, cut at byte {cut} of {case:?}");
        let streamed = streamed(client, &mut connection, request);
        assert_eq!(streamed, expected, "streamed, cut at byte {cut} of {case:?}");
    }
    case.text.len() - 1
}

fn whole(client: &Client, connection: &mut Connection, request: &Value) -> Seen {
    connection.send(&client.posting(CHAT, request)).unwrap();
    let body = connection.answer().unwrap().json();
    let choice = &body["choices"][0];
    let content = choice["message"]["content"].as_str().unwrap_or_else(|| panic!("{body}")).to_owned();
    Seen { content, finish_reason: choice["finish_reason"].clone() }
}

fn streamed(client: &Client, connection: &mut Connection, request: Value) -> Seen {
    connection.send(&client.posting(CHAT, &with(request, json!({ "stream": true })))).unwrap();
    let body = String::from_utf8(connection.answer().unwrap().body).unwrap();
    let events: Vec<&str> = body.split_terminator("\n\n").map(|event| event.strip_prefix("data: ").unwrap()).collect();
    let (done, chunks) = events.split_last().unwrap();
    assert_eq!(*done, "[DONE]");
    let chunks: Vec<Value> = chunks.iter().map(|chunk| serde_json::from_str(chunk).unwrap()).collect();
    let reasons: Vec<&Value> =
        chunks.iter().map(|chunk| &chunk["choices"][0]["finish_reason"]).filter(|reason| !reason.is_null()).collect();
    assert_eq!(reasons.len(), 1, "one end: {body}");
    Seen { content: chat_text(&chunks, 0), finish_reason: reasons[0].clone() }
}

impl Case {
    /// The same case for the same number, today and tomorrow.
    fn generate(number: u64) -> Self {
        const WORDS: &[&str] = &[
            "the",
            " quick",
            "naïve",
            " über",
            "日本語",
            "テキスト",
            "🦀",
            "👩‍👩‍👧",
            "🇩🇪",
            "e\u{301}",
            "Ω≈ç",
            "שלום",
            "नमस्ते",
            "\n",
            "\n\n",
            "\t",
            "\"",
            "\\",
            "{}",
            " 1234",
            "STOP",
            "ST",
            "OP",
            "<|end|>",
            "<|en",
            "###",
            "aaab",
            "aaa",
            "end",
            "…",
            "—",
            "data: [DONE]",
        ];
        const STOPS: &[&str] = &["STOP", "<|end|>", "###", "aab", "日本", "🦀", "\n\n", "語テ", "end\n", "data:"];
        let mut dice = Dice(number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let text: String = (0..3 + dice.roll(7)).map(|_| WORDS[dice.roll(WORDS.len())]).collect();
        // A third of the cases have no stop string, so that no text waits for one.
        let stops = if dice.roll(3) == 0 { 0 } else { 1 + dice.roll(2) };
        let mut stops: Vec<String> = (0..stops).map(|_| STOPS[dice.roll(STOPS.len())].to_owned()).collect();
        stops.dedup();
        // The full stop keeps a bracket from closing the directive.
        Self { text: format!("- {text}."), stops }
    }

    /// What a client must see: the text before the stop string that is complete first.
    fn expected(&self) -> Seen {
        let ends = self.stops.iter().filter_map(|stop| Some((self.text.find(stop)? + stop.len(), stop.len())));
        // Of two that end together, the longer one began first.
        let first = ends.min_by_key(|(end, length)| (*end, usize::MAX - length));
        let content = first.map_or(&*self.text, |(end, length)| &self.text[..end - length]);
        Seen { content: content.to_owned(), finish_reason: json!("stop") }
    }
}

/// A generator of numbers that are random enough and always the same (xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).unwrap()
    }
}
