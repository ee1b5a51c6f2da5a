//! An answer that takes another turn: the text is watched for the place, and the generation goes on from there under a
//! constraint that it was not held to before. This is how reasoning stays free where the answer is not, and how calls
//! that a model makes on its own accord keep to strict schemas, with any engine and any notation of calls.

use std::sync::Arc;

use cloudach_model::reading::{Event, OutputReader, Reader};
use cloudach_proto::v1::{GenerateRequest, prompt};
use tokio::time::Instant;

use crate::reading::At;

/// What follows the turn of any choice of a request.
#[derive(Debug)]
pub struct Continuation {
    pub at: At,
    /// The generation from the prompt on, as of the first choice.
    pub request: GenerateRequest,
    /// When that generation had all its time.
    pub begun: Instant,
    /// Reads what follows.
    pub reader: Reader,
}

impl Continuation {
    /// The generation of a choice that goes on from what it has `written` until `now`; none when it has used up its tokens. Its
    /// seed is that of the choice, and not moved on by its tokens: how many they are may depend on how they came.
    pub fn from(&self, choice: u32, written: &str, tokens: u64, now: Instant) -> Option<GenerateRequest> {
        let mut request = self.request.clone();
        let sampling = request.sampling.get_or_insert_default();
        let tokens = u32::try_from(tokens).unwrap_or(u32::MAX);
        if let Some(most) = &mut sampling.max_tokens {
            *most = most.saturating_sub(tokens);
            if *most == 0 {
                return None;
            }
        }
        if let Some(least) = &mut sampling.min_tokens {
            *least = least.saturating_sub(tokens);
        }
        let context = request.context.get_or_insert_default();
        if context.timeout_ms > 0 {
            let gone = now.saturating_duration_since(self.begun);
            let gone = u64::try_from(gone.as_millis()).unwrap_or(u64::MAX);
            // 0 would be none at all.
            context.timeout_ms = context.timeout_ms.saturating_sub(gone).max(1);
        }
        // As the first generation of each choice has it.
        sampling.seed = sampling.seed.map(|seed| seed.wrapping_add(i64::from(choice)));
        request.request_id = format!("{}-turn-{choice}", request.request_id);
        if let Some(prompt::Prompt::Text(prompt)) = request.prompt.as_mut().and_then(|prompt| prompt.prompt.as_mut()) {
            prompt.text.push_str(written);
        }
        Some(request)
    }
}

/// Watches one choice.
#[derive(Debug)]
pub struct Watch {
    continuation: Arc<Continuation>,
    /// All that the engine has written.
    written: String,
    /// Tokens that it was written in.
    tokens: u64,
    /// How much of it a prompt may go on from: nothing before it is half told.
    rest: Rest,
}

/// A place in what was written.
#[derive(Debug, Clone, Copy, Default)]
struct Rest {
    bytes: usize,
    /// Tokens before it. Where the engine told several together, their share by bytes.
    tokens: u64,
}

/// What reading a piece of text shows.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    turn: bool,
    /// A call was complete, and nothing was told after it.
    call_ended: bool,
}

impl Watch {
    pub fn new(continuation: Arc<Continuation>) -> Self {
        Self { continuation, written: String::new(), tokens: 0, rest: Rest::default() }
    }

