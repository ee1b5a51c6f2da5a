//! What was said and answered, in spans: of tenants that have it so, redacted in whole texts, and nobody else's.

use super::*;

const CARD: &str = "4111 1111 1111 1111";

/// The words `other`, as SHA-256: a key of another tenant.
const OTHER: (&str, &str) = ("other", "d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa");

/// The key of all tests: its SHA-256.
const OWN: &str = "5f1e1072241d652e154acbd66b66d4776ae18a8b85b9484184a5e5fbc8bc2be6";

fn fleet(collector: &Collector, more: Value) -> Fleet {
    let plan = plan(collector, 1.0, vec![script()]);
    let keys = json!([
        { "name": "test", "sha256": OWN, "tenant": "blackbox" },
        { "name": "other", "sha256": OTHER.1, "tenant": "other" },
    ]);
    let texts = json!({
        "keys": keys,
        "trace_texts": {
            "tenants": ["blackbox"],
            "redact": [{ "pattern": r"\b\d{4}( ?\d{4}){3}\b", "with": "[card]" }, { "pattern": "(?i)secret" }],
            "margin": 30,
        },
    });
    Fleet::start(Plan { edge: with(with(plan.edge.clone(), texts), more), ..plan })
}

fn messages(root: &Span, direction: &str) -> Value {
    let told = &root.attributes[format!("gen_ai.{direction}.messages")];
    serde_json::from_str(told.as_str().unwrap_or_else(|| panic!("{root:?}"))).unwrap()
}

fn said(spans: &[Span]) -> String {
    messages(root(spans), "output")[0]["parts"][0]["content"].as_str().unwrap().to_owned()
}

#[test]
fn texts_are_told_of_tenants_that_have_it_so_and_redacted_whole() {
    let collector = Collector::start();
    let fleet = fleet(&collector, json!({}));
    let client = fleet.client();
    // Each token has three bytes: the card's number comes in many pieces.
    let order = format!("My SECRET card: [[say:It is {CARD}, keep it.]] [[cut=3]]");
    for body in [chat(&order), streamed(&order)] {
        let answer = ask(&client, &body, &[]);
        assert!(answer.text().contains("4111") || body["stream"] == true, "clients get what was said");
        let spans = collector.trace(&trace_of(&answer), SPANS);
        let root = root(&spans);
        let asked = messages(root, "input");
        assert_eq!(asked[0]["role"], "user");
        let text = asked[0]["parts"][0]["content"].as_str().unwrap();
        assert_eq!(text, "My [redacted] card: [[say:It is [card], keep it.]] [[cut=3]]");
        let answered = json!([{
            "role": "assistant", "finish_reason": "stop",
            "parts": [{ "type": "text", "content": "It is [card], keep it." }],
        }]);
        assert_eq!(messages(root, "output"), answered);
        assert!(root.attributes["cloudach.texts_cut"].is_null());
    }
    let completion =
        json!({ "model": "fake-model", "prompt": format!("{CARD} [[say:secret {CARD}]]"), "max_tokens": 90 });
    let spans = collector.trace(&trace_of(&client.post("/v1/completions", &completion)), 12);
    assert_eq!(messages(root(&spans), "input")[0]["parts"][0]["content"], "[card] [[say:[redacted] [card]]]");
    assert_eq!(said(&spans), "[redacted] [card]");

    // Another tenant's is told of nothing, and nothing of it is anywhere else.
    let other = Client { key: OTHER.0.to_owned(), ..client };
    let answer = ask(&other, &chat("[[say:a quiet word]] in private"), &[]);
    let spans = collector.trace(&trace_of(&answer), SPANS);
    assert!(root(&spans).attributes["gen_ai.output.messages"].is_null(), "{spans:?}");
    // A time may end with the digits of a card.
    let timeless: Vec<Span> = collector.spans().into_iter().map(|span| Span { start: 0, end: 0, ..span }).collect();
    let all = format!("{timeless:?}");
    for text in ["quiet word", "in private", "4111 ", " 1111", "secret", "SECRET"] {
        assert!(!all.contains(text), "{text} is in a span");
    }
    let told = collector.spans().into_iter().filter(|span| !span.attributes["gen_ai.output.messages"].is_null());
    assert!(told.into_iter().all(|span| span.attributes["cloudach.tenant"] == "blackbox" && span.service == EDGE));
}

#[test]
fn the_end_of_an_answer_that_is_cut_is_left_off() {
    let collector = Collector::start();
    let fleet = fleet(&collector, json!({}));
    let client = fleet.client();
    let text = format!("{} the card is {CARD} and more", "x".repeat(60));
    // Of the number three quarters are said: no rule finds that.
    let tokens = (text.find("1111 1111 1111").unwrap() + 12) / 3;
    let order = format!("[[say:{text}]] [[cut=3]]");
    let answer = ask(&client, &with(chat(&order), json!({ "max_tokens": tokens })), &[]);
    assert!(answer.text().contains("4111 1111 11"), "{}", answer.text());
    let spans = collector.trace(&trace_of(&answer), SPANS);
    assert_eq!(said(&spans), text[..tokens * 3 - 30]);
    assert_eq!(messages(root(&spans), "output")[0]["finish_reason"], "length");
    assert_eq!(root(&spans).attributes["cloudach.texts_cut"], true);

    // And where the client leaves within it.
    let mut stream = client.stream(CHAT, &streamed(&format!("{order} [[delay=10ms]]")));
    let trace = stream.head().get("x-trace-id").unwrap().to_owned();
    let mut shown = String::new();
    while !shown.contains("4111") {
        shown += stream.chunk()["choices"][0]["delta"]["content"].as_str().unwrap_or_default();
    }
    drop(stream);
    let spans = collector.trace(&trace, SPANS);
    let told = said(&spans);
    assert!(text.starts_with(&told) && told.len() >= shown.len() - 30 && !told.contains("4111"), "{told}");
    assert_eq!(messages(root(&spans), "output")[0]["finish_reason"], "error");
    assert_eq!(root(&spans).attributes["cloudach.outcome"], "abandoned");
}

#[test]
fn the_admin_api_says_whose_texts_are_told() {
    let collector = Collector::start();
    let folder = tempfile::tempdir().unwrap();
    let stored = json!({ "store": { "path": folder.path() }, "admin_api": cloudach_blackbox::admin_api() });
    let fleet = fleet(&collector, stored);
    let admin = fleet.admin_of(0);
    let made = admin.post("/admin/v1/tenants", &json!({ "id": "t" }));
    assert_eq!((made.head.status, &made.json()["trace_texts"]), (201, &json!(false)), "off unless it is said");
    let key = admin.post("/admin/v1/keys", &json!({ "name": "k", "tenant": "t" })).json();
    let client = Client { key: key["key"].as_str().unwrap().to_owned(), ..fleet.client() };
    let told = || {
        let answer = ask(&client, &chat("[[say:a word]]"), &[]);
        let spans = collector.trace(&trace_of(&answer), SPANS);
        root(&spans).attributes["gen_ai.output.messages"].clone()
    };
    assert_eq!(told(), Value::Null);
    let change = |on: Value| {
        let headers = [("content-type", "application/json")];
        let body = json!({ "trace_texts": on }).to_string();
        let answer = admin.ask(&admin.request("PATCH", "/admin/v1/tenants/t", &headers, body.as_bytes()));
        assert_eq!(answer.head.status, 200, "{}", answer.text());
    };
    change(json!(true));
    eventually(SOON, "it is told", || told().as_str().is_some_and(|text| text.contains("a word")));
    change(json!(null));
    eventually(SOON, "it is told no more", || told().is_null());
}
