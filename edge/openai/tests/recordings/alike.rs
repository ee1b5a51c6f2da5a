//! Whether an answer of ours has the form of a recorded one.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::recording::Recording;

/// What our answers may have beyond a recording: fields that older recordings or other models lack.
const OURS_ONLY: &[&str] = &[
    "refusal",
    "annotations",
    "logprobs",
    "service_tier",
    "system_fingerprint",
    "prompt_tokens_details",
    "completion_tokens_details",
    "audio_tokens",
    "accepted_prediction_tokens",
    "rejected_prediction_tokens",
];

/// The same events for every choice and at the end. Choices are compared one by one: how they interleave is free.
pub(crate) fn assert_streams_alike(recording: &Recording, ours: &[u8], theirs: Vec<Value>) {
    let ours = std::str::from_utf8(ours).unwrap().strip_suffix("\n\ndata: [DONE]\n\n").unwrap();
    let ours =
        ours.split("\n\n").map(|event| serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap()).collect();
    let (ours, theirs) = (by_choice(ours), by_choice(theirs));
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>(), "{}", recording.name);
    for (choice, ours) in &ours {
        let theirs = &theirs[choice];
        assert_eq!(ours.len(), theirs.len(), "{}: chunks of choice {choice:?}", recording.name);
        for (ours, theirs) in ours.iter().zip(theirs) {
            assert_alike(ours, theirs, recording.keeps_order, &recording.name);
        }
    }
}

fn by_choice(chunks: Vec<Value>) -> BTreeMap<Option<u64>, Vec<Value>> {
    let mut sorted = BTreeMap::<_, Vec<Value>>::new();
    for chunk in chunks {
        sorted.entry(chunk["choices"][0]["index"].as_u64()).or_default().push(chunk);
    }
    sorted
}

pub(crate) fn assert_alike(ours: &Value, theirs: &Value, keeps_order: bool, place: &str) {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => {
            for key in ours.keys().filter(|key| !theirs.contains_key(*key)) {
                assert!(OURS_ONLY.contains(&key.as_str()), "{place}: {key} is ours only");
            }
            let theirs_only: Vec<_> = theirs.keys().filter(|key| !ours.contains_key(*key)).collect();
            assert!(theirs_only.is_empty(), "{place}: {theirs_only:?} are theirs only");
            if keeps_order {
                let shared_of_ours: Vec<_> = ours.keys().filter(|key| theirs.contains_key(*key)).collect();
                let shared_of_theirs: Vec<_> = theirs.keys().filter(|key| ours.contains_key(*key)).collect();
                assert_eq!(shared_of_ours, shared_of_theirs, "{place}: order");
            }
            for (key, ours) in ours {
                match theirs.get(key) {
                    // A fingerprint names OpenAI's own fleet.
                    Some(theirs) if key == "system_fingerprint" => assert!(theirs.is_string() || theirs.is_null()),
                    // Drawn at random; its length follows from that of the chunk.
                    Some(theirs) if key == "obfuscation" => assert!(theirs.is_string() && ours.is_string()),
                    Some(theirs) => assert_alike(ours, theirs, keeps_order, &format!("{place}.{key}")),
                    None => {}
                }
            }
        }
        (Value::Array(ours), Value::Array(theirs)) => {
            assert_eq!(ours.len(), theirs.len(), "{place}");
            for (index, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
                assert_alike(ours, theirs, keeps_order, &format!("{place}[{index}]"));
            }
        }
        (ours, theirs) => assert_eq!(ours, theirs, "{place}"),
    }
}
