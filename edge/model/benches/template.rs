//! What rendering costs, against reading the same text once for its tokens: `cargo bench -p cloudach-model --bench template`.

#![expect(clippy::print_stdout, clippy::expect_used, reason = "figures are what a bench is for, and it fails loudly")]

use std::hint::black_box;
use std::time::Instant;

use cloudach_model::template::families::Family;
use cloudach_model::template::{ChatTemplate, CivilTime, Conversation};
use cloudach_model::tokens::{self, Encoding};
use serde_json::{Value, json};

const ROUNDS: u32 = 5;

/// Messages of about 160 tokens each.
const MESSAGES: usize = 640;

fn main() {
    let messages = conversation();
    let now = CivilTime::from_unix(1_772_892_309);
    let counted = best(|| tokens::chat_prompt(Encoding::default(), &messages, &[]));
    let tokens = tokens::chat_prompt(Encoding::default(), &messages, &[]);
    println!("{tokens} tokens in {MESSAGES} messages; counting them takes {:.1} ms", counted * 1e3);
    println!("{:>8} {:>10}  {:>9}  template", "compile", "render", "of count");
    let conversation = Conversation { messages, add_generation_prompt: true, ..Conversation::default() };
    for family in Family::all() {
        let source = family.source(None, None);
        let compile = best(|| ChatTemplate::compile(&source));
        let template = ChatTemplate::compile(&source).expect("families' templates compile");
        let render = best(|| template.render(black_box(&conversation), now));
        template.render(&conversation, now).expect("users and assistants that take turns are rendered by all");
        println!(
            "{:>5.0} us {:>7.2} ms  {:>7.1} %  {}",
            compile * 1e6,
            render * 1e3,
            100.0 * render / counted,
            family.name
        );
    }
}

/// Users and assistants in turn, as every family allows.
fn conversation() -> Vec<Value> {
    let text =
        "The quick brown fox jumps over the lazy dog, and nobody minds that it does so again and again. ".repeat(8);
    let role = |index| if index % 2 == 0 { "user" } else { "assistant" };
    (0..=MESSAGES).map(|index| json!({ "role": role(index), "content": text })).collect()
}

/// The best of some rounds, in seconds.
fn best<T>(mut work: impl FnMut() -> T) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        black_box(work());
        best = best.min(start.elapsed().as_secs_f64());
    }
    best
}
