//! Conversations: made, added to, listed, gone on with by responses, and a tenant's own, in one edge and in two.

#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

use std::time::Duration;

use cloudach_blackbox::{Answer, Client, Fleet, Plan, Redis, Replica, Shared, error_of, eventually, with};
use cloudach_fake_engine::Script;
use serde_json::{Value, json};

const CONVERSATIONS: &str = "/v1/conversations";
const RESPONSES: &str = "/v1/responses";
const PATIENCE: Duration = Duration::from_secs(30);

/// The words `test` and `other`, as SHA-256.
const TEST: (&str, &str) = ("test", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08");
const OTHER: (&str, &str) = ("other", "d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa");

static FLEET: Shared = Shared::new(|| Fleet::start(plan(1, json!({}))));

fn plan(edges: usize, edge: Value) -> Plan {
    let key = |(name, sha256): (&str, &str)| json!({ "name": name, "sha256": sha256, "tenant": name });
    let more = json!({
        "keys": [key(TEST), key(OTHER)],
        "conversations": { "items": 30, "conversation_bytes": 20_000 },
    });
    Plan {
        edges,
        edge: with(edge, more),
        replicas: vec![Replica::fake(Script { max_model_len: 100_000, ..Script::vllm() })],
        ..Plan::default()
    }
}

/// A store of one edge, and one that two edges share.
fn with_each(test: impl Fn(&Client, &Client)) {
    let of = |fleet: &Fleet, edge: usize| Client { key: TEST.0.to_owned(), ..fleet.client_of(edge) };
    let fleet = Fleet::start(plan(1, json!({})));
    test(&of(&fleet, 0), &of(&fleet, 0));
    let redis = Redis::start();
    let fleet = Fleet::start(plan(2, with(redis.edge(), json!({ "store": redis.store("10s") }))));
    test(&of(&fleet, 0), &of(&fleet, 1));
}

fn client(fleet: &Fleet) -> Client {
    Client { key: TEST.0.to_owned(), ..fleet.client() }
}

fn good(answer: &Answer) -> Value {
    assert_eq!(answer.head.status, 200, "{}", answer.text());
    assert_eq!(answer.head.get("content-type"), Some("application/json"));
    answer.json()
}

fn make(client: &Client, body: &Value) -> (String, Value) {
    let made = good(&client.post(CONVERSATIONS, body));
    (format!("{CONVERSATIONS}/{}", made["id"].as_str().unwrap()), made)
}

fn delete(client: &Client, path: &str) -> Answer {
    client.ask(&client.request("DELETE", path, &[], b""))
}

fn message(text: &str) -> Value {
    json!({ "type": "message", "role": "user", "content": text })
}

fn list(client: &Client, path: &str, query: &str) -> Value {
    good(&client.get(&format!("{path}/items?{query}")))
}

fn id_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap()
}

/// Who says what, the oldest first.
fn said(client: &Client, path: &str) -> Vec<(String, String)> {
    let page = list(client, path, "order=asc&limit=100");
    let items = page["data"].as_array().unwrap().iter().filter(|item| item["type"] == "message");
    items
        .map(|item| {
            (item["role"].as_str().unwrap().to_owned(), item["content"][0]["text"].as_str().unwrap().to_owned())
        })
        .collect()
}

