//! Drives both ends of the session without I/O through random schedules and checks what the rest of the gateway
//! relies on: nothing lost, repeated or mixed up, ids never reused, cancels that arrive, ends that always come.

#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use cloudach_proto::{
    session::{Action, Backlog, Callee, Caller, Delivery, MESSAGE_BYTES, PIECE_BYTES, ProtocolError, Refused},
    v1::{
        Cancel, Delta, DownEvent, EchoedPrompt, ErrorCode, Failed, Finished, GenerateEvent, GenerateRequest, Prompt,
        PromptText, SessionDown, SessionUp, Started, UpFrame, generate_event::Event, prompt, up_frame::Frame,
    },
};
use proptest::prelude::*;
use prost::Message;

/// One step of a schedule. Indexes are taken modulo what exists.
#[derive(Debug, Clone)]
enum Step {
    Open {
        prompt_bytes: usize,
    },
    Cancel(usize),
    /// The engine makes so many tokens for a running request.
    Generate(usize, u8),
    Finish(usize),
    /// The generation's stream ends without saying how.
    Vanish(usize),
    CallerSends,
    CalleeSends,
    /// What nobody looks at before its end was held for long enough.
    Release,
    /// A message arrives.
    Up,
    Down,
    Drain,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let any = 0..1000usize;
    let step = prop_oneof![
        4 => prop_oneof![Just(10), Just(PIECE_BYTES * 3 + 7)].prop_map(|prompt_bytes| Step::Open { prompt_bytes }),
        1 => any.clone().prop_map(Step::Cancel),
        8 => (any.clone(), 1..4u8).prop_map(|(index, tokens)| Step::Generate(index, tokens)),
        2 => any.clone().prop_map(Step::Finish),
        1 => any.prop_map(Step::Vanish),
        6 => Just(Step::CallerSends),
        4 => Just(Step::CalleeSends),
        2 => Just(Step::Release),
        6 => Just(Step::Up),
        6 => Just(Step::Down),
    ];
    let drain = prop_oneof![9 => Just(None), 1 => Just(Some(Step::Drain))];
    (prop::collection::vec(step, 1..300), drain, any_index()).prop_map(|(mut steps, drain, at)| {
        if let Some(drain) = drain {
            let at = at % (steps.len() + 1);
            steps.insert(at, drain);
        }
        steps
    })
}

fn any_index() -> impl Strategy<Value = usize> {
    0..1000usize
}

/// Both ends, the wire between them, and what should be true.
#[derive(Default)]
struct World {
    caller: Caller<u64>,
    callee: Callee,
    up: VecDeque<SessionUp>,
    down: VecDeque<SessionDown>,
    /// By request number, which is also the owner on the caller's side.
    requests: BTreeMap<u64, Request>,
    ids: BTreeSet<u64>,
    running: BTreeMap<u64, u64>,
}

#[derive(Default)]
struct Request {
    id: u64,
    prompt: String,
    cancelled: bool,
    generated: String,
    received: String,
    ends: Vec<Event>,
}

impl World {
    fn step(&mut self, step: &Step) {
        match step {
            Step::Open { prompt_bytes } => self.open(*prompt_bytes),
            Step::Cancel(index) => {
                if let Some(number) = pick(&self.requests, *index) {
                    let request = self.requests.get_mut(&number).unwrap();
                    request.cancelled |= request.ends.is_empty();
                    self.caller.cancel(request.id);
                }
            }
            Step::Generate(index, tokens) => {
                if let Some(id) = pick(&self.running, *index) {
                    let request = self.requests.get_mut(&self.running[&id]).unwrap();
                    for token in 0..*tokens {
                        let text = format!("{}.{token} ", request.generated.len());
                        request.generated.push_str(&text);
                        self.callee.push(id, delta(&text)).unwrap();
                    }
                }
            }
            Step::Finish(index) => {
                if let Some(id) = pick(&self.running, *index) {
                    self.callee.push(id, Finished::default().into()).unwrap();
                    self.callee.ended(id).unwrap();
                    self.running.remove(&id);
                }
            }
            Step::Vanish(index) => {
                if let Some(id) = pick(&self.running, *index) {
                    self.callee.ended(id).unwrap();
                    self.running.remove(&id);
                }
            }
            Step::CallerSends => self.up.extend(self.caller.transmit()),
            Step::CalleeSends => self.down.extend(self.callee.transmit()),
            Step::Release => self.callee.release().unwrap(),
            Step::Up => self.arrive_up(),
            Step::Down => self.arrive_down(),
            Step::Drain => self.callee.drain(),
        }
    }

