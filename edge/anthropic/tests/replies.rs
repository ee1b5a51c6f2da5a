//! Messages as they are written: every cut of the text gives the same blocks, and the stream says what the whole does.

#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

use cloudach_anthropic::{Reply, error_body, message_id, parse, too_long};
use cloudach_openai::{CallPiece, FinishReason, Told, Usage};
use proptest::prelude::*;
use serde_json::{Value, json};

/// What an engine's text turns out to say.
#[derive(Debug, Clone)]
enum Said {
    Text(String),
    Thinking(String),
    Call(String),
    Met(String),
}

const USAGE: Usage = Usage { prompt_tokens: 20, completion_tokens: 7, cached_tokens: 16, reasoning_tokens: 0 };

fn reply(stream: bool, thinking: bool) -> Reply {
    let thinking = if thinking { "adaptive" } else { "disabled" };
    let request = json!({
        "model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], "stream": stream,
        "thinking": {"type": thinking},
    });
    let request = parse(request.to_string().as_bytes()).unwrap();
    Reply::new(message_id([1; 22]), &request.chat, request.shows_thinking, Some(20))
}

/// Feeds what was said, each text in pieces of so many characters.
fn feed(reply: &mut Reply, said: &[Said], reason: FinishReason, cut: usize) -> Vec<u8> {
    let mut out = Vec::new();
    reply.started(21);
    let pieces = |text: &str| -> Vec<String> {
        text.chars().collect::<Vec<_>>().chunks(cut.max(1)).map(|piece| piece.iter().collect()).collect()
    };
    for (number, said) in said.iter().enumerate() {
        match said {
            Said::Text(text) => pieces(text).iter().for_each(|piece| reply.text(piece, &mut out)),
            Said::Thinking(text) => pieces(text).iter().for_each(|piece| reply.thinking(piece, &mut out)),
            Said::Call(arguments) => {
                reply.call(&CallPiece::Begin { id: &format!("call_{number}"), name: "f" }, &mut out);
                pieces(arguments).iter().for_each(|piece| reply.call(&CallPiece::Arguments(piece), &mut out));
            }
            Said::Met(stop) => reply.met(stop),
        }
    }
    reply.finish(reason, &mut out);
    reply.close(&USAGE, &mut out);
    out
}

fn whole(said: &[Said], reason: FinishReason) -> Value {
    serde_json::from_slice(&feed(&mut reply(false, true), said, reason, 1)).unwrap()
}

/// The message as Anthropic's clients put it together, which fail where events come in another order.
fn streamed(said: &[Said], reason: FinishReason, cut: usize) -> Value {
    let text = String::from_utf8(feed(&mut reply(true, true), said, reason, cut)).unwrap();
    let (mut message, mut open, mut json) = (Value::Null, None::<usize>, String::new());
    let mut ended = false;
    for event in text.split_terminator("\n\n") {
        let (name, data) = event.strip_prefix("event: ").unwrap().split_once("\ndata: ").unwrap();
        let event: Value = serde_json::from_str(data).unwrap();
        assert_eq!(event["type"], name);
        assert!(!ended, "{event} after the end");
        match name {
            "ping" => assert!(open.is_none()),
            "message_start" => {
                assert!(message.is_null());
                message = event["message"].clone();
                assert_eq!(message["usage"]["input_tokens"], 20);
            }
            "content_block_start" => {
                let blocks = message["content"].as_array_mut().unwrap();
                assert!(open.replace(blocks.len()).is_none(), "{event} in an open block");
                assert_eq!(event["index"], blocks.len());
                blocks.push(event["content_block"].clone());
                json.clear();
            }
            "content_block_delta" => {
                assert_eq!(event["index"], open.unwrap());
                let block = &mut message["content"][open.unwrap()];
                let delta = &event["delta"];
                let mut add = |name: &str| {
                    let more = delta[name].as_str().unwrap();
                    assert!(!more.is_empty());
                    block[name] = (block[name].as_str().unwrap().to_owned() + more).into();
                };
                match delta["type"].as_str().unwrap() {
                    "text_delta" => add("text"),
                    "thinking_delta" => add("thinking"),
                    "signature_delta" => add("signature"),
                    "input_json_delta" => json.push_str(delta["partial_json"].as_str().unwrap()),
                    other => panic!("{other}"),
                }
            }
            "content_block_stop" => {
                assert_eq!(event["index"], open.take().unwrap());
                let block = message["content"].as_array_mut().unwrap().last_mut().unwrap();
                if block["type"] == "tool_use" && !json.is_empty() {
                    block["input"] = serde_json::from_str(&json).unwrap();
                }
            }
            "message_delta" => {
                assert!(open.is_none());
                for (name, value) in event["delta"].as_object().unwrap() {
                    message[name] = value.clone();
                }
                message["usage"] = event["usage"].clone();
            }
            "message_stop" => ended = true,
            other => panic!("{other}"),
        }
    }
    assert!(ended);
    message
}

fn blocks(said: &[Said]) -> Value {
    whole(said, FinishReason::Stop)["content"].clone()
}

fn text(text: &str) -> Said {
    Said::Text(text.to_owned())
}

