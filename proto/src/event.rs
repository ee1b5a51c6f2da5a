//! Short ways to write and to read the events of a generation.

use crate::v1::{EchoedPrompt, ErrorCode, Failed, Finished, GenerateEvent, Started, generate_event::Event};

impl Failed {
    /// A failure that repeating the same request elsewhere would not mend.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), ..Self::default() }
    }

    /// A failure of the place, not of the request: elsewhere or later it may succeed.
    pub fn retryable(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { retryable: true, ..Self::new(code, message) }
    }

    /// The kind of failure in one word, for people who count them.
    pub fn kind(&self) -> &'static str {
        self.code().as_str_name().trim_start_matches("ERROR_CODE_")
    }

    /// Whether it is the request's own doing: nothing here has failed.
    pub fn is_the_requests(&self) -> bool {
        matches!(
            self.code(),
            ErrorCode::InvalidRequest
                | ErrorCode::Unsupported
                | ErrorCode::ContextLengthExceeded
                | ErrorCode::ModelNotFound
        )
    }

    /// What operators are told of it. Where it is the request's own doing nothing: its text may quote what the client wrote.
    pub fn for_operators(&self) -> &str {
        if self.is_the_requests() { "" } else { &self.message }
    }

    /// Names the request's parameter that is to blame.
    pub fn with_param(mut self, param: impl Into<String>) -> Self {
        self.param = param.into();
        self
    }
}

impl EchoedPrompt {
    /// About how many bytes it occupies on the wire.
    pub fn weight(&self) -> usize {
        const FIELDS: usize = 16;
        let piece = |token: &str, bytes: &[u8]| FIELDS + token.len() + bytes.len();
        let entries = self.logprobs.iter().map(|entry| {
            let top: usize = entry.top.iter().map(|top| piece(&top.token, &top.bytes)).sum();
            piece(&entry.token, &entry.bytes) + top
        });
        self.text.len() + entries.sum::<usize>()
    }
}

impl From<Failed> for GenerateEvent {
    fn from(failed: Failed) -> Self {
        Self { event: Some(Event::Failed(failed)) }
    }
}

impl From<Started> for GenerateEvent {
    fn from(started: Started) -> Self {
        Self { event: Some(Event::Started(started)) }
    }
}

impl From<crate::v1::Delta> for GenerateEvent {
    fn from(delta: crate::v1::Delta) -> Self {
        Self { event: Some(Event::Delta(delta)) }
    }
}

impl From<Finished> for GenerateEvent {
    fn from(finished: Finished) -> Self {
        Self { event: Some(Event::Finished(finished)) }
    }
}

impl GenerateEvent {
    /// Whether nothing may follow this event.
    pub fn is_last(&self) -> bool {
        matches!(self.event, Some(Event::Finished(_) | Event::Failed(_)))
    }

    /// About how many bytes this event occupies while it waits.
    pub fn weight(&self) -> usize {
        const EMPTY: usize = 64;
        EMPTY
            + match &self.event {
                Some(Event::Delta(delta)) => {
                    delta.text.len()
                        + delta.token_ids.len() * size_of::<u32>()
                        + delta.logprobs.iter().map(|entry| EMPTY * (1 + entry.top.len())).sum::<usize>()
                }
                Some(Event::Failed(failed)) => failed.message.len(),
                Some(Event::Started(Started { prompt: Some(prompt), .. })) => prompt.weight(),
                _ => 0,
            }
    }

    /// Appends `next` to this event when both are deltas; else gives it back.
    pub fn merge(&mut self, next: GenerateEvent) -> Option<GenerateEvent> {
        match (&mut self.event, next.event) {
            (Some(Event::Delta(held)), Some(Event::Delta(more))) => {
                held.token_ids.extend(more.token_ids);
                held.text.push_str(&more.text);
                held.logprobs.extend(more.logprobs);
                held.prompt_tokens = held.prompt_tokens.max(more.prompt_tokens);
                None
            }
            (_, event) => Some(GenerateEvent { event }),
        }
    }
}
