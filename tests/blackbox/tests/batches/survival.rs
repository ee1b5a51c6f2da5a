//! Batches outlive every process: each line is answered once.

use std::collections::BTreeMap;

use super::*;
use cloudach_blackbox::Exit;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const LINES: usize = 1000;

fn thousand() -> String {
    (0..LINES)
        .map(|number| say(&format!("line-{number}"), &format!("[[say:answer {number}]][[first=100ms]]")))
        .collect()
}

/// Each line has been answered once, with its own answer.
fn assert_answered(client: &Client, batch: &Value, count: usize) {
    assert_eq!(batch["request_counts"], json!({ "total": count, "completed": count, "failed": 0 }));
    assert_eq!(batch["error_file_id"], Value::Null);
    let output = lines(client, &batch["output_file_id"]);
    assert_eq!(output.len(), count);
    let mut answers = BTreeMap::new();
    for line in &output {
        assert_eq!((&line["response"]["status_code"], &line["error"]), (&json!(200), &Value::Null), "{line}");
        let text = line["response"]["body"]["choices"][0]["message"]["content"].as_str().unwrap();
        let before = answers.insert(line["custom_id"].as_str().unwrap().to_owned(), text.to_owned());
        assert_eq!(before, None, "twice: {line}");
    }
    for number in 0..count {
        assert_eq!(answers[&format!("line-{number}")], format!("answer {number}"));
    }
}

#[test]
fn a_thousand_lines_survive_the_death_of_every_process() {
    // What it was told is on its disk before it says so.
    let mut redis = Redis::with_settings(&["--appendonly", "yes", "--appendfsync", "always"]);
    let settings = json!({ "store": redis.store("2s"), "batches": { "lease": "2s" } });
    let mut fleet = Fleet::start(plan(2, with(redis.edge(), settings)));
    let batch = begin(&fleet.client(), &thousand());
    let wait = |fleet: &Fleet, edge: usize, count: u64| {
        eventually(PATIENCE, &format!("{count} lines are done"), || {
            let answer = fleet.client_of(edge).get(&format!("{BATCHES}/{batch}"));
            answer.head.status == 200 && completed(&answer.json()) >= count
        });
    };
    wait(&fleet, 1, 100);
    fleet.edges[0].kill();
    wait(&fleet, 1, 200);
    fleet.restart_edge(0);
    fleet.edges[1].kill();
    wait(&fleet, 0, 350);
    fleet.restart_edge(1);
    fleet.routers[0].kill();
    fleet.restart_router(0);
    wait(&fleet, 0, 500);
    fleet.sidecars[0].kill();
    fleet.restart_sidecar(0);
    wait(&fleet, 1, 650);
    redis.kill();
    redis.restart();
    wait(&fleet, 1, 800);
    // All edges at once, whichever is at it.
    fleet.edges[0].kill();
    fleet.edges[1].kill();
    fleet.restart_edge(0);
    fleet.restart_edge(1);
    let over = over(&fleet.client(), &batch, "completed");
    assert_answered(&fleet.client_of(1), &over, LINES);
}

#[test]
fn a_batch_outlives_the_one_process_of_its_store() {
    let folder = TempDir::new().unwrap();
    let mut fleet = Fleet::start(plan(1, json!({ "store": { "path": folder.path() }, "batches": { "lease": "10m" } })));
    let client = fleet.client();
    let input: String = thousand().lines().take(100).map(|line| format!("{line}\n")).collect();
    let batch = begin(&client, &input);
    for count in [20, 60] {
        eventually(PATIENCE, "some are done", || completed(&show(&client, &batch)) >= count);
        fleet.edges[0].kill();
        fleet.restart_edge(0);
    }
    let over = over(&client, &batch, "completed");
    assert_answered(&client, &over, 100);
    fleet.edges[0].kill();
    fleet.restart_edge(0);
    assert_eq!(show(&client, &batch), over);
    assert_answered(&client, &over, 100);
}

/// One that is frozen for longer than its lease wakes up when another is at its batch, and both go on.
#[test]
fn an_edge_that_was_frozen_does_no_harm() {
    let redis = Redis::start();
    let settings = json!({ "store": redis.store("10s"), "batches": { "lease": "1s", "tenant_concurrency": 4 } });
    let fleet = Fleet::start(plan(2, with(redis.edge(), settings)));
    let input: String = thousand().lines().take(200).map(|line| format!("{line}\n")).collect();
    let batch = begin(&fleet.client(), &input);
    let at = |edge: usize| fleet.edges[edge].metric("cloudach_edge_batches_open") == Some(1.0);
    eventually(PATIENCE, "some are done", || completed(&show(&fleet.client(), &batch)) >= 20);
    let (it, other) = if at(0) { (0, 1) } else { (1, 0) };
    let signal = |signal| {
        let id = i32::try_from(fleet.edges[it].id()).ok().and_then(Pid::from_raw).unwrap();
        kill_process(id, signal).unwrap();
    };
    signal(Signal::STOP);
    eventually(PATIENCE, "the other is at it", || at(other));
    let client = fleet.client_of(other);
    eventually(PATIENCE, "it goes on", || completed(&show(&client, &batch)) >= 50);
    signal(Signal::CONT);
    let over = over(&client, &batch, "completed");
    assert_answered(&client, &over, 200);
    assert!(asked(&fleet) > 200, "what had been asked was asked again");
}

/// Another one might.
#[test]
fn an_edge_that_can_ask_no_router_leaves_its_batch() {
    let mut fleet = Fleet::start(plan(1, json!({ "batches": { "lease": "10m", "tenant_concurrency": 4 } })));
    let input: String = thousand().lines().take(60).map(|line| format!("{line}\n")).collect();
    let batch = begin(&fleet.client(), &input);
    eventually(PATIENCE, "some are done", || completed(&show(&fleet.client(), &batch)) >= 10);
    fleet.routers[0].kill();
    let open = |fleet: &Fleet| fleet.edges[0].metric("cloudach_edge_batches_open");
    assert_eq!(open(&fleet), Some(1.0));
    eventually(PATIENCE, "it leaves the batch", || open(&fleet) == Some(0.0));
    assert_eq!(show(&fleet.client(), &batch)["status"], "in_progress");
    fleet.restart_router(0);
    assert_answered(&fleet.client(), &over(&fleet.client(), &batch, "completed"), 60);
}

/// An edge that stops finishes the lines that it has asked, takes no others, and leaves the batch at once.
#[test]
fn an_edge_that_stops_leaves_its_batch_to_others() {
    let redis = Redis::start();
    let settings = json!({ "store": redis.store("10s"), "batches": { "lease": "10m", "tenant_concurrency": 4 } });
    let fleet = Fleet::start(plan(2, with(redis.edge(), settings)));
    let input: String = thousand().lines().take(100).map(|line| format!("{line}\n")).collect();
    let batch = begin(&fleet.client(), &input);
    let at = |edge: usize| fleet.edges[edge].metric("cloudach_edge_batches_open") == Some(1.0);
    eventually(PATIENCE, "some are done", || completed(&show(&fleet.client(), &batch)) >= 20);
    let (it, other) = if at(0) { (0, 1) } else { (1, 0) };
    assert!(at(it) && !at(other), "one edge is at it");
    fleet.edges[it].terminate();
    assert_eq!(fleet.edges[it].exit_within(PATIENCE), Some(Exit { code: Some(0), signal: None }));
    // Far sooner than its lease ends.
    let client = fleet.client_of(other);
    let over = over(&client, &batch, "completed");
    assert_answered(&client, &over, 100);
    assert_eq!(asked(&fleet), 100, "no line was asked twice");
}
