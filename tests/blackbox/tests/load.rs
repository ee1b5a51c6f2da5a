//! Many at once: every text right, nobody held up by somebody who does not read, and what it takes in memory.

use std::io::Write;
use std::time::{Duration, Instant};

use cloudach_blackbox::{Events, Fleet, Plan, Service, chat, chat_text, eventually, with};
use cloudach_fake_engine::Script;
use serde_json::json;

const CHAT: &str = "/v1/chat/completions";

#[test]
fn five_hundred_streams_at_once_have_the_texts_of_whole_answers() {
    const COUNT: usize = 500;
    let fleet = Fleet::start(Plan::of([Script::vllm(), Script::vllm()]));
    let client = fleet.client();
    let request = |number: usize| chat(&format!("number {number} [[tokens=50]][[delay=5ms]]"));
    let wholes: Vec<_> = (0..COUNT).map(|number| client.send(CHAT, &request(number))).collect();
    let streams: Vec<_> =
        (0..COUNT).map(|number| client.send(CHAT, &with(request(number), json!({ "stream": true })))).collect();
    let mut texts = Vec::new();
    for (mut whole, stream) in wholes.into_iter().zip(streams) {
        let whole = whole.answer().unwrap().json();
        let chunks = Events::of(stream.reading().unwrap()).chunks();
        let text = chat_text(&chunks, 0);
        assert_eq!(whole["choices"][0]["message"]["content"], text);
        assert_eq!(text.split_whitespace().count(), 50);
        texts.push(text);
    }
    texts.sort_unstable();
    texts.dedup();
    assert_eq!(texts.len(), COUNT, "no answer went to two clients");
    assert_eq!(fleet.running(), 0);
}

#[test]
fn a_client_that_reads_nothing_is_cut_off_and_holds_up_nobody() {
    let fleet = Fleet::start(Plan {
        edge: json!({ "limits": { "stall_time": "1s" } }),
        ..Plan::of([Script { max_model_len: 10_000_000, ..Script::vllm() }])
    });
    let client = fleet.client();
    // Large events: the kernel's buffers between a writer and a reader who does not read hold megabytes.
    let large = json!({ "stream": true, "logprobs": true, "top_logprobs": 20 });
    let mut stalled = client.connect();
    stalled.shrink_window(4096).unwrap();
    stalled.send(&client.posting(CHAT, &with(chat("[[tokens=1000000]][[delay=1ms]]"), large))).unwrap();
    eventually(Duration::from_secs(5), "it runs", || fleet.running() == 1);
    let stuck = Instant::now();
    let mut slowest = Duration::ZERO;
    while fleet.running() > 0 {
        assert!(stuck.elapsed() < Duration::from_secs(15), "who reads nothing is cut off");
        let begun = Instant::now();
        let stream = client.stream(CHAT, &with(chat("[[tokens=5]]"), json!({ "stream": true })));
        assert_eq!(chat_text(&stream.chunks(), 0).split_whitespace().count(), 5);
        slowest = slowest.max(begun.elapsed());
    }
    assert!(slowest < Duration::from_secs(2), "others were held up for {slowest:?}");
    show(&format!(
        "a client that read nothing was cut off after {:?}; the slowest other took {slowest:?}",
        stuck.elapsed()
    ));
}

/// What each service may hold for an idle stream, in KiB: a third more than it does.
const MOST_KIB: [(&str, f64); 3] = [("edge0", 4.7), ("router0", 1.5), ("sidecar0", 3.7)];

#[test]
fn a_thousand_idle_streams_hold_no_more_memory_than_they_did() {
    /// What is touched once, and what the allocator takes ahead, is there before it is looked.
    const FIRST: usize = 200;
    const COUNT: usize = 1000;
    let fleet = Fleet::start(Plan::default());
    let client = fleet.client();
    assert_eq!(client.post(CHAT, &chat("warm up")).head.status, 200);
    let request = with(chat("[[tokens=10]][[delay=120s]]"), json!({ "stream": true }));
    let open = |count| {
        let open = |_| Events::of(client.send(CHAT, &request).reading().unwrap());
        let mut streams: Vec<_> = (0..count).map(open).collect();
        for stream in &mut streams {
            stream.chunk();
            stream.chunk();
        }
        streams
    };
    let first = open(FIRST);
    let before: Vec<_> = fleet.services().map(Service::resident_kib).collect();
    let streams = open(COUNT);
    assert_eq!(fleet.running(), FIRST + COUNT);
    for (service, before) in fleet.services().zip(before) {
        let after = service.resident_kib();
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let each = after.saturating_sub(before) as f64 / COUNT as f64;
        show(&format!(
            "{}: {before} KiB with {FIRST} idle streams, {after} KiB with {COUNT} more, {each:.1} KiB each",
            service.name
        ));
        let most = MOST_KIB.iter().find(|(name, _)| *name == service.name).unwrap().1;
        assert!(each < most, "an idle stream takes {each} KiB of {}, and {most} at the most", service.name);
    }
    drop((first, streams));
    eventually(Duration::from_secs(3), "all are cancelled", || fleet.running() == 0);
}

/// Shown also when the test passes.
fn show(line: &str) {
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    // Unlike `eprintln!`, not captured.
    let mut shown = std::io::stderr().lock();
    writeln!(shown, "[{profile}] {line}").expect("standard error takes it");
}