    fn open(&mut self, prompt_bytes: usize) {
        let number = self.requests.len() as u64;
        let prompt = format!("{number} {}", "p".repeat(prompt_bytes));
        let whole = number % 2 == 1;
        match self.caller.open(GenerateRequest { whole, ..request(&prompt) }, number) {
            Ok(id) => {
                assert!(self.ids.insert(id), "id {id} was used twice");
                self.requests.insert(number, Request { id, prompt, ..Request::default() });
            }
            Err(refused) => assert_eq!(refused, Refused::Draining),
        }
    }

    fn arrive_up(&mut self) {
        let Some(message) = self.up.pop_front() else { return };
        assert!(message.encoded_len() < MESSAGE_BYTES + 2 * PIECE_BYTES);
        for action in self.callee.receive(message).unwrap() {
            match action {
                Action::Start(id, started) => {
                    let number = self.requests.iter().find(|(_, request)| request.id == id).map(|(n, _)| *n).unwrap();
                    assert_eq!(prompt_of(&started), self.requests[&number].prompt, "a prompt arrived changed");
                    assert!(self.running.insert(id, number).is_none());
                }
                Action::Stop(id) => {
                    let number = self.running.remove(&id).expect("only what runs is stopped");
                    assert!(self.requests[&number].cancelled, "stopped without being cancelled");
                }
            }
        }
    }

    fn arrive_down(&mut self) {
        let Some(message) = self.down.pop_front() else { return };
        let requests = &mut self.requests;
        self.caller.receive(message, |number, event| {
            let request = requests.get_mut(number).unwrap();
            assert!(!request.cancelled, "an event after the cancel");
            assert!(request.ends.is_empty(), "an event after the last one");
            match event.event.unwrap() {
                Event::Delta(delta) => request.received.push_str(&delta.text),
                Event::Started(_) => {}
                end => request.ends.push(end),
            }
            Delivery::Taken
        });
    }

    /// Lets everything that is on its way arrive, and ends what still runs.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            self.up.extend(self.caller.transmit());
            self.down.extend(self.callee.transmit());
            self.arrive_up();
            self.arrive_down();
            if self.up.is_empty() && self.down.is_empty() && !self.caller.has_outgoing() && !self.callee.has_pending() {
                let Some((&id, _)) = self.running.iter().next() else { return };
                self.callee.push(id, Finished::default().into()).unwrap();
                self.running.remove(&id);
            }
        }
        panic!("the session does not come to rest");
    }
}

fn pick<T>(from: &BTreeMap<u64, T>, index: usize) -> Option<u64> {
    from.keys().nth(index % from.len().max(1)).copied()
}

fn request(text: &str) -> GenerateRequest {
    let text = PromptText { text: text.into(), add_special_tokens: false };
    GenerateRequest { prompt: Some(Prompt { prompt: Some(prompt::Prompt::Text(text)) }), ..GenerateRequest::default() }
}

fn prompt_of(request: &GenerateRequest) -> String {
    match &request.prompt.as_ref().unwrap().prompt {
        Some(prompt::Prompt::Text(text)) => text.text.clone(),
        other => panic!("{other:?}"),
    }
}

