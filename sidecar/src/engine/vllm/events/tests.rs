use cloudach_proto::v1::{ModelTraits, Sampling};

use super::*;

/// Everything a stream of these events says, as text: readable, and the same whoever wrote the stream.
fn read(top_logprobs: Option<u32>, events: &[&str]) -> (Vec<Delta>, Result<Finished, Failed>) {
    read_for(&GenerateRequest { top_logprobs, ..GenerateRequest::default() }, events)
}

fn read_for(request: &GenerateRequest, events: &[&str]) -> (Vec<Delta>, Result<Finished, Failed>) {
    let traits = ModelTraits { eos_token: Some("<eos>".into()), ..ModelTraits::default() };
    let mut reader = Reader::new(request, &ModelInfo { traits, ..ModelInfo::default() });
    let mut deltas = Vec::new();
    for event in events {
        match reader.read(event.as_bytes()) {
            Ok(Reading { delta, end, .. }) => {
                deltas.extend(delta);
                if let Some(finished) = end {
                    return (deltas, Ok(finished));
                }
            }
            Err(failed) => return (deltas, Err(failed)),
        }
    }
    (deltas, reader.ended())
}

fn delta(text: &str, token_ids: &[u32]) -> Delta {
    Delta { text: text.into(), token_ids: token_ids.to_vec(), ..Delta::default() }
}

const FIRST: &str = r#"{"id":"cmpl-b","object":"text_completion","created":1,"model":"m","choices":[{"index":0,"text":"The","logprobs":null,"finish_reason":null,"stop_reason":null,"prompt_token_ids":[1,4093],"token_ids":[504]}],"usage":null}"#;
const LAST: &str = r#"{"id":"cmpl-b","choices":[{"index":0,"text":" \"capital\" of","logprobs":null,"finish_reason":"length","stop_reason":null,"prompt_token_ids":null,"token_ids":[3575,282]}]}"#;
const USAGE: &str = r#"{"id":"cmpl-b","choices":[],"usage":{"prompt_tokens":16,"total_tokens":19,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":8}},"system_fingerprint":"vllm-0.32.0"}"#;

/// Its text and its ids, which are told on; and what holds both, and a text with escapes, while they are read.
#[test]
fn a_token_allocates_no_more_than_what_it_is() {
    let mut reader = Reader::new(&GenerateRequest::default(), &ModelInfo::default());
    reader.read(FIRST.as_bytes()).unwrap();
    let event = LAST.replace("\"length\"", "null");
    let counted = allocation_counter::measure(|| {
        for _ in 0..100 {
            assert!(reader.read(event.as_bytes()).unwrap().delta.is_some());
        }
    });
    assert_eq!(counted.count_total, 100 * 5);
}

/// Chunks that are like the one before are read by what they have in common, to the same end.
#[test]
fn chunks_that_are_alike_say_the_same() {
    let token = |text: &str, id: u32| {
        format!(
            r#"{{"id":"b","choices":[{{"index":0,"text":"{text}","logprobs":null,"finish_reason":null,"stop_reason":null,"prompt_token_ids":null,"token_ids":[{id}]}}],"usage":null}}"#
        )
    };
    let [one, two, three, four] = [token(" a", 1), token("\\n", 2), token(" c", 3), token("", 4)];
    let events = [FIRST, &one, &two, &three, &four, LAST, USAGE];
    let (deltas, end) = read(None, &events);
    let told = [("The", 504), (" a", 1), ("\n", 2), (" c", 3), ("", 4)].map(|(text, id)| delta(text, &[id]));
    assert_eq!(deltas[..5], told);
    assert_eq!((deltas.len(), end.unwrap().usage.unwrap().completion_tokens), (6, 3));

    let mut reader = Reader::new(&GenerateRequest::default(), &ModelInfo::default());
    reader.read(one.as_bytes()).unwrap();
    let counted = allocation_counter::measure(|| {
        for _ in 0..100 {
            assert!(reader.read(three.as_bytes()).unwrap().delta.is_some());
        }
    });
    assert_eq!(counted.count_total, 100 * 2, "its text and its ids");

    // Where each differs, the attempt is given up.
    for number in 0..3 {
        let event = three.replace("\"b\"", &format!("\"b{number}\""));
        assert_eq!(reader.read(event.as_bytes()).unwrap().delta, Some(delta(" c", &[3])));
    }
    assert!(matches!(reader.shape, Learnt::Nothing));
    assert_eq!(reader.read(three.as_bytes()).unwrap().delta, Some(delta(" c", &[3])));
}

