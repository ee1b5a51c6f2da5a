//! What reading costs for each piece of 4 bytes, about a token: `cargo bench -p cloudach-model`.

#![expect(clippy::print_stdout, reason = "figures are what a bench is for")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use cloudach_model::reading::{Event, Forced, Function, Functions, Output, Reader};

const PIECES: u32 = 2_000_000;
const ROUNDS: u32 = 5;

fn main() {
    let stops = ["\n\n", "Observation:", "</s>", "User:"].map(str::to_owned);
    let hostile = ["b", "c", "d", "e"].map(|last| "a".repeat(1023) + last);
    let weather = [Function { name: "get_weather", parameters: None }];
    let required = Forced::Required { functions: &weather, parallel: true };
    let prose = " the quick brown fox jumps, over the lazy dog. ";
    let call = r#"{"name": "get_weather", "parameters": {"city": "Paris", "days": [1, 2], "unit": "celsius", "note": "none at all"}},"#;
    let long = r#"[{"name": "get_weather", "parameters": {"text": ""#;

    measure("plain", &Reader::of_text(&[], false), "", prose);
    measure("4 stop strings", &Reader::of_text(&stops, false), "", prose);
    measure("4 stop strings of 1024 letters, all but the last in the text", &Reader::of_text(&hostile, false), "", "a");
    measure("required calls, one after the other", &Reader::of_calls(&required, &[], false), "[", call);
    measure("required call, inside of its arguments", &Reader::of_calls(&required, &[], false), long, prose);
    measure(
        "named call, inside of its arguments",
        &Reader::of_calls(&Forced::Named(weather[0]), &[], false),
        "{\"text\": \"",
        prose,
    );

    let known = Arc::new(Functions::new(&weather));
    let output = |tool_format: &str, reasoning_format: &str| {
        Reader::of_output(&Output {
            tool_format: tool_format.parse().ok(),
            reasoning_format: reasoning_format.parse().ok(),
            tools: &known,
            prompt_end: "",
            offered: true,
            stops: &[],
            keep_stop: false,
            one_call: false,
        })
    };
    let hermes = "<tool_call>{\"name\": \"get_weather\", \"arguments\": {\"text\": \"";
    let tagged = "<tool_call>\n<function=get_weather>\n<parameter=text>\nabc";
    let harmony = "<|channel|>commentary to=functions.get_weather<|message|>{\"text\": \"";
    let python = "[get_weather(text='";
    measure("hermes, answer", &output("hermes", ""), "", prose);
    measure("hermes, answer of less-than signs", &output("hermes", ""), "", "a <t");
    measure("hermes, inside of arguments", &output("hermes", ""), hermes, prose);
    measure("hermes and qwen3, reasoning", &output("hermes", "qwen3"), "<think>", prose);
    measure("hermes and qwen3, answer", &output("hermes", "qwen3"), "<think>a</think>", prose);
    measure("qwen3_coder, inside of a string", &output("qwen3_coder", ""), tagged, prose);
    measure("pythonic, inside of a string", &output("pythonic", ""), python, prose);
    measure("llama3_json, answer", &output("llama3_json", ""), "", prose);
    measure("harmony, answer", &output("harmony", "harmony"), "<|channel|>final<|message|>", prose);
    measure("harmony, inside of arguments", &output("harmony", "harmony"), harmony, prose);
}

/// The best of some rounds, in nanoseconds for each piece.
fn measure(what: &str, reader: &Reader, begin: &str, repeated: &str) {
    let text = repeated.repeat(4);
    let pieces: Vec<&str> = (0..text.len() / 4).map(|piece| &text[piece * 4..][..4]).collect();
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let mut reader = reader.clone();
        let mut shown = 0;
        let mut emit = |event: Event<'_>| {
            shown += match event {
                Event::Text(text) | Event::Reasoning(text) | Event::CallArguments(text) => black_box(text).len(),
                Event::CallBegin { .. } | Event::CallEnd | Event::Stopped => 0,
            }
        };
        reader.push(begin, &mut emit);
        let start = Instant::now();
        for piece in pieces.iter().cycle().take(PIECES as usize) {
            reader.push(black_box(piece), &mut emit);
        }
        best = best.min(start.elapsed().as_secs_f64() * 1e9 / f64::from(PIECES));
        black_box(shown);
    }
    println!("{best:6.1} ns  {what}");
}
