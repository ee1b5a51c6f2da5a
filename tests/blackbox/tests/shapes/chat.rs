//! Chat completions: keys, chunks, choices, stops, lengths, log-probabilities, usage.

use super::*;

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
    let choice =
        |delta: Value, reason: Value| json!({ "index": 0, "delta": delta, "logprobs": null, "finish_reason": reason });
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
        let order =
            ["id", "object", "created", "model", "service_tier", "system_fingerprint", "choices", "obfuscation"];
        assert_eq!(keys(chunk), order, "no usage when it was not asked for");
    }
    assert_constant(&chunks, "chat.completion.chunk");
    assert_id(&chunks[0]["id"], "chatcmpl-");
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
        let of_chunk =
            |chunk: &Value| chunk["choices"][0]["logprobs"]["content"].as_array().cloned().unwrap_or_default();
        let streamed: Vec<Value> = chunks.iter().flat_map(of_chunk).collect();
        assert_eq!(streamed, *entries);
    }
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

/// Checklist C32: on unless the client says otherwise; all chunks are of one length modulo 16.
#[test]
fn padding_hides_the_length_of_the_text() {
    let fleet = FLEET.visit();
    let texts = chat("[[say:one three seventeen a]]");
    let chunks = fleet.client().stream(CHAT, &streamed(texts.clone())).chunks();
    let lengths: Vec<usize> = chunks.iter().map(|chunk| chunk.to_string().len() % 16).collect();
    assert!(lengths.iter().all(|length| *length == lengths[0]), "{lengths:?}");
    for wanted in [true, false] {
        let options = json!({ "stream_options": { "include_obfuscation": wanted } });
        let chunks = fleet.client().stream(CHAT, &with(streamed(texts.clone()), options)).chunks();
        assert!(chunks.iter().all(|chunk| chunk["obfuscation"].is_string() == wanted), "{chunks:?}");
    }
}

fn tokens(entries: &[Value]) -> String {
    entries.iter().map(|entry| entry["token"].as_str().unwrap()).collect()
}