#[test]
fn the_python_front_ends_stream() {
    let (deltas, end) = read(None, &[FIRST, LAST, USAGE, "[DONE]"]);
    assert_eq!(deltas, [delta("The", &[504]), delta(" \"capital\" of", &[3575, 282])]);
    let usage = TokenUsage { prompt_tokens: 16, completion_tokens: 3, cached_tokens: 8 };
    assert_eq!(end, Ok(Finished { reason: FinishReason::Length.into(), usage: Some(usage), ..Finished::default() }));
}

#[test]
fn the_rust_front_ends_stream() {
    let begin = r#"{"choices":[{"index":0,"text":"","logprobs":null,"finish_reason":null,"prompt_token_ids":[1],"token_ids":[]}]}"#;
    let token = r#"{"choices":[{"index":0,"text":"The","finish_reason":null,"token_ids":[504]}]}"#;
    let end = r#"{"choices":[{"index":0,"text":"","finish_reason":"stop","stop_reason":"END","token_ids":[]}]}"#;
    let (deltas, end) = read(None, &[begin, token, end, USAGE]);
    assert_eq!(deltas, [delta("The", &[504])]);
    let end = end.unwrap();
    assert_eq!((end.reason(), end.stop.as_deref()), (FinishReason::Stop, Some("END")));
}

#[test]
fn the_prompts_tokens_are_counted_in_the_first_chunk() {
    let alone = r#"{"choices":[{"index":0,"text":"","finish_reason":null,"prompt_token_ids":[1,2,3],"token_ids":[]}]}"#;
    for (event, tokens, delta) in [(FIRST, 2, true), (LAST, 0, true), (alone, 3, false), (USAGE, 0, false)] {
        let mut reader = Reader::new(&GenerateRequest::default(), &ModelInfo::default());
        let reading = reader.read(event.as_bytes()).unwrap();
        assert_eq!((reading.prompt_tokens, reading.delta.is_some()), (tokens, delta), "{event}");
    }
}

#[test]
fn the_tokens_of_a_long_prompt_are_counted_alike() {
    let ids = |count: u32| (0..count).map(|id| (id * 7).to_string()).collect::<Vec<_>>().join(",");
    let event = |ids: &str| FIRST.replace("[1,4093]", &format!("[{ids}]"));
    for count in [1, 10, 3000, 100_000] {
        let event = event(&ids(count));
        assert_eq!(prompt_ids::cut(event.as_bytes()).is_some(), count > 2000);
        let mut reader = Reader::new(&GenerateRequest::default(), &ModelInfo::default());
        let reading = reader.read(event.as_bytes()).unwrap();
        assert_eq!((reading.prompt_tokens, reading.delta), (count, Some(delta("The", &[504]))));
    }
    for wrong in [",1", "1,,1", "1,", "x", "1.5.5", "\"a"] {
        let event = event(&format!("{},{wrong}", ids(3000)));
        assert_eq!(prompt_ids::cut(event.as_bytes()), None);
        let mut reader = Reader::new(&GenerateRequest::default(), &ModelInfo::default());
        assert!(reader.read(event.as_bytes()).is_err(), "{wrong}");
    }
    let spaced = event(&ids(3000).replace(',', ", "));
    let mut reader = Reader::new(&GenerateRequest::default(), &ModelInfo::default());
    assert_eq!(reader.read(spaced.as_bytes()).unwrap().prompt_tokens, 3000);
}

#[test]
fn a_stop_token_is_no_stop_string_and_eos_has_no_text() {
    let eos = r#"{"choices":[{"index":0,"text":"","finish_reason":"stop","stop_reason":2,"token_ids":[2]}]}"#;
    let (deltas, end) = read(None, &[eos, "[DONE]"]);
    assert_eq!(deltas, [delta("", &[2])]);
    let end = end.unwrap();
    assert_eq!((end.reason(), end.stop), (FinishReason::Stop, None));
    assert_eq!(end.usage.unwrap().completion_tokens, 1, "counted here where the engine does not say");
}

#[test]
fn an_answer_in_circles_is_ended_by_no_stop_string() {
    let event = r#"{"choices":[{"index":0,"text":" la","finish_reason":"repetition","stop_reason":"repetition_detected",
        "token_ids":[5],"logprobs":{"tokens":[" la"],"token_logprobs":[-0.5],"top_logprobs":[{" la":-0.5}]}}]}"#;
    let (deltas, end) = read(Some(1), &[event, "[DONE]"]);
    assert_eq!(deltas[0].logprobs.len(), 1, "its last token is part of it");
    let end = end.unwrap();
    assert_eq!((end.reason(), end.stop), (FinishReason::Stop, None));
}