fn delta(text: &str) -> GenerateEvent {
    Delta { token_ids: vec![1], text: text.into(), ..Delta::default() }.into()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_request_gets_its_own_text_once_and_one_end(steps in steps()) {
        let mut world = World::default();
        for step in &steps {
            world.step(step);
        }
        world.settle();
        for (number, request) in &world.requests {
            if request.cancelled {
                prop_assert!(request.generated.starts_with(&request.received));
                continue;
            }
            prop_assert_eq!(request.ends.len(), 1, "request {} ended {} times", number, request.ends.len());
            prop_assert_eq!(&request.received, &request.generated, "request {}", number);
        }
        prop_assert_eq!(world.caller.open_requests(), 0);
        prop_assert_eq!(world.callee.open_requests(), 0);
    }

    #[test]
    fn a_broken_session_hands_back_every_open_request(steps in steps()) {
        let mut world = World::default();
        for step in &steps {
            world.step(step);
        }
        let open: BTreeSet<u64> = world.caller.break_off().collect();
        let expected: BTreeSet<u64> = world
            .requests
            .iter()
            .filter(|(_, request)| !request.cancelled && request.ends.is_empty())
            .map(|(number, _)| *number)
            .collect();
        prop_assert_eq!(open, expected);
        prop_assert_eq!(world.caller.open(request("late"), 0), Err(Refused::Broken));
        prop_assert!(world.caller.transmit().is_none());
        world.caller.reconnect();
        let id = world.caller.open(request("after"), 0).unwrap();
        prop_assert!(!world.ids.contains(&id), "id {} was used on the broken stream", id);
    }

    #[test]
    fn no_sequence_of_frames_panics(frames in prop::collection::vec((0..6u64, 0..4u8, any::<bool>()), 0..100)) {
        let mut callee = Callee::default();
        for (id, kind, last) in frames {
            let frame = match kind {
                0 => Some(Frame::Open(Box::default())),
                1 => Some(Frame::Piece(cloudach_proto::v1::Piece { data: vec![7; 9].into(), last })),
                2 => Some(Frame::Cancel(cloudach_proto::v1::Cancel {})),
                _ => None,
            };
            if callee.receive(SessionUp { frames: vec![UpFrame { id, frame }] }).is_err() {
                return Ok(());
            }
        }
    }

    #[test]
    fn a_slow_reader_gets_everything_in_few_events(texts in prop::collection::vec("[a-zé€😀]{0,5}", 0..500)) {
        let mut backlog = Backlog::default();
        for text in &texts {
            prop_assert!(backlog.push(delta(text)));
        }
        prop_assert!(backlog.len() <= 16);
        let mut received = String::new();
        while let Some(event) = backlog.pop() {
            if let Some(Event::Delta(delta)) = event.event {
                received += &delta.text;
            }
        }
        prop_assert_eq!(received, texts.concat());
    }
}

#[test]
fn an_id_is_never_used_twice() {
    let mut callee = Callee::default();
    let open = |id| SessionUp { frames: vec![UpFrame { id, frame: Some(Frame::Open(Box::default())) }] };
    callee.receive(open(2)).unwrap();
    callee.push(2, Finished::default().into()).unwrap();
    for reused in [2, 1, 0] {
        let refused = callee.receive(open(reused)).unwrap_err();
        assert_eq!(refused, ProtocolError::IdNotRising { id: reused, last_id: 2 });
    }
}

#[test]
fn a_long_prompt_delays_a_short_one_by_at_most_one_message() {
    let mut caller = Caller::default();
    caller.open(request(&"x".repeat(PIECE_BYTES * 100)), ()).unwrap();
    let short = caller.open(request("short"), ()).unwrap();
    let first = caller.transmit().unwrap();
    assert!(first.frames.iter().any(|frame| frame.id == short));
    assert_eq!(first.frames.len(), 2, "one piece, then whoever else waits");
}

