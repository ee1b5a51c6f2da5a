//! Small templates and what Jinja2, set up for chat templates, makes of them: each line of the case file
//! but the first, which holds the variables, is a template with its text or its error.

use cloudach_model::template::{ChatTemplate, CivilTime, Conversation, Source};
use serde_json::{Map, Value};

#[test]
fn templates_render_as_in_jinja() {
    let mut lines = include_str!("cases/jinja.jsonl").lines();
    let variables: Map<String, Value> = serde_json::from_str(lines.next().unwrap()).unwrap();
    let conversation = Conversation { kwargs: variables, ..Conversation::default() };
    let mut misses = Vec::new();
    let mut total = 0;
    for line in lines {
        let case: Value = serde_json::from_str(line).unwrap();
        let rendered = render(case["template"].as_str().unwrap(), &conversation);
        total += 1;
        match (case["expected"].as_str(), &rendered) {
            (Some(expected), Ok(text)) if text == expected => {}
            (None, Err(_)) => {}
            _ => misses.push(format!("{line}\n    rendered {rendered:?}")),
        }
    }
    println!("{} of {total} cases", total - misses.len());
    assert!(misses.is_empty(), "{}", misses.join("\n"));
}

fn render(template: &str, conversation: &Conversation) -> Result<String, String> {
    let source = Source { template, bos_token: None, eos_token: None };
    let compiled = ChatTemplate::compile(&source).map_err(|error| error.to_string())?;
    let now = CivilTime::parse("2026-03-07T14:05:09").ok_or("no time")?;
    compiled.render(conversation, now).map_err(|error| error.to_string())
}