#[test]
fn the_end_of_text_has_no_log_probability() {
    let eos = r#"{"choices":[{"index":0,"text":"","token_ids":[2],"finish_reason":"stop","stop_reason":null,"logprobs":{
        "text_offset":[9],"tokens":["<|im_end|>"],"token_logprobs":[-0.1],"top_logprobs":[{"<|im_end|>":-0.1}]}}]}"#;
    let (deltas, _) = read(Some(1), &[FIRST, eos, USAGE]);
    assert_eq!(deltas[1], delta("", &[2]));
}

#[test]
fn log_probabilities_are_sorted_cut_and_not_made_up() {
    let event = r#"{"choices":[{"index":0,"text":" \u00e9","token_ids":[5,6],"finish_reason":null,"logprobs":{
        "text_offset":[0,2],"tokens":[" \u00e9","\ufffd"],"token_logprobs":[-2.5,null],
        "top_logprobs":[{"a":-1.5,"b":-0.5," \u00e9":-2.5},null]}}]}"#;
    let (deltas, _) = read(Some(2), &[event]);
    let top = |token: &str, logprob| cloudach_proto::v1::TopLogprob {
        token: token.into(),
        logprob,
        bytes: token.as_bytes().to_vec(),
    };
    let first = TokenLogprob {
        token: " é".into(),
        logprob: -2.5,
        bytes: " é".into(),
        top: vec![top("b", -0.5), top("a", -1.5)],
    };
    let second = TokenLogprob { token: "\u{fffd}".into(), logprob: -9999.0, bytes: Vec::new(), top: Vec::new() };
    assert_eq!(deltas[0].logprobs, [first, second]);
    assert!(read(None, &[event]).0[0].logprobs.is_empty(), "not asked for");
}

fn echo(top_logprobs: Option<u32>, max_tokens: u32) -> Reader {
    let sampling = Some(Sampling { max_tokens: Some(max_tokens), ..Sampling::default() });
    let request = GenerateRequest { top_logprobs, sampling, echo: true, ..GenerateRequest::default() };
    Reader::new(&request, &ModelInfo::default())
}

fn tokens(entries: &[TokenLogprob]) -> Vec<(&str, f32)> {
    entries.iter().map(|entry| (entry.token.as_str(), entry.logprob)).collect()
}

#[test]
fn the_prompts_log_probabilities_come_first_and_once() {
    // As seen of 0.32's Python front end, shortened.
    let first = r#"{"choices":[{"index":0,"text":"f","logprobs":{"text_offset":[0,5,11],"token_logprobs":[null,-17.5,-1.25],
        "tokens":["Hello"," wor","f"],"top_logprobs":[null,{" wor":-17.5,"-":-0.75,",":-2.5},{"f":-1.25,"l":-2.75}]},
        "finish_reason":null,"stop_reason":null,"prompt_token_ids":[19556,458],"token_ids":[86]}]}"#;
    let mut reader = echo(Some(2), 5);
    let Reading { prompt, delta, end, .. } = reader.read(first.as_bytes()).unwrap();
    let prompt = prompt.unwrap();
    assert_eq!(tokens(&prompt), [("Hello", -9999.0), (" wor", -17.5)]);
    assert!(prompt[0].top.is_empty() && prompt[1].top.iter().map(|top| &top.token).eq(["-", ","]));
    let delta = delta.unwrap();
    assert_eq!((delta.text.as_str(), tokens(&delta.logprobs), end), ("f", vec![("f", -1.25)], None));
    let Reading { prompt, delta, .. } = reader.read(LAST.as_bytes()).unwrap();
    assert_eq!((prompt, delta.unwrap().text.as_str()), (None, " \"capital\" of"));
}

#[test]
fn the_rust_front_ends_echo() {
    // Nothing but the prompt: told in full, its text once more.
    let alone = r#"{"choices":[{"index":0,"text":"Hi!","logprobs":{"text_offset":[0,2],"token_logprobs":[null,-1.5],
        "tokens":["Hi","!"],"top_logprobs":[null,{"!":-1.5}]},"finish_reason":null,"prompt_token_ids":[1,2]}]}"#;
    let Reading { prompt, delta, .. } = echo(Some(1), 0).read(alone.as_bytes()).unwrap();
    assert_eq!((tokens(&prompt.unwrap()), delta), (vec![("Hi", -9999.0), ("!", -1.5)], None));
    // With an answer, it streams no log-probabilities of the prompt.
    let without =
        r#"{"choices":[{"index":0,"text":"Hi!","logprobs":null,"finish_reason":null,"prompt_token_ids":[1,2]}]}"#;
    let failed = echo(Some(1), 5).read(without.as_bytes()).unwrap_err();
    assert_eq!((failed.code(), failed.param.as_str()), (ErrorCode::Unsupported, "echo"));
    let counted = Reading { prompt_tokens: 2, ..Reading::default() };
    assert_eq!(echo(None, 0).read(without.as_bytes()).unwrap(), counted);
}

