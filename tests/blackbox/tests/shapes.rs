//! What a client gets to see when all goes well: bytes, keys, their order, headers, and the same answer streamed and
//! whole.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cloudach_blackbox::{
    Answer, Client, Event, Events, Fleet, Head, Plan, Replica, Shared, chat, chat_text, completion, completion_text, with,
};
use cloudach_fake_engine::{Script, Serves};
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";
const COMPLETIONS: &str = "/v1/completions";
const EMBEDDINGS: &str = "/v1/embeddings";

static FLEET: Shared = Shared::new(|| {
    Fleet::start(Plan {
        replicas: vec![
            Replica::fake(Script::vllm()),
            Replica::of("org/slashed", Script { model: "served/elsewhere".to_owned(), ..Script::vllm() }),
            Replica::of("embedder", Script { serves: Serves::Embeddings { dimensions: 8 }, ..Script::vllm() }),
            Replica::of("counted", Script { prompt_tokens_details: true, ..Script::vllm() }),
        ],
        models: json!({
            "fake-model": { "aliases": ["gpt-4o", "other/name"], "owned_by": "tests", "created": 1_700_000_000 },
            "counted": { "counting": "engine" },
        }),
        ..Plan::default()
    })
});

/// Checklist C13, C14.
#[test]
fn a_whole_chat_answer_has_openais_keys_in_openais_order() {
    let fleet = FLEET.visit();
    let answer = fleet.client().post(CHAT, &chat("[[say:Hello, world.]]"));
    assert_eq!(answer.head.status, 200);
    let body = answer.json();
    let order = ["id", "object", "created", "model", "choices", "usage", "service_tier", "system_fingerprint"];
    assert_eq!(keys(&body), order);
    assert_id(&body["id"], "chatcmpl-");
    assert_eq!(body["object"], "chat.completion");
    assert!(body["created"].as_u64().is_some_and(|created| created > 1_700_000_000));
    assert_eq!(body["model"], "fake-model");
    assert_eq!(body["service_tier"], "default");
    assert!(body["system_fingerprint"].is_null());
    let choice = json!([{
        "index": 0,
        "message": { "role": "assistant", "content": "Hello, world.", "refusal": null, "annotations": [] },
        "logprobs": null,
        "finish_reason": "stop",
    }]);
    assert_eq!(body["choices"].to_string(), choice.to_string());
    assert_detailed_usage(&body["usage"]);
    assert!(!answer.text().contains("tool_calls"), "absent without calls, never null or empty");
}

/// Checklist C03, C05, C06, C07, C08, C13.
#[test]
fn a_chat_stream_is_role_then_deltas_then_an_empty_delta_then_done() {
    let fleet = FLEET.visit();
    let events = fleet.client().stream(CHAT, &streamed(chat("[[say:Hello big world.]]")));
    let chunks = events.chunks();
    let choice = |delta: Value, reason: Value| json!({ "index": 0, "delta": delta, "logprobs": null, "finish_reason": reason });
    let first = json!({ "role": "assistant", "content": "", "refusal": null });
    let deltas: String = chunks[1..chunks.len() - 1].iter().map(content_of).collect();
    assert_eq!(deltas, "Hello big world.");
    assert_eq!(chunks[0]["choices"].to_string(), json!([choice(first, Value::Null)]).to_string());
    for chunk in &chunks[1..chunks.len() - 1] {
        let delta = json!({ "content": content_of(chunk) });
        assert_eq!(chunk["choices"].to_string(), json!([choice(delta, Value::Null)]).to_string());
    }
    assert_eq!(chunks[chunks.len() - 1]["choices"].to_string(), json!([choice(json!({}), json!("stop"))]).to_string());
    for chunk in &chunks {
        let order = ["id", "object", "created", "model", "service_tier", "system_fingerprint", "choices"];
        assert_eq!(keys(chunk), order, "no usage when it was not asked for, no padding either");
    }
    assert_constant(&chunks, "chat.completion.chunk");
    assert_id(&chunks[0]["id"], "chatcmpl-");
}

