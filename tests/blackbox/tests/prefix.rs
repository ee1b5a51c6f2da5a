//! Conversations that begin alike and grow: where their prompts were read before they are read again at once. The engines
//! have a model of a prefix cache and need time for each token that it does not have.

#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]
#![expect(clippy::print_stdout, reason = "says what was measured")]

use std::{
    thread,
    time::{Duration, Instant},
};

use cloudach_blackbox::{Client, Events, Fleet, Plan, Replica, with};
use cloudach_fake_engine::Script;
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";
const REPLICAS: usize = 3;
const CONVERSATIONS: usize = 24;
const TURNS: usize = 5;

/// Of how many assistants with a long system prompt of their own the conversations are.
const ASSISTANTS: usize = 6;

fn fleet(policy: &str) -> Fleet {
    // Room for a third of all: no replica could keep what all conversations say.
    let script = Script {
        prefill: Duration::from_micros(50),
        kv_cache_tokens: 24_000,
        prompt_tokens_details: true,
        ..Script::vllm()
    };
    Fleet::start(Plan {
        replicas: (0..REPLICAS).map(|_| Replica::fake(script.clone())).collect(),
        models: json!({ "fake-model": { "policy": policy, "counting": "engine" } }),
        ..Plan::default()
    })
}

/// What one turn took.
struct Turn {
    prompt: u64,
    cached: u64,
    first_token: Duration,
}

/// A conversation, in which each question is asked on top of all before.
fn converse(client: &Client, number: usize) -> Vec<Turn> {
    let system = format!("You are assistant {}. ", number % ASSISTANTS) + &"Be kind, be brief, be right. ".repeat(120);
    let mut messages = vec![json!({ "role": "system", "content": system })];
    let mut turns = Vec::new();
    for turn in 0..TURNS {
        let question =
            format!("Conversation {number}, question {turn}: ") + &format!("about {number} and {turn}; ").repeat(40);
        messages.push(json!({ "role": "user", "content": question + "[[tokens=20]][[delay=2ms]]" }));
        let (answer, told) = ask(client, &messages);
        messages.push(json!({ "role": "assistant", "content": answer }));
        turns.push(told);
        // People read before they ask on.
        thread::sleep(Duration::from_millis(100 + 7 * (number as u64 % 13)));
    }
    turns
}

fn ask(client: &Client, messages: &[Value]) -> (String, Turn) {
    let request = json!({ "model": "fake-model", "messages": messages, "stream": true, "stream_options": { "include_usage": true } });
    let begun = Instant::now();
    let mut events = Events::of(client.send(CHAT, &with(request, json!({}))).reading().unwrap());
    let (mut text, mut first_token, mut usage) = (String::new(), None, Value::Null);
    loop {
        match events.event().unwrap() {
            Some(cloudach_blackbox::Event::Json(chunk)) => {
                if let Some(piece) = chunk["choices"][0]["delta"]["content"].as_str().filter(|piece| !piece.is_empty())
                {
                    first_token.get_or_insert_with(|| begun.elapsed());
                    text += piece;
                }
                if chunk["usage"].is_object() {
                    usage = chunk["usage"].clone();
                }
            }
            Some(cloudach_blackbox::Event::Comment(_)) => {}
            _ => break,
        }
    }
    let cached = usage["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap();
    (text, Turn { prompt: usage["prompt_tokens"].as_u64().unwrap(), cached, first_token: first_token.unwrap() })
}

/// The share of prompt tokens that were cached, and the median time to the first token.
fn measure(policy: &str) -> (f64, Duration) {
    let fleet = fleet(policy);
    let conversations: Vec<_> = (0..CONVERSATIONS)
        .map(|number| {
            let client = fleet.client();
            thread::spawn(move || converse(&client, number))
        })
        .collect();
    let turns: Vec<Turn> = conversations.into_iter().flat_map(|conversation| conversation.join().unwrap()).collect();
    let sum = |of: fn(&Turn) -> u64| turns.iter().map(of).sum::<u64>();
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    let share = sum(|turn| turn.cached) as f64 / sum(|turn| turn.prompt) as f64;
    let mut times: Vec<Duration> = turns.iter().map(|turn| turn.first_token).collect();
    times.sort_unstable();
    let (median, late) = (times[times.len() / 2], times[times.len() * 9 / 10]);
    println!(
        "{policy}: {:.0} % of the prompts' tokens were cached, first token after {median:?} (p90 {late:?})",
        share * 100.0
    );
    (share, median)
}

#[test]
fn prompts_go_where_they_were_read() {
    let (prefix, soon) = measure("prefix");
    let (least_loaded, late) = measure("least_loaded");
    assert!(prefix > least_loaded + 0.1, "{prefix} against {least_loaded}");
    println!("first token {soon:?} against {late:?}");
}