#[test]
fn a_token_that_ends_the_answer_never_shows() {
    let sampling = Sampling { stop: vec!["END".into()], stop_is_cut_by_caller: true, ..Sampling::default() };
    let request = GenerateRequest { sampling: Some(sampling), ..GenerateRequest::default() };
    let end = |text: &str, reason: &str, stop: &str, ids: &str| {
        let event = format!(
            r#"{{"choices":[{{"index":0,"text":"{text}","finish_reason":"{reason}","stop_reason":{stop},"token_ids":{ids}}}]}}"#
        );
        read_for(&request, &[&event, "[DONE]"]).0.iter().map(|delta| delta.text.as_str()).collect::<String>()
    };
    assert_eq!(end("<eos>", "stop", "null", "[2]"), "", "not special, alone");
    assert_eq!(end(" it<eos>", "stop", "null", "[5,2]"), " it", "not special, with others");
    assert_eq!(end(" it", "stop", "null", "[5,2]"), " it", "special");
    assert_eq!(end(" END", "stop", r#""END""#, "[5]"), " END", "the caller cuts stop texts");
    assert_eq!(end(" it", "length", "null", "[5]"), " it");
    assert_eq!(end(" it", "repetition", "null", "[5]"), " it");
    let plain = GenerateRequest::default();
    let event = r#"{"choices":[{"index":0,"text":" it","finish_reason":"stop","token_ids":[5]}]}"#;
    assert_eq!(read_for(&plain, &[event, "[DONE]"]).0[0].text, " it", "vLLM has hidden it already");
}

#[test]
fn parts_of_characters_have_no_bytes_and_the_last_part_has_all() {
    // As seen of 0.32: a crab in three tokens, cut by the limit in the middle of the next character.
    let part = r#"{"choices":[{"index":0,"text":"","token_ids":[10813],"finish_reason":null,"logprobs":{
        "tokens":[""],"token_logprobs":[-0.5],"top_logprobs":[{"":-0.5}]}}]}"#;
    let whole = r#"{"choices":[{"index":0,"text":"🦀","token_ids":[116,218],"finish_reason":null,"logprobs":{
        "tokens":["","🦀"],"token_logprobs":[-0.25,-1.5],"top_logprobs":[{"":-0.25},{"🦀":-1.5}]}}]}"#;
    let cut = r#"{"choices":[{"index":0,"text":"","token_ids":[23274],"finish_reason":"length","logprobs":{
        "tokens":[""],"token_logprobs":[-2.5],"top_logprobs":[{"":-2.5}]}}]}"#;
    let (deltas, _) = read(Some(1), &[part, whole, cut]);
    let entries: Vec<_> = deltas.iter().flat_map(|delta| &delta.logprobs).collect();
    assert_eq!(entries.iter().map(|entry| entry.logprob).collect::<Vec<_>>(), [-0.5, -0.25, -1.5]);
    let spelled: Vec<u8> = entries.iter().flat_map(|entry| entry.bytes.clone()).collect();
    assert_eq!(spelled, "🦀".as_bytes());
    assert!(entries.iter().all(|entry| entry.top.len() == 1));
}

#[test]
fn an_engine_that_breaks_is_lost() {
    let error = r#"{"error":{"message":"EngineCore encountered an issue.","type":"InternalServerError","param":null,"code":500}}"#;
    let abort = r#"{"choices":[{"index":0,"text":"","finish_reason":"abort","token_ids":[]}]}"#;
    for events in [&[FIRST, error][..], &[FIRST, abort], &[FIRST], &[FIRST, "[DONE]"], &[FIRST, "{\"id\":"], &[]] {
        let failed = read(None, events).1.unwrap_err();
        assert_eq!((failed.code(), failed.retryable), (ErrorCode::ReplicaLost, true), "{events:?}");
    }
    let failed = r#"{"choices":[{"index":0,"text":"","finish_reason":"error","token_ids":[]}]}"#;
    assert_eq!(read(None, &[failed]).1.unwrap_err().code(), ErrorCode::EngineFailed);
}