/// Checklist C05, C25.
#[test]
fn usage_comes_in_one_last_chunk_when_asked_for_and_is_null_in_all_others() {
    let fleet = FLEET.visit();
    let request = with(streamed(chat("count me [[tokens=5]]")), json!({ "stream_options": { "include_usage": true } }));
    let mut chunks = fleet.client().stream(CHAT, &request).chunks();
    let last = chunks.pop().unwrap();
    assert_eq!(last["choices"], json!([]));
    assert_detailed_usage(&last["usage"]);
    for chunk in &chunks {
        assert!(keys(chunk).contains(&"usage"));
        assert!(chunk["usage"].is_null());
    }
    let whole = fleet.client().post(CHAT, &chat("count me [[tokens=5]]")).json();
    assert_eq!(last["usage"], whole["usage"]);

    let request = with(
        streamed(completion("count me [[tokens=5]]")),
        json!({ "stream_options": { "include_usage": true } }),
    );
    let mut chunks = fleet.client().stream(COMPLETIONS, &request).chunks();
    let last = chunks.pop().unwrap();
    assert_eq!(last["choices"], json!([]));
    assert_eq!(keys(&last["usage"]), ["prompt_tokens", "completion_tokens", "total_tokens"]);
    assert!(chunks.iter().all(|chunk| keys(chunk).contains(&"usage") && chunk["usage"].is_null()));
    let whole = fleet.client().post(COMPLETIONS, &completion("count me [[tokens=5]]")).json();
    assert_eq!(last["usage"], whole["usage"]);
}

/// OpenAI's tools count "Hello, world." as four tokens of o200k_base, whatever the engine's own tokenizer does.
#[test]
fn usage_is_counted_as_openais_tools_count_unless_the_model_says_otherwise() {
    let fleet = FLEET.visit();
    let ask = |model: &str| {
        let body = with(chat("[[say:Hello, world.]]"), json!({ "model": model }));
        fleet.client().post(CHAT, &body).json()["usage"].clone()
    };
    assert_eq!(ask("fake-model")["completion_tokens"], 4);
    // The engine has two words and an end of sequence.
    assert_eq!(ask("counted")["completion_tokens"], 3);
    assert_ne!(ask("counted")["prompt_tokens"], ask("fake-model")["prompt_tokens"]);
    assert_ne!(ask("counted")["prompt_tokens_details"]["cached_tokens"], 0, "the prompt was seen before");
}

#[test]
fn answers_bear_openais_headers() {
    let fleet = FLEET.visit();
    let client = fleet.client();
    let whole = client.post(CHAT, &chat("hi"));
    assert_eq!(whole.head.get("content-type"), Some("application/json"));
    let chats = client.stream(CHAT, &streamed(chat("hi")));
    assert_eq!(chats.head().get("content-type"), Some("text/event-stream; charset=utf-8"));
    let completions = client.stream(COMPLETIONS, &streamed(completion("hi")));
    assert_eq!(completions.head().get("content-type"), Some("text/event-stream"));
    for head in [chats.head(), completions.head()] {
        assert_eq!(head.get("cache-control"), Some("no-cache"));
        assert_eq!(head.get("x-accel-buffering"), Some("no"));
    }
    let models = client.get("/v1/models");
    let refused = client.post(CHAT, &json!({}));
    let heads = [&whole.head, chats.head(), completions.head(), &models.head, &refused.head];
    let mut ids: Vec<_> = heads.iter().map(|head| assert_common_headers(head)).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), heads.len(), "every request has an id of its own");
}

