//! What becomes of a batch's lines: answers of each endpoint, in OpenAI's shape; errors beside them; what finds no room is asked
//! again.

use super::*;
use cloudach_blackbox::ADMIN_TOKEN;
use cloudach_fake_engine::{Fault, FaultRule};

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn each_endpoint_is_asked_and_answers_as_ever() {
    with_each(&json!({}), |fleet| {
        let client = fleet.client();
        let text = |id: &str, url, body: Value| line(id, url, &with(json!({ "model": "fake-model" }), body));
        for (endpoint, model, input, object) in [
            (CHAT, "fake-model", say("a", "[[say:hello]]"), "chat.completion"),
            (
                "/v1/completions",
                "fake-model",
                text("a", "/v1/completions", json!({ "prompt": "[[say:hello]]" })),
                "text_completion",
            ),
            (
                "/v1/responses",
                "fake-model",
                text("a", "/v1/responses", json!({ "input": "[[say:hello]]" })),
                "response",
            ),
            (
                "/v1/embeddings",
                "embedder",
                line("a", "/v1/embeddings", &json!({ "model": "embedder", "input": "hi" })),
                "list",
            ),
        ] {
            let file = upload(&client, &input);
            let created = create(&client, &file, endpoint);
            assert_eq!((&created["object"], &created["endpoint"]), (&json!("batch"), &json!(endpoint)));
            assert_eq!((&created["input_file_id"], &created["completion_window"]), (&json!(file), &json!("24h")));
            let batch = over(&last(fleet), created["id"].as_str().unwrap(), "completed");
            assert_eq!(batch["request_counts"], json!({ "total": 1, "completed": 1, "failed": 0 }), "{endpoint}");
            assert_eq!(
                (&batch["model"], &batch["errors"], &batch["error_file_id"]),
                (&json!(model), &Value::Null, &Value::Null)
            );
            let at = |name: &str| batch[name].as_u64().unwrap();
            assert_eq!(at("expires_at"), at("created_at") + 86_400);
            assert!(at("created_at") <= at("in_progress_at") && at("in_progress_at") <= at("finalizing_at"));
            assert!(at("finalizing_at") <= at("completed_at"), "{batch}");
            assert!(batch["usage"]["input_tokens"].as_u64().unwrap() > 0, "{batch}");
            let output = lines(&last(fleet), &batch["output_file_id"]);
            assert_eq!(output.len(), 1);
            assert_eq!(keys(&output[0]), ["id", "custom_id", "response", "error"]);
            assert!(output[0]["id"].as_str().unwrap().starts_with("batch_req_"));
            assert_eq!((&output[0]["custom_id"], &output[0]["error"]), (&json!("a"), &Value::Null));
            let response = &output[0]["response"];
            assert_eq!(keys(response), ["status_code", "request_id", "body"]);
            assert_eq!((&response["status_code"], &response["body"]["object"]), (&json!(200), &json!(object)));
            assert!(response["request_id"].as_str().unwrap().starts_with("req_"));
            let file = good(&client.get(&format!("{FILES}/{}", batch["output_file_id"].as_str().unwrap())));
            assert_eq!(file["purpose"], "batch_output");
            let bytes = content(&client, &batch["output_file_id"]).len();
            assert_eq!(
                (&file["bytes"], &file["filename"]),
                (&json!(bytes), &json!(format!("{}_output.jsonl", batch["id"].as_str().unwrap())))
            );
            // What a batch puts out is no input.
            let body = json!({ "input_file_id": file["id"], "endpoint": CHAT, "completion_window": "24h" });
            assert_eq!(refusal(&client.post(BATCHES, &body)), (400, json!("invalid_purpose"), json!("input_file_id")));
        }
    });
}