#[test]
fn a_conversation_lives_in_any_edge() {
    with_each(|here, there| {
        let (path, made) = make(here, &json!({ "metadata": { "topic": "demo" }, "items": [message("Hello!")] }));
        let keys: Vec<_> = made.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["id", "object", "created_at", "metadata"]);
        assert_eq!((made["object"].as_str(), made["metadata"]["topic"].as_str()), (Some("conversation"), Some("demo")));
        assert!(made["id"].as_str().unwrap().starts_with("conv_"));
        assert_eq!(good(&there.get(&path)), made);

        let changed = good(&there.post(&path, &json!({ "metadata": { "topic": "other" } })));
        assert_eq!(changed, with(made.clone(), json!({ "metadata": { "topic": "other" } })));
        assert_eq!(good(&here.get(&path)), changed);

        let added = good(&here.post(&format!("{path}/items"), &json!({ "items": [message("one"), message("two")] })));
        let ids: Vec<_> = added["data"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect();
        assert_eq!((added["object"].as_str(), &added["has_more"], ids.len()), (Some("list"), &json!(false), 2));
        assert_eq!((added["first_id"].as_str(), added["last_id"].as_str()), (Some(ids[0]), Some(ids[1])));
        let item = json!({ "type": "message", "id": ids[0], "status": "completed", "role": "user",
            "content": [{ "type": "input_text", "text": "one" }] });
        assert_eq!(added["data"][0], item);
        assert_eq!(good(&there.get(&format!("{path}/items/{}", ids[0]))), item);
        assert_eq!(
            said(there, &path).iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>(),
            ["Hello!", "one", "two"]
        );

        // The newest first where nothing is said.
        let page = list(there, &path, "limit=2&include=message.output_text.logprobs");
        assert_eq!((page["first_id"].as_str(), page["has_more"].as_bool()), (Some(ids[1]), Some(true)));
        let rest = list(there, &path, &format!("after={}", ids[0]));
        assert_eq!((rest["data"].as_array().unwrap().len(), rest["has_more"].as_bool()), (1, Some(false)));

        assert_eq!(good(&delete(there, &format!("{path}/items/{}", ids[0]))), changed);
        assert_eq!(said(here, &path).len(), 2);
        assert_eq!(delete(here, &format!("{path}/items/{}", ids[0])).head.status, 404);
        let gone = good(&delete(here, &path));
        assert_eq!(gone, json!({ "id": id_of(&path), "object": "conversation.deleted", "deleted": true }));
        assert_eq!(there.get(&path).head.status, 404);
    });
}

#[test]
fn responses_go_on_with_it_and_are_added_to_it() {
    with_each(|here, there| {
        let (path, made) = make(here, &json!({ "items": [message("I am Ann.")] }));
        let ask = |client: &Client, input: &str, more: Value| {
            let request = json!({ "model": "fake-model", "input": input, "conversation": id_of(&path) });
            good(&client.post(RESPONSES, &with(request, more)))
        };
        let first = ask(here, "[[say:Hello Ann]]", json!({}));
        assert_eq!(first["conversation"], json!({ "id": made["id"] }));
        let second =
            ask(there, "[[say:You are Ann]]", json!({ "conversation": { "id": id_of(&path) }, "store": false }));
        assert!(second["usage"]["input_tokens"].as_u64() > first["usage"]["input_tokens"].as_u64(), "it has read all");
        let user = |text: &str| ("user".to_owned(), text.to_owned());
        let assistant = |text: &str| ("assistant".to_owned(), text.to_owned());
        let expected = [
            user("I am Ann."),
            user("[[say:Hello Ann]]"),
            assistant("Hello Ann"),
            user("[[say:You are Ann]]"),
            assistant("You are Ann"),
        ];
        assert_eq!(said(here, &path), expected);
        let items = list(here, &path, "order=asc")["data"].clone();
        assert_eq!(items[2], first["output"][0], "under the names that they have in the response");

        // The response that is not kept is in its conversation alone; the other is not moved by what follows.
        assert_eq!(there.get(&format!("{RESPONSES}/{}", second["id"].as_str().unwrap())).head.status, 404);
        assert_eq!(good(&there.get(&format!("{RESPONSES}/{}", first["id"].as_str().unwrap()))), first);

        for store in [true, false] {
            let request = json!({ "model": "fake-model", "input": "[[say:streamed]]", "conversation": id_of(&path), "store": store, "stream": true });
            let events = here.stream(RESPONSES, &request).rest();
            assert!(format!("{events:?}").contains("response.completed"), "{events:?}");
            assert_eq!(said(there, &path).last().unwrap(), &assistant("streamed"), "when the end is told it is there");
        }
        let length = said(there, &path).len();
        assert_eq!(length, 9);

        let background = ask(here, "[[say:later]]", json!({ "background": true }));
        assert_eq!(background["conversation"]["id"], made["id"]);
        eventually(PATIENCE, "it is added", || said(there, &path).len() == length + 2);

        // What fails leaves nothing.
        let failing = json!({ "model": "fake-model", "input": "[[fault:status=500]]", "conversation": id_of(&path) });
        assert_eq!(here.post(RESPONSES, &failing).head.status / 100, 5);
        assert_eq!(said(there, &path).len(), length + 2);
        let tokens = json!({ "model": "fake-model", "conversation": id_of(&path), "input": "hi" });
        assert!(good(&here.post("/v1/responses/input_tokens", &tokens))["input_tokens"].as_u64() > Some(50));
    });
}

