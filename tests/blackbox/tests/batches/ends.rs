//! Batches that end before they are done: what was done is kept.

use std::collections::BTreeSet;

use super::*;

fn slow(count: usize) -> String {
    (0..count).map(|number| say(&format!("line-{number}"), "[[tokens=10]][[delay=50ms]]")).collect()
}

fn ids(lines: &[Value]) -> BTreeSet<String> {
    let ids: BTreeSet<String> = lines.iter().map(|line| line["custom_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), lines.len(), "each once");
    ids
}

#[test]
fn a_batch_that_is_cancelled_keeps_what_was_done() {
    with_each(&json!({ "batches": { "tenant_concurrency": 4 } }), |fleet| {
        let (client, elsewhere) = (fleet.client(), last(fleet));
        let batch = begin(&client, &slow(200));
        eventually(PATIENCE, "some are done", || completed(&show(&client, &batch)) >= 3);
        let cancel = |client: &Client| client.post(&format!("{BATCHES}/{batch}/cancel"), &json!({}));
        assert_eq!(cancel(&other(&client)).head.status, 404);
        let cancelling = good(&cancel(&elsewhere));
        assert_eq!(cancelling["status"], "cancelling");
        assert!(cancelling["cancelling_at"].is_u64());
        let cancelled = over(&client, &batch, "cancelled");
        assert!(cancelled["cancelled_at"].is_u64() && cancelled["error_file_id"].is_null(), "{cancelled}");
        let output = lines(&client, &cancelled["output_file_id"]);
        assert_eq!(ids(&output).len() as u64, completed(&cancelled));
        assert!((3..200).contains(&output.len()));
        eventually(PATIENCE, "no line runs any more", || fleet.running() == 0);
        let again = cancel(&client);
        assert_eq!(refusal(&again), (409, Value::Null, Value::Null));
        assert_eq!(again.head.get("x-should-retry"), Some("false"));
        let listed = good(&elsewhere.get(BATCHES));
        assert_eq!((&listed["data"][0], &listed["has_more"]), (&cancelled, &json!(false)));
        assert_eq!(good(&other(&client).get(BATCHES))["data"], json!([]));
        assert_eq!(other(&client).get(&format!("{BATCHES}/{batch}")).head.status, 404);
    });
}

#[test]
fn a_batch_that_expires_keeps_what_was_done_and_names_the_rest() {
    with_each(&json!({ "batches": { "tenant_concurrency": 4, "window": "3s" } }), |fleet| {
        let client = fleet.client();
        let batch = over(&last(fleet), &begin(&client, &slow(200)), "expired");
        assert!(batch["expired_at"].as_u64().unwrap() >= batch["expires_at"].as_u64().unwrap(), "{batch}");
        let [output, errors] = ["output_file_id", "error_file_id"].map(|file| lines(&client, &batch[file]));
        let (done, rest) = (ids(&output), ids(&errors));
        assert!(!done.is_empty() && done.is_disjoint(&rest));
        assert_eq!(done.len() + rest.len(), 200);
        let counts = json!({ "total": 200, "completed": done.len(), "failed": rest.len() });
        assert_eq!(batch["request_counts"], counts);
        for line in &errors {
            assert_eq!((&line["response"], &line["error"]["code"]), (&Value::Null, &json!("batch_expired")), "{line}");
        }
    });
}

#[test]
fn a_batch_whose_input_is_removed_keeps_what_was_done() {
    with_each(&json!({ "batches": { "tenant_concurrency": 4 } }), |fleet| {
        let client = fleet.client();
        // More than is read of it at once.
        let line =
            |number| say(&format!("line-{number}"), "[[tokens=5]][[delay=20ms]]").replace('\n', &" ".repeat(20_000));
        let input: String = (0..100).map(|number| format!("{}\n", line(number))).collect();
        let file = upload(&client, &input);
        let batch = create(&client, &file, CHAT)["id"].as_str().unwrap().to_owned();
        eventually(PATIENCE, "some are done", || completed(&show(&client, &batch)) >= 3);
        assert_eq!(remove(&last(fleet), &file).head.status, 200);
        let batch = over(&client, &batch, "failed");
        assert_eq!(batch["errors"]["data"][0]["code"], "input_file_not_found");
        let output = lines(&client, &batch["output_file_id"]);
        assert_eq!(ids(&output).len() as u64, completed(&batch));
    });
}

#[test]
fn a_tenant_has_so_many_batches_that_are_not_over() {
    with_each(&json!({ "batches": { "open": 2, "batches": 2, "concurrency": 0 } }), |fleet| {
        let client = fleet.client();
        let file = upload(&client, &slow(1));
        let [first, _] = [0, 1].map(|_| create(&client, &file, CHAT));
        let body = json!({ "input_file_id": file, "endpoint": CHAT, "completion_window": "24h" });
        assert_eq!(refusal(&client.post(BATCHES, &body)), (400, json!("batch_limit_exceeded"), Value::Null));
        // Nobody runs it here.
        assert_eq!(show(&client, first["id"].as_str().unwrap())["status"], "validating");
        let page = good(&last(fleet).get(&format!("{BATCHES}?limit=1")));
        assert_eq!((page["data"].as_array().unwrap().len(), &page["has_more"]), (1, &json!(true)));
        let after = page["last_id"].as_str().unwrap();
        let page = good(&client.get(&format!("{BATCHES}?limit=1&after={after}")));
        assert_eq!((page["data"].as_array().unwrap().len(), &page["has_more"]), (1, &json!(false)));
        assert_eq!(refusal(&client.get(&format!("{BATCHES}?limit=101"))).2, json!("limit"));
    });
}

/// A tenant's files have no room for answers: lines wait for it, and are not asked again.
#[test]
fn lines_wait_for_room() {
    let bounds =
        json!({ "files": { "file_bytes": 12_000, "tenant_bytes": 12_000 }, "batches": { "tenant_concurrency": 2 } });
    with_each(&bounds, |fleet| {
        let client = fleet.client();
        let ballast = upload(&client, &"x".repeat(9_000));
        let input: String = (0..8).map(|number| say(&format!("line-{number}"), "[[tokens=2]]")).collect();
        let batch = begin(&client, &input);
        eventually(PATIENCE, "there is no room any more", || {
            completed(&show(&client, &batch)) >= 1 && fleet.running() == 0
        });
        std::thread::sleep(Duration::from_millis(1500));
        let asked = super::asked(fleet);
        let done = completed(&show(&client, &batch));
        assert!(done < 8 && asked == done + 2, "{done} {asked}");
        assert_eq!(remove(&client, &ballast).head.status, 200);
        assert_eq!(completed(&over(&client, &batch, "completed")), 8);
        assert_eq!(super::asked(fleet), 8, "each was asked once");
    });
}