#[test]
fn what_fails_is_in_a_file_of_its_own() {
    with_each(&json!({}), |fleet| {
        let client = fleet.client();
        let body = |more: Value| {
            with(json!({ "model": "fake-model", "messages": [{ "role": "user", "content": "hi" }] }), more)
        };
        let input = [
            say("good", "[[say:fine]]"),
            line("temperature", CHAT, &body(json!({ "temperature": 9 }))),
            "\n".to_owned(),
            line("stream", CHAT, &body(json!({ "stream": true }))),
            say("engine", "[[fault:status=400]] hi"),
            say("last", "[[say:fine too]]"),
        ];
        let batch = over(&client, &begin(&client, &input.concat()), "completed");
        assert_eq!(batch["request_counts"], json!({ "total": 5, "completed": 2, "failed": 3 }));
        let ids = |file: &str| -> Vec<String> {
            let lines = lines(&last(fleet), &batch[file]);
            lines.iter().map(|line| line["custom_id"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(
            (ids("output_file_id"), ids("error_file_id")),
            (
                vec!["good".to_owned(), "last".to_owned()],
                vec!["temperature".to_owned(), "stream".to_owned(), "engine".to_owned()]
            )
        );
        let errors = lines(&client, &batch["error_file_id"]);
        for (line, param) in errors.iter().zip([json!("temperature"), json!("stream")]) {
            assert_eq!((&line["response"]["status_code"], &line["error"]), (&json!(400), &Value::Null));
            assert_eq!(line["response"]["body"]["error"]["param"], param, "{line}");
            assert!(line["response"]["request_id"].as_str().unwrap().starts_with("req_"));
        }
        let file = good(&client.get(&format!("{FILES}/{}", batch["error_file_id"].as_str().unwrap())));
        assert_eq!(file["filename"], format!("{}_error.jsonl", batch["id"].as_str().unwrap()));
    });
}

#[test]
fn a_batch_that_is_not_good_is_not_begun() {
    with_each(&json!({ "batches": { "lines": 3, "line_bytes": 400 } }), |fleet| {
        let client = fleet.client();
        let failed = |input: &str| {
            let batch = over(&client, &begin(&client, input), "failed");
            assert_eq!(batch["request_counts"], json!({ "total": 0, "completed": 0, "failed": 0 }));
            assert!(batch["failed_at"].is_u64() && batch["output_file_id"].is_null(), "{batch}");
            assert_eq!(batch["errors"]["object"], "list");
            let errors = batch["errors"]["data"].as_array().unwrap().clone();
            assert!(errors.iter().all(|error| keys(error) == ["code", "message", "param", "line"]), "{errors:?}");
            errors
                .into_iter()
                .map(|error| (error["line"].clone(), error["code"].as_str().unwrap().to_owned()))
                .collect::<Vec<_>>()
        };
        let told = |errors: &[(Value, &str)]| {
            errors.iter().map(|(line, code)| (line.clone(), (*code).to_owned())).collect::<Vec<_>>()
        };
        let input = format!("{}{{\n\n{}", say("a", "hi"), say("a", "hi"));
        assert_eq!(failed(&input), told(&[(json!(2), "invalid_json_line"), (json!(4), "duplicate_custom_id")]));
        assert_eq!(failed(""), told(&[(Value::Null, "empty_file")]));
        let many: String = (0..4).map(|number| say(&number.to_string(), "hi")).collect();
        assert_eq!(failed(&many), told(&[(Value::Null, "too_many_requests")]));
        assert_eq!(failed(&say("a", &"x".repeat(400))), told(&[(json!(1), "line_too_long")]));
        assert_eq!(failed(&line("a", "/v1/embeddings", &json!({ "model": "m" }))), told(&[(json!(1), "invalid_url")]));
        let file = upload(&client, "x");
        let body = json!({ "input_file_id": file, "endpoint": "/v1/moderations", "completion_window": "24h" });
        assert_eq!(refusal(&client.post(BATCHES, &body)), (400, json!("invalid_value"), json!("endpoint")));
    });
}

/// A limit of the key, an engine that is overloaded, and a sidecar that is away, are a lack of room.
#[test]
fn what_finds_no_room_is_asked_again() {
    let keys =
        json!([{ "name": "test", "sha256": OWN, "tenant": "blackbox", "rate_limits": { "requests_per_minute": 60 } }]);
    let overloaded = FaultRule::from(Fault::Status(503)).times(3);
    let mut plan = plan(1, json!({ "keys": keys }));
    plan.replicas = vec![Replica::fake(Script::vllm().fault(overloaded))];
    plan.router = json!({ "relay": { "attempts": 1 } });
    let mut fleet = Fleet::start(plan);
    let client = fleet.client();
    let input: String = (0..63).map(|number| say(&format!("line-{number}"), "[[tokens=2]][[delay=20ms]]")).collect();
    let batch = begin(&client, &input);
    eventually(PATIENCE, "some are done", || completed(&show(&client, &batch)) >= 10);
    fleet.sidecars[0].kill();
    fleet.restart_sidecar(0);
    let batch = over(&client, &batch, "completed");
    assert_eq!(batch["request_counts"], json!({ "total": 63, "completed": 63, "failed": 0 }));
    let later = fleet.edges[0].metric("cloudach_edge_batch_lines_total{outcome=\"later\"}");
    assert!(later.is_some_and(|later| later >= 3.0), "{later:?}");
}

/// Lines are the requests of the key that has made their batch, and the least urgent of all.
#[test]
fn lines_are_requests_of_their_key() {
    let redis = Redis::start();
    let mut plan = plan(2, with(redis.edge(), json!({ "store": redis.store("10s") })));
    plan.sidecar = json!({ "engine": { "priority": true } });
    let fleet = Fleet::start(plan);
    let admin = |method: &str, path: &str, body: &Value| {
        let client = fleet.admin_of(0);
        assert_eq!(client.key, ADMIN_TOKEN);
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = client.request(
            method,
            &format!("/admin/v1/{path}"),
            &[("content-type", "application/json")],
            body.as_bytes(),
        );
        let answer = client.ask(&request);
        assert!((200..300).contains(&answer.head.status), "{}", answer.text());
        answer.json()
    };
    let tenant = admin("POST", "tenants", &json!({ "id": "acme", "name": "Acme" }));
    let fields = json!({ "name": "batches", "tenant": tenant["id"], "priority": "high" });
    let made = admin("POST", "keys", &fields);
    let client = Client { key: made["key"].as_str().unwrap().to_owned(), ..fleet.client() };
    let input: String = (0..20).map(|number| say(&format!("line-{number}"), "[[tokens=5]]")).collect();
    let batch = over(&client, &begin(&client, &input), "completed");
    assert_eq!(completed(&batch), 20);
    let urgency = |request: &Value| request["priority"].as_i64().unwrap();
    let asked: Vec<Value> = fleet.engine().requests();
    let lines: Vec<i64> =
        asked.iter().filter(|request| request["prompt"].to_string().contains("<|user|>")).map(urgency).collect();
    assert_eq!(lines.len(), 20);
    assert_eq!(client.post(CHAT, &cloudach_blackbox::chat("hi")).head.status, 200);
    let own = urgency(fleet.engine().requests().last().unwrap());
    assert!(lines.iter().all(|line| *line > own && *line == lines[0]), "{lines:?} {own}");
    // Their usage is the key's.
    let key = made["id"].as_str().unwrap();
    eventually(PATIENCE, "their usage is told", || {
        let told = admin("GET", "usage?by=key", &Value::Null);
        let row = told["data"].as_array().unwrap().iter().find(|row| row.to_string().contains(key)).cloned();
        row.is_some_and(|row| row["requests"] == 21)
    });
    // What the key may do is what its lines may do, now.
    admin("PATCH", &format!("keys/{key}"), &json!({ "models": ["embedder"] }));
    let batch = over(&client, &begin(&client, &say("a", "hi")), "completed");
    let errors = super::lines(&client, &batch["error_file_id"]);
    assert_eq!(errors[0]["response"]["status_code"], 403, "{errors:?}");
    admin("PATCH", &format!("keys/{key}"), &json!({ "models": null }));
    // A key that is revoked ends what was begun with it; what was done is kept.
    let slow: String = (0..200).map(|number| say(&format!("line-{number}"), "[[tokens=20]][[delay=50ms]]")).collect();
    let watching = Client { key: admin("POST", "keys", &fields)["key"].as_str().unwrap().to_owned(), ..client.clone() };
    let batch = begin(&client, &slow);
    eventually(PATIENCE, "some are done", || completed(&show(&watching, &batch)) > 0);
    admin("POST", &format!("keys/{key}/revoke"), &Value::Null);
    let batch = over(&watching, &batch, "failed");
    assert_eq!(batch["errors"]["data"][0]["code"], "invalid_api_key");
    let output = super::lines(&watching, &batch["output_file_id"]);
    assert_eq!(output.len() as u64, completed(&batch));
    assert!((1..200).contains(&output.len()), "{batch}");
}