    /// Takes text that `reader` is to read next, with how many tokens it has. When the turn is in it: the text before it,
    /// which is still to be read, and nothing else.
    pub fn look<'t>(&mut self, reader: &OutputReader, text: &'t str, tokens: u64) -> Option<&'t str> {
        let mut ahead = reader.clone();
        let seen = self.read(&mut ahead, text);
        if !seen.turn {
            self.written.push_str(text);
            self.tokens += tokens;
            self.note(&ahead, seen, self.tokens);
            return None;
        }
        let (before, mut reader) = (self.written.len(), reader.clone());
        for (begin, sign) in text.char_indices() {
            let end = begin + sign.len_utf8();
            let seen = self.read(&mut reader, &text[begin..end]);
            if seen.turn {
                break;
            }
            self.written.push_str(&text[begin..end]);
            self.note(&reader, seen, self.tokens + tokens * end as u64 / text.len() as u64);
        }
        Some(&text[..self.rest.bytes.saturating_sub(before)])
    }

    /// Tokens behind so many come again. Gives how many of those that it has seen stay.
    pub fn goes_on_behind(&mut self, kept: u64) -> u64 {
        self.tokens = self.tokens.min(kept);
        self.rest.tokens = self.rest.tokens.min(kept);
        self.tokens
    }

    /// Whether the turn is where the engine has ended.
    pub fn look_at_end(&mut self, reader: &OutputReader) -> bool {
        let mut ahead = reader.clone();
        let mut turn = false;
        ahead.finish(&mut |event| turn |= self.is_turn(event));
        if !turn && matches!(self.continuation.at, At::Answer) {
            // An answer must come, also from a model that has nothing to say when it has thought.
            self.rest = Rest { bytes: self.written.len(), tokens: self.tokens };
            return true;
        }
        turn
    }

    /// Ends the watch: what follows, what was written before it, and in how many tokens. What was written after it is
    /// thrown away, and takes nothing from what the client allowed.
    pub fn turn(mut self) -> (Arc<Continuation>, String, u64) {
        self.written.truncate(self.rest.bytes);
        (self.continuation, self.written, self.rest.tokens)
    }

    fn read(&self, reader: &mut OutputReader, text: &str) -> Seen {
        let mut seen = Seen::default();
        reader.push(text, &mut |event| {
            seen.turn |= self.is_turn(event);
            seen.call_ended = event == Event::CallEnd;
        });
        seen
    }

    fn note(&mut self, reader: &OutputReader, seen: Seen, tokens: u64) {
        if seen.call_ended || reader.rests() {
            self.rest = Rest { bytes: self.written.len(), tokens };
        }
    }

    fn is_turn(&self, event: Event<'_>) -> bool {
        match (&self.continuation.at, event) {
            (At::Answer, Event::Text(_) | Event::CallBegin { .. }) => true,
            (At::Calls(strict), Event::CallBegin { name }) => strict.iter().any(|function| function == name),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cloudach_model::reading::Reader;
    use cloudach_proto::v1::{RequestContext, Sampling};

    use super::*;

    #[test]
    fn what_was_allowed_is_allowed_once() {
        let sampling = Sampling { max_tokens: Some(100), min_tokens: Some(50), seed: Some(7), ..Sampling::default() };
        let context = RequestContext { timeout_ms: 5000, ..RequestContext::default() };
        let request =
            GenerateRequest { sampling: Some(sampling), context: Some(context), ..GenerateRequest::default() };
        let begun = Instant::now();
        let continuation = Continuation { at: At::Answer, request, begun, reader: Reader::Plain };
        for (tokens, gone, expected) in [
            (0, 0, Some((100, 50, 5000))),
            (30, 1500, Some((70, 20, 3500))),
            (60, 6000, Some((40, 0, 1))),
            (100, 0, None),
            (u64::MAX, 0, None),
        ] {
            let request = continuation.from(2, "", tokens, begun + Duration::from_millis(gone));
            let seen = request.map(|request| {
                let sampling = request.sampling.unwrap_or_default();
                assert_eq!(sampling.seed, Some(9), "the choice's own");
                let [most, least] = [sampling.max_tokens, sampling.min_tokens].map(Option::unwrap_or_default);
                (most, least, request.context.unwrap_or_default().timeout_ms)
            });
            assert_eq!(seen, expected, "after {tokens} tokens and {gone} ms");
        }
    }

    /// The token that comes again takes nothing twice from what the client allowed.
    #[test]
    fn tokens_that_come_again_are_counted_once() {
        let (request, begun) = (GenerateRequest::default(), Instant::now());
        let continuation = Continuation { at: At::Answer, request, begun, reader: Reader::Plain };
        let mut watch = Watch::new(Arc::new(continuation));
        (watch.tokens, watch.rest) = (10, Rest { bytes: 0, tokens: 9 });
        for (kept, stay) in [(20, 10), (8, 8), (0, 0), (3, 0)] {
            assert_eq!((watch.goes_on_behind(kept), watch.rest.tokens), (stay, stay.min(9)), "behind {kept}");
        }
    }
}
