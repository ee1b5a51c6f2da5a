//! Real templates of real models against the prompts that the reference implementation renders.
//!
//! The data lies outside of this repository, in a folder beside it; without it the test says so and
//! passes, except under CI.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::{Path, PathBuf};

use cloudach_model::template::{ChatTemplate, CivilTime, RenderError, Source};
use serde_json::Value;

use golden::{golden_folder, judge, read, request};

mod golden;

/// How many cases passed at best: all.
const RATCHET: usize = 2945;

#[test]
fn prompts_equal_the_reference() {
    let Some(folder) = golden_folder() else { return };
    let conversations: Vec<Value> = read(&folder.join("conversations.json"));
    let now = CivilTime::parse("2026-03-07T14:05:09").unwrap();
    let mut templates: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    templates.retain(|path| path.is_dir());
    templates.sort();
    let (mut passed, mut total, mut misses) = (0, 0, Vec::new());
    for path in &templates {
        let name = path.file_name().unwrap().to_string_lossy();
        let (mut good, cases) = (0, read::<Vec<Value>>(&path.join("cases.json")));
        let template = compile(path);
        for case in &cases {
            let conversation = conversations.iter().find(|conversation| conversation["id"] == case["case"]).unwrap();
            let result = match &template {
                Ok(template) => template.render(&request(&conversation["request"]), now),
                Err(error) => Err(RenderError::Failed { line: None, message: error.clone() }),
            };
            match judge(&result, case) {
                Ok(()) => good += 1,
                Err(why) => misses.push(format!("{name} / {}: {why}", case["case"].as_str().unwrap())),
            }
        }
        println!("{good:3} of {:3}  {name}", cases.len());
        passed += good;
        total += cases.len();
    }
    println!("{passed} of {total} cases in {} templates", templates.len());
    misses.iter().for_each(|miss| println!("MISS {miss}"));
    assert!(passed >= RATCHET, "{passed} cases pass, {RATCHET} did before");
}

fn compile(path: &Path) -> Result<ChatTemplate, String> {
    let text = fs::read_to_string(path.join("template.jinja")).unwrap();
    let meta: Value = read(&path.join("meta.json"));
    let source =
        Source { template: &text, bos_token: meta["bos_token"].as_str(), eos_token: meta["eos_token"].as_str() };
    ChatTemplate::compile(&source).map_err(|error| error.to_string())
}
