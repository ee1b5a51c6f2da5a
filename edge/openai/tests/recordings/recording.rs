//! Recorded exchanges, read from the folder beside the project.

use std::path::PathBuf;

use cloudach_openai::Head;
use serde_json::Value;

/// Its chunks have `usage` now before, now behind `choices`; all others have it behind.
const TWO_ORDERS: &str = "187-chat-stream-usage-ptools";

/// One request and what came back.
pub(crate) struct Recording {
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) request: Value,
    pub(crate) response: Value,
    pub(crate) keeps_order: bool,
}

/// Where the recordings lie, if they do.
pub(crate) fn folder() -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/openai-recorded");
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(std::env::var_os("CI").is_none(), "no recordings in {}", folder.display());
    println!("skipped: no recordings in {}", folder.display());
    None
}

/// All that are beyond doubt, in the order of their names.
pub(crate) fn recordings() -> Option<Vec<Recording>> {
    let entries = std::fs::read_dir(folder()?).unwrap();
    let mut names: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    names.sort();
    let mut recordings = Vec::new();
    for path in names.iter().filter(|path| path.extension().is_some_and(|extension| extension == "json")) {
        let mut file: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        if file.get("response").is_none() || file["authenticity"] == "doubtful" {
            continue;
        }
        recordings.push(Recording {
            name: file["id"].as_str().unwrap().to_owned(),
            path: file["request"]["path"].as_str().unwrap().to_owned(),
            keeps_order: file.get("notes").is_none()
                && !is_sorted(&file["response"]["body"])
                && file["id"] != TWO_ORDERS,
            request: file["request"]["body"].take(),
            response: file["response"].take(),
        });
    }
    Some(recordings)
}

/// Whether a recorder wrote the body anew, by its key order.
fn is_sorted(body: &Value) -> bool {
    body.as_object().is_some_and(|body| body.keys().is_sorted())
}

impl Recording {
    pub(crate) fn succeeded(&self) -> bool {
        self.response["status"] == 200
    }

    pub(crate) fn body(&self) -> Vec<u8> {
        self.request.to_string().into_bytes()
    }

    /// The recorded chunks, without `[DONE]`.
    pub(crate) fn chunks(&self) -> Option<Vec<Value>> {
        let mut events: Vec<&str> = self.response["sse_events"].as_array()?.iter().filter_map(Value::as_str).collect();
        assert_eq!(events.pop(), Some("data: [DONE]"), "{}", self.name);
        Some(
            events
                .into_iter()
                .map(|event| serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap())
                .collect(),
        )
    }

    pub(crate) fn head(&self, answer: &Value) -> Head {
        Head {
            id: answer["id"].as_str().unwrap().into(),
            created: answer["created"].as_u64().unwrap(),
            model: answer["model"].as_str().unwrap().into(),
            seed: 1,
        }
    }
}
