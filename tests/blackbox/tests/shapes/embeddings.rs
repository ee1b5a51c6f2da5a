//! Embeddings as numbers and as base64.

use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

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

fn vectors(answer: &Value) -> Vec<Value> {
    answer["data"]
        .as_array()
        .unwrap_or_else(|| panic!("{answer}"))
        .iter()
        .map(|entry| entry["embedding"].clone())
        .collect()
}