#[test]
fn a_peer_that_does_not_read_costs_bounded_memory_and_loses_nothing() {
    let mut callee = Callee::default();
    for id in 1..=10 {
        let open = UpFrame { id, frame: Some(Frame::Open(Box::default())) };
        callee.receive(SessionUp { frames: vec![open] }).unwrap();
    }
    for token in 0..100_000u64 {
        callee.push(token % 10 + 1, delta("tok ")).unwrap();
    }
    let mut texts: BTreeMap<u64, String> = BTreeMap::new();
    let mut events = 0;
    while let Some(message) = callee.transmit() {
        assert!(message.encoded_len() < 2 * MESSAGE_BYTES + 100_000);
        for DownEvent { id, event } in message.events {
            events += 1;
            if let Some(Event::Delta(delta)) = event.unwrap().event {
                texts.entry(id).or_default().push_str(&delta.text);
            }
        }
    }
    assert!(events < 20_000, "{events} events were kept");
    assert!(texts.values().all(|text| *text == "tok ".repeat(10_000)));
}

#[test]
fn a_peer_that_never_reads_is_broken_off() {
    let mut callee = Callee::default();
    let open = UpFrame { id: 1, frame: Some(Frame::Open(Box::default())) };
    callee.receive(SessionUp { frames: vec![open] }).unwrap();
    let page = "x".repeat(1024 * 1024);
    let broken = (0..1000).find_map(|_| callee.push(1, delta(&page)).err());
    assert!(matches!(broken, Some(ProtocolError::NotReading(_))));
}

#[test]
fn too_many_echoed_prompts_fail_their_own_request_and_no_other() {
    let mut callee = Callee::default();
    let open = |id| UpFrame { id, frame: Some(Frame::Open(Box::default())) };
    callee.receive(SessionUp { frames: (1..=100).map(open).collect() }).unwrap();
    let prompt = EchoedPrompt { text: "x".repeat(8 << 20), ..EchoedPrompt::default() };
    let echo = || GenerateEvent::from(Started { prompt: Some(prompt.clone()), ..Started::default() });
    let mut stopped = Vec::new();
    for id in 1..=20 {
        if let Some(Action::Stop(id)) = callee.push(id, echo()).unwrap() {
            stopped.push(id);
        }
        callee.push(id, delta("after ")).unwrap();
    }
    assert_eq!(stopped, (9..=20).collect::<Vec<_>>(), "eight have room");
    assert_eq!(callee.open_requests(), 100 - stopped.len());
    // Those with a short prompt, and none at all, go on.
    let short = EchoedPrompt { text: String::new(), ..EchoedPrompt::default() };
    assert!(callee.push(21, Started { prompt: Some(short), ..Started::default() }.into()).unwrap().is_none());
    for id in 21..=100 {
        callee.push(id, delta("after ")).unwrap();
    }

    let (mut echoes, mut texts, mut failed) = (0, BTreeSet::new(), BTreeSet::new());
    while let Some(message) = callee.transmit() {
        for DownEvent { id, event } in message.events {
            match event.unwrap().event.unwrap() {
                Event::Started(started) => echoes += usize::from(started.prompt.is_some_and(|p| p.text == prompt.text)),
                Event::Delta(_) => assert!(texts.insert(id)),
                Event::Failed(why) => {
                    assert_eq!((why.code(), why.retryable), (ErrorCode::Overloaded, true));
                    assert!(failed.insert(id), "one end");
                }
                Event::Finished(_) | Event::Waiting(_) => panic!("nobody said so"),
            }
        }
    }
    assert_eq!((echoes, texts.len()), (8, 100 - stopped.len()));
    assert!(failed.into_iter().eq(stopped));
    // What was sent makes room.
    assert!(callee.push(30, echo()).unwrap().is_none());
}

