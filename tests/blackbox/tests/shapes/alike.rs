//! The same answer streamed and whole, whatever the engine does, with the same usage.

use super::*;

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

    let request =
        with(streamed(completion("count me [[tokens=5]]")), json!({ "stream_options": { "include_usage": true } }));
    let mut chunks = fleet.client().stream(COMPLETIONS, &request).chunks();
    let last = chunks.pop().unwrap();
    assert_eq!(last["choices"], json!([]));
    assert_eq!(keys(&last["usage"]), ["prompt_tokens", "completion_tokens", "total_tokens"]);
    assert!(chunks.iter().all(|chunk| keys(chunk).contains(&"usage") && chunk["usage"].is_null()));
    let whole = fleet.client().post(COMPLETIONS, &completion("count me [[tokens=5]]")).json();
    assert_eq!(last["usage"], whole["usage"]);
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
