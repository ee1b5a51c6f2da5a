//! Models and their names.

use super::*;

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