/// What a message brings of each request: its text, and whether it ended.
fn brought(message: SessionDown) -> Vec<(u64, String, bool)> {
    let mut all: Vec<(u64, String, bool)> = Vec::new();
    for down in message.events {
        let event = down.event.unwrap();
        if all.last().is_none_or(|(id, ..)| *id != down.id) {
            all.push((down.id, String::new(), false));
        }
        let (_, text, ended) = all.last_mut().unwrap();
        *ended |= event.is_last();
        if let Some(Event::Delta(delta)) = event.event {
            text.push_str(&delta.text);
        }
    }
    all
}

#[test]
fn text_that_nobody_looks_at_before_the_end_is_held() {
    let mut callee = Callee::default();
    let open = |id, whole| {
        let request = GenerateRequest { whole, ..GenerateRequest::default() };
        SessionUp { frames: vec![UpFrame { id, frame: Some(Frame::Open(Box::new(request))) }] }
    };
    for (id, whole) in [(1, true), (2, false), (3, true), (4, true)] {
        callee.receive(open(id, whole)).unwrap();
        callee.push(id, delta("a")).unwrap();
    }
    assert!(callee.is_urgent() && !callee.holds());
    let told = |id: u64, text: &str, ended| (id, text.to_owned(), ended);
    let first = brought(callee.transmit().unwrap());
    assert_eq!(first, [1, 2, 3, 4].map(|id| told(id, "a", false)), "the first is waited for");
    for id in [1, 2, 3, 4] {
        callee.push(id, delta("b")).unwrap();
        callee.push(id, delta("c")).unwrap();
    }
    assert!(callee.holds());
    assert_eq!(brought(callee.transmit().unwrap()), [told(2, "bc", false)]);
    assert!(!callee.has_pending());
    // An end takes what is held with it, and who leaves leaves nothing behind.
    callee.push(1, Finished::default().into()).unwrap();
    callee.receive(SessionUp { frames: vec![UpFrame { id: 4, frame: Some(Frame::Cancel(Cancel {})) }] }).unwrap();
    assert!(callee.is_urgent());
    assert_eq!(brought(callee.transmit().unwrap()), [told(1, "bc", true)]);
    callee.release().unwrap();
    assert_eq!(brought(callee.transmit().unwrap()), [told(3, "bc", false)]);
    assert!(!callee.holds() && callee.transmit().is_none());
    for _ in 0..1000 {
        callee.push(3, Delta { token_ids: vec![1], text: "x".to_owned(), ..Delta::default() }.into()).unwrap();
    }
    assert!(callee.has_pending(), "no more is held than so much");
    callee.push(3, Failed::retryable(ErrorCode::Internal, "").into()).unwrap();
    assert_eq!(brought(callee.transmit().unwrap()), [told(3, &"x".repeat(1000), true)]);
}

#[test]
fn a_draining_end_finishes_what_runs_and_what_was_on_its_way() {
    let mut callee = Callee::default();
    let open = |id| SessionUp { frames: vec![UpFrame { id, frame: Some(Frame::Open(Box::default())) }] };
    callee.receive(open(1)).unwrap();
    callee.drain();
    let told = callee.transmit().unwrap();
    assert!(told.draining && !callee.is_drained());
    assert_eq!(callee.receive(open(2)).unwrap().len(), 1);
    for id in [1, 2] {
        assert!(!callee.is_drained());
        callee.push(id, Finished::default().into()).unwrap();
        callee.transmit().unwrap();
    }
    assert!(callee.is_drained());
}

#[test]
fn an_end_that_was_told_to_leave_does_so_when_nothing_is_open() {
    let mut caller = Caller::default();
    let id = caller.open(GenerateRequest::default(), ()).unwrap();
    let down = |events, draining| SessionDown { events, draining };
    caller.receive(down(Vec::new(), true), |(), _| Delivery::Taken);
    assert_eq!(caller.open(GenerateRequest::default(), ()), Err(Refused::Draining));
    caller.transmit().unwrap();
    assert!(!caller.is_drained());
    let last = DownEvent { id, event: Some(Finished::default().into()) };
    caller.receive(down(vec![last], false), |(), _| Delivery::Taken);
    assert!(caller.is_drained());
}