/// Checklist C12, C23: whatever the engine's events look like on the wire and however its tokens cut the characters.
#[test]
fn streamed_and_whole_answers_are_the_same() {
    let fleet = FLEET.visit();
    let client = fleet.client();
    let prompts = [
        "plain [[tokens=40]]",
        "[[say:naïve 日本語 and a crab 🦀, whole.]][[cut=1]]",
        "[[say:naïve 日本語 and a crab 🦀, whole.]][[cut=3]][[wire:split=40]]",
        "[[tokens=30]][[wire:crlf]][[wire:no_space]]",
        "[[tokens=30]][[burst=7]]",
        "[[say:\"quotes\", \\slashes\\ and data: [DONE] in the text]]",
        "[[tokens=0]]",
    ];
    for prompt in prompts {
        let whole = client.post(CHAT, &chat(prompt)).json();
        let chunks = client.stream(CHAT, &streamed(chat(prompt))).chunks();
        assert_eq!(whole["choices"][0]["message"]["content"], chat_text(&chunks, 0), "{prompt}");
        assert_eq!(whole["choices"][0]["finish_reason"], last_reason(&chunks, 0), "{prompt}");
        assert!(!chat_text(&chunks, 0).contains('\u{fffd}'), "{prompt}");

        let whole = client.post(COMPLETIONS, &completion(prompt)).json();
        let chunks = client.stream(COMPLETIONS, &streamed(completion(prompt))).chunks();
        assert_eq!(whole["choices"][0]["text"], completion_text(&chunks, 0), "{prompt}");
        assert_eq!(whole["choices"][0]["finish_reason"], last_reason(&chunks, 0), "{prompt}");
    }
}