#[test]
fn calls_are_answered_in_it() {
    let fleet = FLEET.visit();
    let client = client(&fleet);
    let (path, _) = make(&client, &json!({}));
    let tool = json!({ "type": "function", "name": "get_time", "parameters": { "type": "object", "properties": {} } });
    let ask = |input: Value, choice: &str| {
        let request = json!({ "model": "fake-model", "conversation": id_of(&path), "input": input, "tools": [tool], "tool_choice": choice });
        good(&client.post(RESPONSES, &request))
    };
    let called = ask(json!("What time is it?"), "required");
    let call = &called["output"][0];
    assert_eq!(call["type"], "function_call", "{called}");
    let answer = json!([{ "type": "function_call_output", "call_id": call["call_id"], "output": "noon" }, message("[[say:It is noon]]")]);
    assert_eq!(ask(answer, "none")["output"][0]["content"][0]["text"], "It is noon");
    let kinds: Vec<_> =
        list(&client, &path, "order=asc")["data"].as_array().unwrap().iter().map(|item| item["type"].clone()).collect();
    assert_eq!(kinds, ["message", "function_call", "function_call_output", "message", "message"]);
}

#[test]
fn a_conversation_is_its_tenants_own() {
    let fleet = FLEET.visit();
    let (mine, other) = (client(&fleet), Client { key: OTHER.0.to_owned(), ..fleet.client() });
    let (path, made) = make(&mine, &json!({ "items": [message("secret")] }));
    let item = list(&mine, &path, "")["first_id"].as_str().unwrap().to_owned();
    let message_of = |answer: &Answer| {
        assert_eq!(answer.head.status, 404, "{}", answer.text());
        error_of(answer)["message"].as_str().unwrap().to_owned()
    };
    let unknown = format!("Conversation with id '{}' not found.", id_of(&path));
    let request = json!({ "model": "fake-model", "input": "hi", "conversation": made["id"] });
    for answer in [
        other.get(&path),
        other.get(&format!("{path}/items")),
        other.get(&format!("{path}/items/{item}")),
        other.post(&path, &json!({ "metadata": {} })),
        other.post(&format!("{path}/items"), &json!({ "items": [message("x")] })),
        delete(&other, &format!("{path}/items/{item}")),
        delete(&other, &path),
        other.post(RESPONSES, &request),
    ] {
        assert_eq!(message_of(&answer), unknown);
    }
    assert_eq!(said(&mine, &path).len(), 1, "nothing has changed");
    for wrong in ["conv_1", "resp_1", "x", &"conv_f".repeat(9)] {
        assert_eq!(mine.get(&format!("{CONVERSATIONS}/{wrong}")).head.status, 404, "{wrong}");
    }
    assert_eq!(message_of(&mine.get(&format!("{path}/items/msg_1"))), "Item with id 'msg_1' not found.");
    let nobody = Client { key: "sk-nobody".to_owned(), ..fleet.client() };
    assert_eq!(nobody.post(CONVERSATIONS, &json!({})).head.status, 401);
    assert_eq!(mine.get(CONVERSATIONS).head.status, 405);
}

