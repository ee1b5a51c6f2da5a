//! Responses as they are kept: gone on from, come back to from any event in any edge, made in the background, and seen by
//! their tenant alone.

use std::thread;

use cloudach_blackbox::{Client, Fleet, Redis, error_of, eventually, with};
use serde_json::{Value, json};

use super::{
    FLEET, OTHER, PATIENCE, RESPONSES, TEST_KEY, asked, check_stream, create, events, follow, good, kinds, last, plan,
    streamed, text, tool, with_each, without_names,
};

#[test]
fn a_conversation_goes_on_from_what_is_kept() {
    with_each(|fleet| {
        let (client, again) = (fleet.client(), last(fleet));
        let first = create(&client, &asked("My name is Ada.[[say:Hello Ada]]", json!({ "instructions": "Be brief." })));
        let second = asked("And I like tea.[[say:Noted]]", json!({ "previous_response_id": first["id"] }));
        let second = streamed(&again, &second).last().unwrap()["response"].clone();
        assert_eq!(second["previous_response_id"], first["id"]);
        let third =
            create(&client, &asked("What do I like?[[say:Tea]]", json!({ "previous_response_id": second["id"] })));
        let prompts = fleet.engine().requests();
        let prompt = prompts.last().unwrap()["prompt"].as_str().unwrap().to_owned();
        let places = ["Ada.", "Hello Ada", "And I like tea.", "Noted", "What do I like?"].map(|said| prompt.find(said));
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{prompt}");
        assert!(!prompt.contains("Be brief."), "instructions are of one response: {prompt}");

        let id = |response: &Value| response["id"].as_str().unwrap().to_owned();
        let items = good(&again.get(&format!("{RESPONSES}/{}/input_items?limit=1", id(&third))));
        assert_eq!((&items["object"], &items["has_more"]), (&json!("list"), &json!(false)));
        assert_eq!(items["data"][0]["content"][0]["text"], "What do I like?[[say:Tea]]");
        assert!(items["first_id"].as_str().unwrap().starts_with("msg_"));

        // A reference to an item stands for it.
        let reference = json!([{ "type": "item_reference", "id": first["output"][0]["id"] }, { "role": "user", "content": "Again.[[say:Yes]]" }]);
        create(&again, &asked(reference, json!({})));
        let prompt = fleet.engine().requests().last().unwrap()["prompt"].to_string();
        assert!(prompt.contains("Hello Ada"), "{prompt}");

        let removed = again.ask(&again.request("DELETE", &format!("{RESPONSES}/{}", id(&second)), &[], b""));
        assert_eq!(good(&removed), json!({ "id": second["id"], "object": "response", "deleted": true }));
        assert_eq!(client.get(&format!("{RESPONSES}/{}", id(&second))).head.status, 404);
        let answer = client.post(RESPONSES, &asked("On", json!({ "previous_response_id": third["id"] })));
        assert_eq!(error_of(&answer)["code"], "previous_response_not_found", "what it goes on from is gone");
        let unkept = create(&client, &asked("[[say:x]]", json!({ "store": false })));
        assert_eq!(client.get(&format!("{RESPONSES}/{}", id(&unkept))).head.status, 404);
    });
}

#[test]
fn calls_are_answered_by_who_goes_on() {
    let fleet = FLEET.visit();
    let client = fleet.client();
    let said = concat!(
        r#"[[free:<tool_call>{"name": "get_time", "arguments": {"zone": "UTC"}}</tool_call>"#,
        r#"<tool_call>{"name": "get_time", "arguments": {"zone": "CET"}}</tool_call>]]"#
    );
    let tools = json!({ "model": "thinker", "tools": [tool(false)] });
    let called = create(&client, &asked(said, tools.clone()));
    let output = |index: usize, text: &str| json!({ "type": "function_call_output", "call_id": called["output"][index]["call_id"], "output": text });
    let answers =
        json!([output(1, "one o'clock"), output(0, "noon"), { "role": "user", "content": "So?[[free:Thanks]]" }]);
    let answered = create(&client, &asked(answers, with(tools, json!({ "previous_response_id": called["id"] }))));
    assert_eq!(text(&answered), "Thanks");
    let request = asked("The quick brown fox jumps over the lazy dog.", json!({ "instructions": "Be kind." }));
    let counted = good(&client.post("/v1/responses/input_tokens", &request));
    let used = create(&client, &request)["usage"]["input_tokens"].clone();
    assert_eq!(counted, json!({ "object": "response.input_tokens", "input_tokens": used }));
}

