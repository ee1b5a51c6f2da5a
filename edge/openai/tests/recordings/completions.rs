//! Recorded text completions, written by us.

use cloudach_openai::{Piece, Usage, completions};

use crate::alike::{assert_alike, assert_streams_alike};
use crate::parts::{reason_of, usage_of};
use crate::recording::recordings;

#[test]
fn completions_have_the_recorded_form() {
    let Some(recordings) = recordings() else { return };
    let (mut streamed, mut whole) = (0, 0);
    for recording in recordings.iter().filter(|recording| recording.path == "/v1/completions" && recording.succeeded())
    {
        let request = completions::parse(&recording.body()).unwrap();
        let answers = recording.chunks().unwrap_or_else(|| vec![recording.response["body"].clone()]);
        let mut reply = completions::Reply::new(&recording.head(&answers[0]), &request);
        let mut out = Vec::new();
        let mut usage = Usage::default();
        for answer in &answers {
            usage = answer.get("usage").and_then(usage_of).unwrap_or(usage);
            for choice in answer["choices"].as_array().unwrap() {
                let index = u32::try_from(choice["index"].as_u64().unwrap()).unwrap();
                reply.push(index, &Piece { text: choice["text"].as_str().unwrap(), logprobs: &[] }, &mut out);
                if let Some(reason) = reason_of(choice) {
                    reply.finish_choice(index, reason, &mut out);
                }
            }
        }
        reply.close(&usage, &mut out);
        if request.stream.is_some() {
            assert_streams_alike(recording, &out, answers);
            streamed += 1;
        } else {
            assert_alike(&serde_json::from_slice(&out).unwrap(), &answers[0], recording.keeps_order, &recording.name);
            whole += 1;
        }
    }
    println!("{streamed} streamed and {whole} whole completions alike");
    assert!(streamed >= 4 && whole >= 8);
}