#[test]
fn what_is_wrong_is_refused() {
    let fleet = FLEET.visit();
    let client = client(&fleet);
    let (path, _) = make(&client, &json!({}));
    let items = format!("{path}/items");
    let refused = |path: &str, body: &Value| {
        let answer = client.post(path, body);
        assert_eq!(answer.head.status, 400, "{body}: {}", answer.text());
        let error = error_of(&answer);
        (error["param"].as_str().unwrap_or_default().to_owned(), error["code"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(refused(CONVERSATIONS, &json!({ "items": vec![message("x"); 21] })).0, "items");
    assert_eq!(refused(CONVERSATIONS, &json!({ "items": [{ "type": "web_search_call" }] })).0, "items[0].type");
    assert_eq!(refused(CONVERSATIONS, &json!({ "metadata": { "k": 7 } })).0, "metadata.k");
    assert_eq!(refused(CONVERSATIONS, &json!({ "title": "x" })).0, "title");
    assert_eq!(refused(&path, &json!({})).0, "metadata");
    assert_eq!(refused(&items, &json!({})).0, "items");
    assert_eq!(client.get(&format!("{items}?limit=101")).head.status, 400);
    assert_eq!(client.get(&format!("{items}?order=up")).head.status, 400);
    let malformed = client.ask(&client.request("POST", CONVERSATIONS, &[], b"{"));
    assert_eq!(malformed.head.status, 400);
    assert_eq!(good(&client.ask(&client.request("POST", CONVERSATIONS, &[], b"")))["metadata"], json!({}), "no body");

    let both =
        json!({ "model": "fake-model", "input": "x", "conversation": id_of(&path), "previous_response_id": "resp_1" });
    let request = json!({ "model": "fake-model", "input": "[[tokens=2]]", "conversation": id_of(&path) });
    let first = good(&client.post(RESPONSES, &request));
    assert_eq!(refused(RESPONSES, &both), (String::new(), "mutually_exclusive_parameters".to_owned()));
    assert_eq!(
        refused(RESPONSES, &json!({ "model": "fake-model", "input": "x", "conversation": 7 })).0,
        "conversation"
    );
    let twice = json!({ "model": "fake-model", "conversation": id_of(&path), "input": [first["output"][0]] });
    assert_eq!(refused(RESPONSES, &twice).0, "input");
}

#[test]
fn a_conversation_that_is_full_takes_no_more() {
    let fleet = FLEET.visit();
    let client = client(&fleet);
    let full = |answer: &Answer| {
        let error = error_of(answer);
        (answer.head.status, error["code"].clone()) == (400, json!("conversation_full"))
    };
    let (path, _) = make(&client, &json!({ "items": vec![message("x"); 20] }));
    let items = format!("{path}/items");
    assert!(full(&client.post(&items, &json!({ "items": vec![message("x"); 11] }))));
    good(&client.post(&items, &json!({ "items": vec![message("x"); 9] })));
    let ask = |path: &str| {
        client.post(RESPONSES, &json!({ "model": "fake-model", "input": "[[tokens=2]]", "conversation": id_of(path) }))
    };
    good(&ask(&path));
    assert_eq!(list(&client, &path, "limit=100")["data"].as_array().unwrap().len(), 31, "what had begun is kept whole");
    assert!(full(&ask(&path)));
    assert!(full(&client.post(CONVERSATIONS, &json!({ "items": [message(&"x".repeat(20_000))] }))));
    let (large, _) = make(&client, &json!({ "items": [message(&"x".repeat(19_000))] }));
    assert!(full(&client.post(&format!("{large}/items"), &json!({ "items": [message(&"x".repeat(1000))] }))));
    good(&ask(&large));
}

#[test]
fn either_is_kept_without_the_other() {
    let no_responses = Fleet::start(plan(1, json!({ "responses": { "enabled": false } })));
    let here = client(&no_responses);
    let (path, made) = make(&here, &json!({}));
    for stream in [false, true] {
        let request =
            json!({ "model": "fake-model", "input": "[[say:Hello]]", "conversation": made["id"], "stream": stream });
        let answer = here.post(RESPONSES, &request);
        assert_eq!(answer.head.status, 200, "{}", answer.text());
    }
    let (user, assistant) = (("user", "[[say:Hello]]"), ("assistant", "Hello"));
    let said = said(&here, &path);
    let said: Vec<_> = said.iter().map(|(role, text)| (role.as_str(), text.as_str())).collect();
    assert_eq!(said, [user, assistant, user, assistant]);

    let mut plan = plan(1, json!({}));
    plan.edge["conversations"]["enabled"] = json!(false);
    let fleet = Fleet::start(plan);
    let refused = client(&fleet).post(CONVERSATIONS, &json!({}));
    assert_eq!(
        (refused.head.status, error_of(&refused)["message"].as_str()),
        (400, Some("This server keeps no conversations."))
    );
    assert_eq!(client(&fleet).get(&path).head.status, 404);
}