#[test]
fn several_choices_each_have_one_role_and_one_end_and_come_in_order_when_whole() {
    let fleet = FLEET.visit();
    let request = with(chat("several [[tokens=6]]"), json!({ "n": 3, "seed": 7 }));
    let whole = fleet.client().post(CHAT, &request).json();
    let chunks = fleet.client().stream(CHAT, &streamed(request)).chunks();
    let choices = whole["choices"].as_array().unwrap();
    assert_eq!(choices.iter().map(|choice| choice["index"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 1, 2]);
    for (index, choice) in (0..).zip(choices) {
        assert_eq!(choice["message"]["content"], chat_text(&chunks, index));
        let own: Vec<_> = chunks.iter().filter(|chunk| chunk["choices"][0]["index"] == index).collect();
        let roles = own.iter().filter(|chunk| chunk["choices"][0]["delta"]["role"] == "assistant").count();
        let ends = own.iter().filter(|chunk| !chunk["choices"][0]["finish_reason"].is_null()).count();
        assert_eq!((roles, ends), (1, 1));
        assert!(own[0]["choices"][0]["delta"]["role"] == "assistant", "the role comes first");
    }
    assert_eq!(chunks[0]["choices"][0]["index"], 0, "SDKs list choices in the order in which they see them");
    assert!(chunks.iter().all(|chunk| chunk["choices"].as_array().unwrap().len() == 1));
    assert_ne!(choices[0]["message"]["content"], choices[1]["message"]["content"], "seeded choices differ");
}

#[test]
fn a_whole_completion_has_openais_keys() {
    let fleet = FLEET.visit();
    let body = fleet.client().post(COMPLETIONS, &completion("[[say:Once upon a time]]")).json();
    assert_eq!(keys(&body), ["id", "object", "created", "model", "choices", "usage"]);
    assert_id(&body["id"], "cmpl-");
    assert_eq!(body["object"], "text_completion");
    let choices = json!([{ "text": "Once upon a time", "index": 0, "logprobs": null, "finish_reason": "stop" }]);
    assert_eq!(body["choices"].to_string(), choices.to_string());
    assert_eq!(keys(&body["usage"]), ["prompt_tokens", "completion_tokens", "total_tokens"]);
}

#[test]
fn a_completion_stream_has_openais_keys() {
    let fleet = FLEET.visit();
    let chunks = fleet.client().stream(COMPLETIONS, &streamed(completion("[[say:Once upon a time]]"))).chunks();
    assert_constant(&chunks, "text_completion");
    for chunk in &chunks {
        assert_eq!(keys(chunk), ["id", "object", "created", "choices", "model"]);
        assert_eq!(keys(&chunk["choices"][0]), ["text", "index", "logprobs", "finish_reason"]);
    }
    let end = &chunks[chunks.len() - 1]["choices"][0];
    assert_eq!((end["text"].as_str(), end["finish_reason"].as_str()), (Some(""), Some("stop")));
    assert!(chunks[..chunks.len() - 1].iter().all(|chunk| chunk["choices"][0]["finish_reason"].is_null()));
}

#[test]
fn prompts_come_as_text_texts_ids_and_lists_of_ids() {
    let fleet = FLEET.visit();
    let ask = |prompt: Value, n: u64| {
        let request = json!({ "model": "fake-model", "prompt": prompt, "max_tokens": 4, "n": n, "seed": 1 });
        let whole = fleet.client().post(COMPLETIONS, &request).json();
        let chunks = fleet.client().stream(COMPLETIONS, &streamed(request)).chunks();
        let texts: Vec<String> =
            whole["choices"].as_array().unwrap().iter().map(|choice| choice["text"].as_str().unwrap().to_owned()).collect();
        for (index, text) in (0..).zip(&texts) {
            assert_eq!(*text, completion_text(&chunks, index));
            assert_eq!(whole["choices"][index as usize]["index"], index);
        }
        texts
    };
    // The fake engine's ids of one byte are that byte.
    let a = ask(json!("a"), 1);
    assert_eq!(a.len(), 1);
    assert_eq!(ask(json!([97]), 1), a);
    assert_eq!(ask(json!(["a", "b"]), 1)[0], a[0]);
    assert_eq!(ask(json!([[97], [98]]), 1), ask(json!(["a", "b"]), 1));
    let two_of_each = ask(json!(["a", "b"]), 2);
    assert_eq!(two_of_each.len(), 4);
    assert_eq!(two_of_each[..2], ask(json!("a"), 2));
}

#[test]
fn a_completion_may_repeat_its_prompt() {
    let fleet = FLEET.visit();
    let request = with(completion("Say [[say: it]]"), json!({ "echo": true }));
    let whole = fleet.client().post(COMPLETIONS, &request).json();
    assert_eq!(whole["choices"][0]["text"], "Say [[say: it]] it");
    let chunks = fleet.client().stream(COMPLETIONS, &streamed(request)).chunks();
    assert_eq!(completion_text(&chunks, 0), "Say [[say: it]] it");
}

/// Checklist C22.
#[test]
fn log_probabilities_of_a_chat_are_the_same_streamed_and_whole() {
    let fleet = FLEET.visit();
    for top in [0_usize, 3] {
        let request = with(chat("[[say:one two three]]"), json!({ "logprobs": true, "top_logprobs": top }));
        let whole = fleet.client().post(CHAT, &request).json();
        let logprobs = &whole["choices"][0]["logprobs"];
        assert_eq!(keys(logprobs), ["content", "refusal"]);
        let entries = logprobs["content"].as_array().unwrap();
        for entry in entries {
            assert_eq!(keys(entry), ["token", "logprob", "bytes", "top_logprobs"]);
            assert!(entry["logprob"].as_f64().unwrap() <= 0.0);
            assert_eq!(entry["bytes"], json!(entry["token"].as_str().unwrap().as_bytes()));
            assert_eq!(entry["top_logprobs"].as_array().unwrap().len(), top);
        }
        assert_eq!(tokens(entries), "one two three");

        let chunks = fleet.client().stream(CHAT, &streamed(request)).chunks();
        let of_chunk = |chunk: &Value| chunk["choices"][0]["logprobs"]["content"].as_array().cloned().unwrap_or_default();
        let streamed: Vec<Value> = chunks.iter().flat_map(of_chunk).collect();
        assert_eq!(streamed, *entries);
    }
}

#[test]
fn log_probabilities_of_a_completion_are_four_columns() {
    let fleet = FLEET.visit();
    let request = with(completion("[[say:one two é three]]"), json!({ "logprobs": 2 }));
    let whole = fleet.client().post(COMPLETIONS, &request).json();
    let logprobs = &whole["choices"][0]["logprobs"];
    assert_eq!(keys(logprobs), ["tokens", "token_logprobs", "top_logprobs", "text_offset"]);
    let tokens = logprobs["tokens"].as_array().unwrap();
    assert_eq!(tokens.iter().map(|token| token.as_str().unwrap()).collect::<String>(), "one two é three");
    let lengths: Vec<_> = keys(logprobs).iter().map(|key| logprobs[*key].as_array().unwrap().len()).collect();
    assert!(lengths.iter().all(|length| *length == tokens.len()));
    assert_eq!(logprobs["text_offset"].as_array().unwrap()[..4], [json!(0), json!(3), json!(7), json!(9)]);
}

/// Checklist C21.
#[test]
fn a_stop_string_is_never_shown_also_when_tokens_cut_it() {
    let fleet = FLEET.visit();
    for cut in ["", "[[cut=1]]", "[[cut=2]]"] {
        let prompt = format!("[[say:one two STOP three]]{cut}");
        let request = with(chat(&prompt), json!({ "stop": ["STOP", "never"] }));
        let whole = fleet.client().post(CHAT, &request).json();
        assert_eq!(whole["choices"][0]["message"]["content"], "one two ", "{cut}");
        assert_eq!(whole["choices"][0]["finish_reason"], "stop");
        let chunks = fleet.client().stream(CHAT, &streamed(request)).chunks();
        assert_eq!(chat_text(&chunks, 0), "one two ", "{cut}");
    }
    // What could have become a stop string and did not is shown in the end.
    let request = with(chat("[[say:It is STO]][[cut=1]]"), json!({ "stop": "STOP" }));
    let chunks = fleet.client().stream(CHAT, &streamed(request)).chunks();
    assert_eq!(chat_text(&chunks, 0), "It is STO");
}

/// Checklist C26.
#[test]
fn an_answer_that_is_cut_off_says_length() {
    let fleet = FLEET.visit();
    for limit in ["max_tokens", "max_completion_tokens"] {
        let request = with(chat("[[say:one two three four five]]"), json!({ limit: 3 }));
        let whole = fleet.client().post(CHAT, &request).json();
        assert_eq!(whole["choices"][0]["message"]["content"], "one two three");
        assert_eq!(whole["choices"][0]["finish_reason"], "length");
        let chunks = fleet.client().stream(CHAT, &streamed(request)).chunks();
        assert_eq!((chat_text(&chunks, 0).as_str(), last_reason(&chunks, 0)), ("one two three", json!("length")));
        assert_eq!(chunks[chunks.len() - 1]["choices"][0]["delta"], json!({}));
    }
    let newer_wins = with(chat("[[say:one two three four]]"), json!({ "max_tokens": 1, "max_completion_tokens": 2 }));
    let whole = fleet.client().post(CHAT, &newer_wins).json();
    assert_eq!(whole["choices"][0]["message"]["content"], "one two");
}

/// Checklist C15, C26, C32.
#[test]
fn what_changes_no_answer_is_accepted() {
    let fleet = FLEET.visit();
    let request = with(
        chat("[[say:fine]]"),
        json!({
            "stop": null, "temperature": null, "max_tokens": null, "tools": null, "stream": null, "user": "someone",
            "service_tier": "auto", "prompt_cache_key": "k", "store": false, "metadata": { "a": "b" },
            "safety_identifier": "s",
        }),
    );
    let whole = fleet.client().post(CHAT, &request).json();
    assert_eq!(whole["choices"][0]["message"]["content"], "fine");
    let parts = json!([{ "type": "text", "text": "[[say:from" }, { "type": "text", "text": " parts]]" }]);
    let messages = json!([{ "role": "developer", "content": "Be kind." }, { "role": "user", "content": parts }]);
    let whole = fleet.client().post(CHAT, &json!({ "model": "fake-model", "messages": messages })).json();
    assert_eq!(whole["choices"][0]["finish_reason"], "stop", "{whole}");
}

#[test]
fn padding_against_eavesdroppers_comes_when_asked_for() {
    let fleet = FLEET.visit();
    let options = json!({ "stream_options": { "include_obfuscation": true } });
    let chunks = fleet.client().stream(CHAT, &with(streamed(chat("[[say:one two]]")), options)).chunks();
    for chunk in &chunks {
        let padding = chunk["obfuscation"].as_str().unwrap();
        assert_eq!((padding.len() + content_of(chunk).len()) % 16, 0);
    }
}

/// Checklist C24.
#[test]
fn embeddings_come_as_numbers_and_as_base64() {
    let fleet = FLEET.visit();
    let ask = |input: Value, format: &str| {
        let request = json!({ "model": "embedder", "input": input, "encoding_format": format });
        fleet.client().post(EMBEDDINGS, &request).json()
    };
    let numbers = ask(json!(["one", "two"]), "float");
    assert_eq!(keys(&numbers), ["object", "data", "model", "usage"]);
    assert_eq!((numbers["object"].as_str(), numbers["model"].as_str()), (Some("list"), Some("embedder")));
    assert_eq!(numbers["usage"], json!({ "prompt_tokens": 2, "total_tokens": 2 }));
    let encoded = ask(json!(["one", "two"]), "base64");
    for (index, (number, encoded)) in vectors(&numbers).iter().zip(vectors(&encoded)).enumerate() {
        assert_eq!(keys(&numbers["data"][index]), ["object", "index", "embedding"]);
        assert_eq!(numbers["data"][index]["index"], index);
        let number: Vec<f32> = serde_json::from_value(number.clone()).unwrap();
        let bytes = STANDARD.decode(encoded.as_str().unwrap()).unwrap();
        let decoded: Vec<f32> = bytes.chunks(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
        assert_eq!(number, decoded);
        assert_eq!(number.len(), 8);
        assert!((number.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-4);
    }
    assert_ne!(vectors(&numbers)[0], vectors(&numbers)[1]);
    // One input is the same as a list of one, and token ids are those of OpenAI's own tokenizer.
    assert_eq!(vectors(&ask(json!("one"), "float"))[0], vectors(&numbers)[0]);
    assert_eq!(vectors(&ask(json!([[606], [20375]]), "float")), vectors(&numbers));
    let fewer = json!({ "model": "embedder", "input": "one", "dimensions": 4, "encoding_format": "float" });
    assert_ne!(fleet.client().post(EMBEDDINGS, &fewer).head.status, 500, "done or refused");
}

/// Checklist C28.
#[test]
fn models_are_listed_and_shown_under_every_name() {
    let fleet = FLEET.visit();
    let client = fleet.client();
    let list = client.get("/v1/models").json();
    assert_eq!(keys(&list), ["object", "data"]);
    let ids: Vec<_> = list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["counted", "embedder", "fake-model", "org/slashed", "gpt-4o", "other/name"]);
    for model in list["data"].as_array().unwrap() {
        assert_eq!(keys(model), ["id", "object", "created", "owned_by"]);
    }
    let shown = client.get("/v1/models/gpt-4o").json();
    let expected = json!({ "id": "gpt-4o", "object": "model", "created": 1_700_000_000, "owned_by": "tests" });
    assert_eq!(shown.to_string(), expected.to_string());
    for path in ["/v1/models/org/slashed", "/v1/models/org%2Fslashed", "/v1/models/other%2fname"] {
        assert_eq!(client.get(path).head.status, 200, "{path}");
    }
    assert_eq!(client.get("/v1/models/org%2Fslashed").json()["id"], "org/slashed");
}

/// A gateway without snapshots echoes the name that was asked for, never the engine's own.
#[test]
fn the_answer_names_the_model_as_the_request_did() {
    let fleet = FLEET.visit();
    for name in ["fake-model", "gpt-4o", "other/name", "org/slashed"] {
        let request = with(chat("hi [[tokens=1]]"), json!({ "model": name }));
        assert_eq!(fleet.client().post(CHAT, &request).json()["model"], name);
        let chunks = fleet.client().stream(CHAT, &streamed(request)).chunks();
        assert!(chunks.iter().all(|chunk| chunk["model"] == name));
    }
}

#[test]
fn requests_follow_one_another_on_one_connection() {
    let fleet = FLEET.visit();
    let client = fleet.client();
    let mut connection = client.connect();
    for round in 0..3 {
        let say = format!("[[say:round {round}]]");
        let answer = ask_on(&client, &mut connection, CHAT, &chat(&say));
        assert_eq!(answer.json()["choices"][0]["message"]["content"], format!("round {round}"));
        assert_eq!(ask_on(&client, &mut connection, CHAT, &json!({})).head.status, 400);
        connection.send(&client.posting(CHAT, &streamed(chat(&say)))).unwrap();
        let mut events = Events::of(connection.reading().unwrap());
        let mut last = None;
        while let Some(event) = events.next().unwrap() {
            last = Some(event);
        }
        assert_eq!(last, Some(Event::Done));
        connection = events.into_reading().into_connection();
    }
}

fn ask_on(client: &Client, connection: &mut cloudach_blackbox::Connection, path: &str, body: &Value) -> Answer {
    connection.send(&client.posting(path, body)).unwrap();
    connection.answer().unwrap()
}

fn streamed(request: Value) -> Value {
    with(request, json!({ "stream": true }))
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap_or_else(|| panic!("no object: {value}")).keys().map(String::as_str).collect()
}

fn content_of(chunk: &Value) -> &str {
    chunk["choices"][0]["delta"]["content"].as_str().unwrap_or_default()
}

fn last_reason(chunks: &[Value], choice: u64) -> Value {
    let choices = chunks.iter().filter_map(|chunk| chunk["choices"].as_array()).flatten();
    choices.filter(|found| found["index"] == choice).next_back().unwrap()["finish_reason"].clone()
}

fn tokens(entries: &[Value]) -> String {
    entries.iter().map(|entry| entry["token"].as_str().unwrap()).collect()
}

fn vectors(answer: &Value) -> Vec<Value> {
    answer["data"].as_array().unwrap_or_else(|| panic!("{answer}")).iter().map(|entry| entry["embedding"].clone()).collect()
}

/// A prefix and 29 alphanumerics.
fn assert_id(id: &Value, prefix: &str) {
    let rest = id.as_str().and_then(|id| id.strip_prefix(prefix)).unwrap_or_else(|| panic!("{id}"));
    assert!(rest.len() == 29 && rest.chars().all(|c| c.is_ascii_alphanumeric()), "{rest}");
}

fn assert_detailed_usage(usage: &Value) {
    let order =
        ["prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details", "completion_tokens_details"];
    assert_eq!(keys(usage), order);
    assert_eq!(keys(&usage["prompt_tokens_details"]), ["cached_tokens", "audio_tokens"]);
    let details = ["reasoning_tokens", "audio_tokens", "accepted_prediction_tokens", "rejected_prediction_tokens"];
    assert_eq!(keys(&usage["completion_tokens_details"]), details);
    let count = |name: &str| usage[name].as_u64().unwrap();
    assert_eq!(count("prompt_tokens") + count("completion_tokens"), count("total_tokens"));
}

fn assert_constant(chunks: &[Value], object: &str) {
    for chunk in chunks {
        assert_eq!(chunk["object"], object);
        for key in ["id", "created", "model"] {
            assert_eq!(chunk[key], chunks[0][key]);
        }
    }
}

fn assert_common_headers(head: &Head) -> &str {
    assert_eq!(head.get("openai-version"), Some("2020-10-01"));
    assert!(head.get("openai-processing-ms").is_some_and(|ms| ms.parse::<u64>().is_ok()));
    let id = head.get("x-request-id").unwrap();
    let digits = id.strip_prefix("req_").unwrap();
    assert!(digits.len() == 32 && digits.chars().all(|c| c.is_ascii_hexdigit()), "{id}");
    id
}