#[test]
fn no_tenant_sees_anothers() {
    let keys = json!({ "keys": [
        { "name": "test", "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "tenant": "one" },
        { "name": "other", "sha256": OTHER.1, "tenant": "two" },
    ] });
    let fleet = Fleet::start(plan(1, keys));
    let one = Client { key: TEST_KEY.to_owned(), ..fleet.client() };
    let two = Client { key: OTHER.0.to_owned(), ..fleet.client() };
    let kept = create(&one, &asked("[[say:secret]]", json!({})));
    let id = kept["id"].as_str().unwrap();
    let path = format!("{RESPONSES}/{id}");
    let ask = |method: &str, path: &str| two.ask(&two.request(method, path, &[], b""));
    let unknown = path.replace(&id[5..15], "0000000000");
    for (method, behind) in
        [("GET", ""), ("GET", "?stream=true"), ("GET", "/input_items"), ("POST", "/cancel"), ("DELETE", "")]
    {
        let answer = ask(method, &format!("{path}{behind}"));
        assert_eq!(answer.head.status, 404, "{method} {behind}");
        let shown = error_of(&answer).to_string().replace(id, "X");
        let other = error_of(&ask(method, &format!("{unknown}{behind}"))).to_string();
        assert_eq!(shown, other.replace(unknown.rsplit('/').next().unwrap(), "X"), "{method} {behind}");
    }
    for request in [
        json!({ "previous_response_id": id }),
        json!({ "input": [{ "type": "item_reference", "id": kept["output"][0]["id"] }] }),
    ] {
        assert_eq!(two.post(RESPONSES, &asked("x", request)).head.status, 400);
    }
    assert_eq!(good(&one.get(&path)), kept);
}

#[test]
fn a_stream_that_is_cut_anywhere_is_come_back_to_anywhere() {
    with_each(|fleet| {
        let (client, again) = (fleet.client(), last(fleet));
        let said = "[[free:<think>Hm 日本</think>I look. <tool_call>{\"name\": \"get_time\", \"arguments\": {\"zone\": \"UTC\"}}</tool_call>]][[cut=8]][[delay=8ms]]";
        let request = asked(said, json!({ "model": "thinker", "stream": true, "tools": [tool(false)] }));
        let uncut = streamed(&client, &request);
        check_stream(&uncut);
        for cut in 0..uncut.len() {
            let mut stream = client.stream(RESPONSES, &request);
            let mut seen: Vec<Value> = (0..=cut).map(|_| stream.chunk()).collect();
            drop(stream);
            let id = seen[0]["response"]["id"].as_str().unwrap().to_owned();
            seen.extend(events(follow(&again, &id, Some(cut as u64))));
            check_stream(&seen);
            assert_eq!(without_names(bare(&seen)), without_names(bare(&uncut)), "cut at {cut}");
        }
    });
}

#[test]
fn two_readers_of_one_response_read_the_same_bytes() {
    let fleet = FLEET.visit();
    let client = fleet.client();
    let seen = streamed(&client, &asked("[[tokens=20]]", json!({})));
    let id = seen[0]["response"]["id"].as_str().unwrap();
    assert_eq!(events(follow(&client, id, None)), seen);
    assert_eq!(events(follow(&client, id, Some(7))), seen[8..]);
    assert_eq!(events(follow(&client, id, Some(10_000))), [json!(null); 0]);
}

#[test]
fn who_leaves_a_kept_stream_finds_it_whole_later() {
    with_each(|fleet| {
        let (client, again) = (fleet.client(), last(fleet));
        let mut stream = client.stream(RESPONSES, &asked("[[tokens=100]][[delay=5ms]]", json!({ "stream": true })));
        let id = stream.chunk()["response"]["id"].as_str().unwrap().to_owned();
        drop(stream);
        let path = format!("{RESPONSES}/{id}");
        let early = good(&again.get(&path));
        assert_eq!((&early["status"], &early["usage"]), (&json!("in_progress"), &json!(null)));
        eventually(PATIENCE, "it is complete", || good(&again.get(&path))["status"] == "completed");
        let answer = client.post(&format!("{path}/cancel"), &json!({}));
        assert_eq!(error_of(&answer)["message"], "Cannot cancel a synchronous response.");
    });
}

#[test]
fn a_stream_ends_with_its_client_where_none_lingers() {
    let fleet = Fleet::start(plan(1, json!({ "responses": { "linger": "0s" } })));
    let client = fleet.client();
    let mut stream = client.stream(RESPONSES, &asked("[[tokens=1000000]][[delay=5ms]]", json!({ "stream": true })));
    let id = stream.chunk()["response"]["id"].as_str().unwrap().to_owned();
    stream.chunk();
    drop(stream);
    eventually(PATIENCE, "the engine is idle", || fleet.running() == 0);
    eventually(PATIENCE, "it is cancelled", || {
        good(&client.get(&format!("{RESPONSES}/{id}")))["status"] == "cancelled"
    });
    // Nor does one that is not kept.
    let mut stream =
        client.stream(RESPONSES, &asked("[[tokens=1000000]][[delay=5ms]]", json!({ "stream": true, "store": false })));
    stream.chunk();
    drop(stream);
    eventually(PATIENCE, "the engine is idle", || fleet.running() == 0);
}

#[test]
fn a_response_in_the_background_is_made_without_its_client() {
    with_each(|fleet| {
        let (client, again) = (fleet.client(), last(fleet));
        let background = json!({ "background": true });
        let queued = create(&client, &asked("[[tokens=40]][[delay=5ms]][[first=500ms]]", background.clone()));
        assert_eq!(
            (&queued["status"], &queued["background"], &queued["output"]),
            (&json!("queued"), &json!(true), &json!([]))
        );
        let path = |response: &Value| format!("{RESPONSES}/{}", response["id"].as_str().unwrap());
        eventually(PATIENCE, "it is complete", || good(&again.get(&path(&queued)))["status"] == "completed");
        let done = good(&client.post(&format!("{}/cancel", path(&queued)), &json!({})));
        assert_eq!(done["status"], "completed", "what is over stays as it is");

        let events = streamed(&client, &asked("[[tokens=5]]", background.clone()));
        assert_eq!(kinds(&events)[..3], ["response.created", "response.queued", "response.in_progress"]);
        check_stream(&events);

        let endless = create(&client, &asked("[[tokens=1000000]][[delay=5ms]]", background.clone()));
        let follower = thread::spawn({
            let (again, id) = (again.clone(), endless["id"].as_str().unwrap().to_owned());
            move || self::events(follow(&again, &id, None))
        });
        eventually(PATIENCE, "it has begun", || fleet.running() == 1);
        let cancelled = good(&again.post(&format!("{}/cancel", path(&endless)), &json!({})));
        assert_eq!(cancelled["status"], "cancelled");
        eventually(PATIENCE, "the engine is idle", || fleet.running() == 0);
        eventually(PATIENCE, "it stays so", || good(&again.get(&path(&endless)))["status"] == "cancelled");
        let followed = follower.join().unwrap();
        assert_eq!(followed.last().unwrap()["type"], "response.cancelled");

        let answer = client.post(RESPONSES, &asked("x", json!({ "background": true, "model": "nobody" })));
        assert_eq!(error_of(&answer)["code"], "model_not_found");
    });
}

/// No edge goes on with it; nobody waits for it for ever.
#[test]
fn a_response_whose_edge_has_died_has_failed() {
    let redis = Redis::start();
    let fleet = Fleet::start(plan(2, with(redis.edge(), json!({ "store": redis.store("10s") }))));
    let (client, again) = (fleet.client(), last(&fleet));
    let background = json!({ "background": true });
    let begun = create(&client, &asked("[[tokens=1000000]][[delay=5ms]]", background));
    let id = begun["id"].as_str().unwrap();
    let mut stream = follow(&again, id, None);
    while stream.chunk()["type"] != "response.output_text.delta" {}
    fleet.edges[0].kill();
    let seen = events(stream);
    assert_eq!(kinds(&seen)[seen.len() - 2..], ["error", "response.failed"]);
    let failed = good(&again.get(&format!("{RESPONSES}/{id}")));
    assert_eq!((&failed["status"], &failed["error"]["code"]), (&json!("failed"), &json!("server_error")));
    // Its place is not waited for either.
    let removed = again.ask(&again.request("DELETE", &format!("{RESPONSES}/{id}"), &[], b""));
    assert_eq!(good(&removed)["deleted"], true);
}

#[test]
fn what_is_too_large_is_answered_and_not_kept() {
    let fleet = Fleet::start(plan(1, json!({ "responses": { "response_bytes": 4000 } })));
    let client = fleet.client();
    let large = asked("[[tokens=1000]]", json!({ "max_output_tokens": 2000 }));
    let whole = create(&client, &large);
    let events = streamed(&client, &large);
    check_stream(&events);
    assert_eq!(events.last().unwrap()["type"], "response.completed");
    for id in [&whole["id"], &events[0]["response"]["id"]] {
        assert_eq!(client.get(&format!("{RESPONSES}/{}", id.as_str().unwrap())).head.status, 404);
    }
    let answer = client.post(RESPONSES, &asked("x ".repeat(1900), json!({ "background": true })));
    assert_eq!((answer.head.status, &error_of(&answer)["param"]), (400, &json!("background")));
    let kept = create(&client, &asked("[[tokens=5]]", json!({})));
    assert_eq!(good(&client.get(&format!("{RESPONSES}/{}", kept["id"].as_str().unwrap()))), kept);
}

#[test]
fn a_server_that_keeps_nothing_says_so() {
    let fleet = Fleet::start(plan(1, json!({ "responses": { "enabled": false } })));
    let client = fleet.client();
    let response = create(&client, &asked("[[say:x]]", json!({})));
    assert_eq!(response["store"], false);
    assert_eq!(client.get(&format!("{RESPONSES}/{}", response["id"].as_str().unwrap())).head.status, 404);
    let answer = client.post(RESPONSES, &asked("x", json!({ "background": true })));
    assert_eq!(error_of(&answer)["param"], "background");
}

/// Without the padding, which is drawn for each response.
fn bare(events: &[Value]) -> Value {
    let mut events = events.to_vec();
    for event in &mut events {
        event.as_object_mut().unwrap().remove("obfuscation");
    }
    events.into()
}
