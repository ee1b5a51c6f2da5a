//! What one request's reader has not taken yet: short, because deltas merge, and bounded in bytes.

use std::collections::VecDeque;

use crate::v1::{ErrorCode, Failed, GenerateEvent, generate_event::Event};

/// From this many waiting events on, deltas merge into the last one: a reader this far behind gains nothing from
/// the finer grain.
const MERGE_FROM: usize = 16;

/// A reader that is this many bytes behind is given up. More than the longest answers of today's models.
const BACKLOG_BYTES: usize = 4 * 1024 * 1024;

/// Events that wait for their reader.
#[derive(Debug, Default)]
pub struct Backlog {
    events: VecDeque<GenerateEvent>,
    bytes: usize,
    ended: bool,
}

impl Backlog {
    /// Takes an event. False: the reader is too far behind, the request has been failed and should be cancelled.
    #[must_use]
    pub fn push(&mut self, event: GenerateEvent) -> bool {
        if self.ended {
            return true;
        }
        self.ended = event.is_last();
        self.bytes += waiting(&event);
        if self.bytes > BACKLOG_BYTES && !self.ended {
            self.give_up();
            return false;
        }
        if self.events.is_empty() {
            // Mostly it is taken before another one comes.
            self.events = VecDeque::with_capacity(1);
            self.events.push_back(event);
        } else if self.events.len() < MERGE_FROM {
            self.events.push_back(event);
        } else if let Some(last) = self.events.back_mut()
            && let Some(separate) = last.merge(event)
        {
            self.events.push_back(separate);
        }
        true
    }

    /// The next event, oldest first.
    pub fn pop(&mut self) -> Option<GenerateEvent> {
        let event = self.events.pop_front()?;
        if self.events.is_empty() {
            self.bytes = 0;
            // An idle stream keeps nothing.
            self.events = VecDeque::new();
        } else {
            self.bytes = self.bytes.saturating_sub(waiting(&event));
        }
        Some(event)
    }

    /// How many events wait.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    fn give_up(&mut self) {
        self.ended = true;
        self.events.clear();
        let failed = Failed::new(ErrorCode::SlowReader, "the client read too slowly and its answer was given up");
        self.events.push_back(failed.into());
        self.bytes = 0;
    }
}

/// What an event adds to a reader's arrears. A start comes once, however much of the prompt it tells: no reader is
/// behind for its sake.
fn waiting(event: &GenerateEvent) -> usize {
    match event.event {
        Some(Event::Started(_)) => 0,
        _ => event.weight(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::{Delta, EchoedPrompt, Finished, Started};

    fn text(text: &str) -> GenerateEvent {
        Delta { text: text.into(), token_ids: vec![1], ..Delta::default() }.into()
    }

    #[test]
    fn deltas_merge_once_many_wait_and_nothing_is_lost() {
        let mut backlog = Backlog::default();
        for word in 0..1000 {
            assert!(backlog.push(text(&format!("{word} "))));
        }
        assert!(backlog.push(Finished::default().into()));
        assert!(backlog.len() <= MERGE_FROM + 1);
        let (mut all, mut tokens) = (String::new(), 0);
        while let Some(event) = backlog.pop() {
            if let Some(Event::Delta(delta)) = event.event {
                all += &delta.text;
                tokens += delta.token_ids.len();
            }
        }
        let expected: String = (0..1000).map(|word| format!("{word} ")).collect();
        assert_eq!((all, tokens), (expected, 1000));
    }

    #[test]
    fn a_reader_too_far_behind_is_given_up_with_one_last_event() {
        let mut backlog = Backlog::default();
        let page = "x".repeat(64 * 1024);
        let mut pushes = 0;
        while backlog.push(text(&page)) {
            pushes += 1;
            assert!(pushes < 1000, "the backlog has no bound");
        }
        assert!(backlog.push(text("ignored")));
        let last = backlog.pop().unwrap();
        assert!(matches!(last.event, Some(Event::Failed(failed)) if failed.code() == ErrorCode::SlowReader));
        assert!(backlog.is_empty());
    }

    #[test]
    fn a_long_echoed_prompt_is_no_arrears() {
        let mut backlog = Backlog::default();
        let prompt = EchoedPrompt { text: "x".repeat(2 * BACKLOG_BYTES), ..EchoedPrompt::default() };
        assert!(backlog.push(Started { prompt: Some(prompt.clone()), ..Started::default() }.into()));
        assert!(backlog.push(text("answer")));
        let Some(Event::Started(started)) = backlog.pop().unwrap().event else { panic!("the start comes first") };
        assert_eq!(started.prompt, Some(prompt));
    }
}
