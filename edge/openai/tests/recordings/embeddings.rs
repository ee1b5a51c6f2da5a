//! Recorded vectors, written by us.

use base64::Engine;
use cloudach_openai::embeddings;
use serde_json::Value;

use crate::alike::assert_alike;
use crate::recording::recordings;

#[test]
fn embeddings_have_the_recorded_form() {
    let Some(recordings) = recordings() else { return };
    let mut seen = 0;
    for recording in recordings.iter().filter(|recording| recording.path == "/v1/embeddings" && recording.succeeded()) {
        let request = embeddings::parse(&recording.body()).unwrap();
        let body = &recording.response["body"];
        let vectors: Vec<Vec<f32>> =
            body["data"].as_array().unwrap().iter().map(|entry| vector_of(&entry["embedding"])).collect();
        let tokens = body["usage"]["prompt_tokens"].as_u64().unwrap();
        let model = body["model"].as_str().unwrap();
        let ours = embeddings::body(model, vectors.iter().map(Vec::as_slice), request.encoding, tokens);
        let ours: Value = serde_json::from_slice(&ours).unwrap();
        let (ours, theirs) = (as_floats(ours), as_floats(body.clone()));
        // Some recorders write the index last.
        assert_alike(&ours, &theirs, false, &recording.name);
        seen += 1;
    }
    println!("{seen} embeddings alike");
    assert!(seen >= 15);
}

#[expect(clippy::cast_possible_truncation, reason = "vectors have 32 bits")]
fn vector_of(embedding: &Value) -> Vec<f32> {
    match embedding {
        Value::String(text) => {
            let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
            bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
        }
        numbers => numbers.as_array().unwrap().iter().map(|number| number.as_f64().unwrap() as f32).collect(),
    }
}

/// Numbers as 32-bit floats, whatever digits they were written with.
fn as_floats(mut body: Value) -> Value {
    for entry in body["data"].as_array_mut().unwrap() {
        if entry["embedding"].is_array() {
            entry["embedding"] = vector_of(&entry["embedding"]).into();
        }
    }
    body
}