#[test]
fn a_message_has_every_field() {
    let id = message_id([1; 22]);
    assert_eq!(id, "msg_01BBBBBBBBBBBBBBBBBBBBBB");
    let expected = json!({
        "id": id, "type": "message", "role": "assistant", "model": "m",
        "content": [{"type": "text", "text": "Hello"}],
        "stop_reason": "end_turn", "stop_sequence": null,
        "usage": {"input_tokens": 4, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 16, "output_tokens": 7, "output_tokens_details": {"thinking_tokens": 0}},
    });
    assert_eq!(whole(&[text("Hello")], FinishReason::Stop), expected);
    let mut out = Vec::new();
    let mut reply = reply(true, false);
    reply.text("Hi", &mut out);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_01BBBBBBBBBBBBBBBBBBBBBB\",\
         \"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\
         \"usage\":{\"input_tokens\":20,\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,\"output_tokens\":0,\
         \"output_tokens_details\":{\"thinking_tokens\":0}}}}\
         \n\nevent: ping\ndata: {\"type\":\"ping\"}\n\nevent: content_block_start\ndata: {\"type\":\"content_block_start\",\
         \"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\nevent: content_block_delta\ndata: \
         {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hi\"}}\n\n"
    );
}

#[test]
fn blocks_are_what_was_said() {
    let signed =
        |thinking: &str| json!({"type": "thinking", "thinking": thinking, "signature": "01BBBBBBBBBBBBBBBBBBBBBB"});
    let call = |number: usize, input: Value| json!({"type": "tool_use", "id": format!("toolu_01{number}"), "name": "f", "input": input});
    let calls = |arguments: &str| Said::Call(arguments.to_owned());
    assert_eq!(blocks(&[]), json!([]));
    assert_eq!(blocks(&[text(" \n")]), json!([]), "white space alone is nothing");
    assert_eq!(blocks(&[text(" a ")]), json!([{"type": "text", "text": " a "}]));
    assert_eq!(
        blocks(&[Said::Thinking("hm".to_owned()), text("\n\n"), calls(r#"{"a":1}"#), text("\n"), calls("")]),
        json!([signed("hm"), call(2, json!({"a": 1})), call(4, json!({}))])
    );
    assert_eq!(blocks(&[calls(r#"{"a":"#)]), json!([call(0, json!({"unparsed_arguments": r#"{"a":"#}))]));
}

#[test]
fn thoughts_are_for_those_who_asked() {
    let said = [Said::Thinking("hm".to_owned()), text("ok")];
    let answer: Value = serde_json::from_slice(&feed(&mut reply(false, false), &said, FinishReason::Stop, 1)).unwrap();
    assert_eq!(answer["content"], json!([{"type": "text", "text": "ok"}]));
}

#[test]
fn ends_have_reasons() {
    let end = |said: &[Said], reason| {
        let message = whole(said, reason);
        (message["stop_reason"].clone(), message["stop_sequence"].clone())
    };
    let call = Said::Call("{}".to_owned());
    assert_eq!(end(&[text("a")], FinishReason::Stop), (json!("end_turn"), json!(null)));
    assert_eq!(end(&[text("a")], FinishReason::Length), (json!("max_tokens"), json!(null)));
    assert_eq!(end(std::slice::from_ref(&call), FinishReason::Stop), (json!("tool_use"), json!(null)));
    assert_eq!(end(&[call], FinishReason::Length), (json!("max_tokens"), json!(null)));
    assert_eq!(end(&[Said::Met("END".to_owned())], FinishReason::Stop), (json!("stop_sequence"), json!("END")));
}

#[test]
fn errors_have_their_envelope() {
    let told = |status, code| Told { status, message: "no".to_owned(), kind: "x", param: None, code };
    for (status, code, kind, message) in [
        (400, None, "invalid_request_error", "no"),
        (401, None, "authentication_error", "x-api-key header is required"),
        (401, Some("invalid_api_key"), "authentication_error", "invalid x-api-key"),
        (403, None, "permission_error", "no"),
        (404, None, "not_found_error", "no"),
        (409, None, "invalid_request_error", "no"),
        (413, None, "request_too_large", "no"),
        (429, None, "rate_limit_error", "no"),
        (500, None, "api_error", "no"),
        (503, None, "overloaded_error", "no"),
        (504, None, "timeout_error", "no"),
    ] {
        let body: Value = serde_json::from_slice(&error_body(&told(status, code), "req_1")).unwrap();
        let expected = json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"});
        assert_eq!(body, expected, "{status}");
    }
    let mut out = Vec::new();
    reply(true, false).fail(&told(503, None), &mut out);
    let event =
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"no\"}}\n\n";
    assert_eq!(String::from_utf8(out).unwrap(), event);
}

#[test]
fn what_does_not_fit_is_counted() {
    assert_eq!(too_long(10, 12, None).message, "prompt is too long: 12 tokens > 10 maximum");
    let both = "input length and `max_tokens` exceed context limit: 8 + 5 > 10, decrease input length or `max_tokens` and try again";
    assert_eq!(too_long(10, 8, Some(5)).message, both);
}

fn said() -> impl Strategy<Value = Vec<Said>> {
    let words = "[a-z \\n\u{e4}\u{1f600}\"\\\\]{0,12}";
    let one = prop_oneof![
        words.prop_map(Said::Text),
        words.prop_map(Said::Thinking),
        prop_oneof![Just("{}"), Just(r#"{"a": [1, "x"]}"#), Just("")].prop_map(|text| Said::Call(text.to_owned())),
    ];
    prop::collection::vec(one, 0..8)
}

proptest! {
    #[test]
    fn streams_say_what_wholes_do(said in said(), cut in 1usize..5) {
        prop_assert_eq!(streamed(&said, FinishReason::Stop, cut), whole(&said, FinishReason::Stop));
    }
}
