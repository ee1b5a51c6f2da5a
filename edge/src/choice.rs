//! One choice of an answer: what an engine generates for it, on its way through the reading step to the reply.

use std::sync::Arc;

use cloudach_model::reading::{Event, HeldTokens, Reader};
use cloudach_openai::{CallPiece, FinishReason, Piece, TokenLogprob, TopLogprob, ids};
use cloudach_proto::{
    together::Key,
    v1::{self, Delta, EchoedPrompt},
};

use crate::{
    http::arrival,
    reply::Reply,
    trail::Trail,
    turn::{Continuation, Watch},
    usage::Meter,
};

/// Where what is read goes.
pub struct Sink<'a, R> {
    pub reply: &'a mut R,
    pub meter: &'a mut Meter,
    pub out: &'a mut Vec<u8>,
}

/// One choice that is being generated.
#[derive(Debug)]
pub struct Choice {
    number: u32,
    reader: Reader,
    /// Looks for the place where it takes another turn.
    watch: Option<Box<Watch>>,
    /// Tokens whose text the reader holds.
    tokens: HeldTokens<TokenLogprob>,
    /// Tokens of which the reader has not told yet whether they are the answer's.
    trail: Trail,
    /// The engine has told the prompt: another replica that takes over tells it again.
    prompted: bool,
    /// Has come and waits to be read together with what follows.
    gathered: Option<Box<Gathered>>,
    /// Which of the answer's generations runs for it.
    generation: Key,
    /// The engine has said something of it.
    heard_of: bool,
    stage: Stage,
}

#[derive(Debug, Default)]
struct Gathered {
    text: String,
    logprobs: Vec<TokenLogprob>,
    tokens: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    /// It takes another turn from here.
    Turning,
    /// A stop string was met; the engine was told of it too, so that its end is to follow.
    Stopped,
    Finished,
}

impl Choice {
    /// A choice that comes from this generation.
    pub fn new(number: u32, reader: Reader, turn: Option<&Arc<Continuation>>, generation: Key) -> Self {
        Self {
            number,
            reader,
            watch: turn.cloned().map(|turn| Watch::new(turn).into()),
            tokens: HeldTokens::new(),
            trail: Trail::default(),
            prompted: false,
            gathered: None,
            generation,
            heard_of: false,
            stage: Stage::Open,
        }
    }

    /// Its place in the answer.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The generation that it comes from.
    pub fn generation(&self) -> Key {
        self.generation
    }

    /// Whether it takes another turn from here.
    pub fn turns(&self) -> bool {
        self.stage == Stage::Turning
    }

    /// Its generation is to end where it turns: what follows, what was written before it, and in how many tokens.
    pub fn turn(&mut self) -> Option<(Arc<Continuation>, String, u64)> {
        let (continuation, written, tokens) = (*self.watch.take()?).turn();
        self.reader = continuation.reader.clone();
        (self.tokens, self.trail) = (HeldTokens::new(), Trail::default());
        self.stage = Stage::Open;
        Some((continuation, written, tokens))
    }

    /// This generation follows the turn.
    pub fn go_on(&mut self, generation: Key) {
        self.generation = generation;
    }

    /// The engine has said something of it.
    pub fn hear(&mut self) {
        self.heard_of = true;
    }

    /// Whether the engine has said something of it.
    pub fn is_heard_of(&self) -> bool {
        self.heard_of
    }

    /// Whether more of its text will be shown.
    pub fn is_open(&self) -> bool {
        self.stage == Stage::Open
    }

    /// Whether its end is told.
    pub fn is_finished(&self) -> bool {
        self.stage == Stage::Finished
    }

    /// Text that has come and was not read.
    pub fn gathered(&self) -> &str {
        self.gathered.as_ref().map_or("", |gathered| &gathered.text)
    }

    /// Whether the engine is held to write calls.
    pub fn reads_calls(&self) -> bool {
        matches!(self.reader, Reader::Calls(_))
    }

    /// Takes the prompt as the engine reads it.
    pub fn prompt(&mut self, prompt: EchoedPrompt, sink: &mut Sink<'_, impl Reply>) {
        if !std::mem::replace(&mut self.prompted, true) {
            let logprobs: Vec<_> = prompt.logprobs.into_iter().map(logprob).collect();
            sink.reply.prompt(self.number, &prompt.text, &logprobs, sink.out);
        }
    }

    /// Its generation goes on elsewhere, behind so many of its tokens: what followed them showed nothing, and comes again.
    pub fn goes_on_behind(&mut self, kept: u64) {
        let Some(watch) = &mut self.watch else { return };
        let read = watch.goes_on_behind(kept);
        if let Some(gathered) = &mut self.gathered {
            gathered.tokens = gathered.tokens.min(kept - read);
        }
    }

    /// Takes what was generated; it is read with the next [`Choice::read_gathered`].
    pub fn gather(&mut self, delta: Delta) {
        let gathered = self.gathered.get_or_insert_default();
        gathered.text.push_str(&delta.text);
        gathered.tokens += delta.token_ids.len() as u64;
        gathered.logprobs.extend(delta.logprobs.into_iter().map(logprob));
    }

    /// Reads what was gathered.
    pub fn read_gathered(&mut self, sink: &mut Sink<'_, impl Reply>) {
        let Some(mut gathered) = self.gathered.take() else { return };
        let Gathered { text, logprobs, tokens } = &mut *gathered;
        if !text.is_empty() || !logprobs.is_empty() {
            self.read_text(text, std::mem::take(tokens), std::mem::take(logprobs), sink);
        }
        // Its memory serves again.
        text.clear();
        self.gathered = Some(gathered);
    }

    /// Reads what was generated.
    pub fn read(&mut self, delta: Delta, sink: &mut Sink<'_, impl Reply>) {
        let logprobs = delta.logprobs.into_iter().map(logprob).collect();
        self.read_text(&delta.text, delta.token_ids.len() as u64, logprobs, sink);
    }

    /// The generation that is to be ended, where the engine still generates what nobody will see.
    pub fn cut_off_if_stopped(&mut self, sink: &mut Sink<'_, impl Reply>) -> Option<Key> {
        if self.stage != Stage::Stopped {
            return None;
        }
        self.finish(FinishReason::Stop, sink);
        Some(self.generation)
    }

    /// The engine has ended of itself. Whether that is where it takes another turn.
    pub fn turns_at_end(&mut self, sink: &mut Sink<'_, impl Reply>) -> bool {
        self.read_gathered(sink);
        if let (Stage::Open, Reader::Output(reader), Some(watch)) = (self.stage, &self.reader, &mut self.watch)
            && watch.look_at_end(reader)
        {
            self.stage = Stage::Turning;
        }
        self.turns()
    }

    /// The engine has ended.
    pub fn finish(&mut self, reason: FinishReason, sink: &mut Sink<'_, impl Reply>) {
        self.read_gathered(sink);
        let Self { number, reader, tokens, trail, stage, .. } = self;
        let reason = if *stage == Stage::Stopped { FinishReason::Stop } else { reason };
        if *stage == Stage::Open {
            let mut last = tokens.finish().collect::<Vec<_>>();
            reader.finish(&mut |event| {
                last.extend(follow(trail, event));
                give(*number, event, &mut last, sink);
            });
            if !last.is_empty() {
                sink.reply.push(*number, &Piece { text: "", logprobs: &last }, sink.out);
            }
        }
        *stage = Stage::Finished;
        if let Some(stop) = reader.stop_met() {
            sink.reply.stopped_at(*number, stop);
        }
        sink.meter.choice_ended(*number, reason);
        sink.reply.finish_choice(*number, reason, sink.out);
    }

    fn read_text(&mut self, text: &str, count: u64, mut logprobs: Vec<TokenLogprob>, sink: &mut Sink<'_, impl Reply>) {
        if self.stage != Stage::Open {
            return;
        }
        let Self { number, reader, watch, tokens, trail, stage, .. } = self;
        match reader {
            Reader::Plain => {
                tokens.push(text.len(), logprobs.drain(..).map(sized));
                // A token that is a part of a character is told with the rest of it.
                if !text.is_empty() {
                    let logprobs: Vec<TokenLogprob> = tokens.release(text.len()).collect();
                    sink.meter.shown(*number, text);
                    sink.meter.said(*number, Event::Text(text));
                    sink.reply.push(*number, &Piece { text, logprobs: &logprobs }, sink.out);
                }
            }
            Reader::Stops(_) => {
                tokens.push(text.len(), logprobs.drain(..).map(sized));
                reader.push(text, &mut |event| {
                    if let Event::Text(text) = event {
                        logprobs = tokens.release(text.len()).collect();
                    }
                    if event == Event::Stopped {
                        *stage = Stage::Stopped;
                    }
                    give(*number, event, &mut logprobs, sink);
                });
            }
            // Log-probabilities of calls are never shown, as at OpenAI.
            Reader::Calls(_) | Reader::Output(_) => {
                let before_turn = match (watch, &*reader) {
                    (Some(watch), Reader::Output(output)) => watch.look(output, text, count),
                    _ => None,
                };
                let text = before_turn.unwrap_or(text);
                trail.push(text, logprobs);
                reader.push(text, &mut |event| {
                    if event == Event::Stopped {
                        *stage = Stage::Stopped;
                    }
                    give(*number, event, &mut follow(trail, event), sink);
                });
                if before_turn.is_some() {
                    *stage = Stage::Turning;
                }
            }
        }
    }
}

/// The tokens that an event shows.
fn follow(trail: &mut Trail, event: Event<'_>) -> Vec<TokenLogprob> {
    match event {
        Event::Text(text) => return trail.take(text),
        // Its tokens are not shown, and those before it are over.
        Event::Reasoning(text) => trail.skip(text),
        Event::CallEnd => trail.forget(),
        Event::CallBegin { .. } | Event::CallArguments(_) | Event::Stopped => {}
    }
    Vec::new()
}

fn give(number: u32, event: Event<'_>, logprobs: &mut Vec<TokenLogprob>, sink: &mut Sink<'_, impl Reply>) {
    sink.meter.said(number, event);
    match event {
        Event::Text(text) => {
            sink.meter.shown(number, text);
            sink.reply.push(number, &Piece { text, logprobs }, sink.out);
            logprobs.clear();
        }
        Event::Reasoning(text) => {
            sink.meter.reasoned(number, text);
            sink.reply.reasoning(number, text, sink.out);
        }
        Event::CallBegin { name } => {
            sink.meter.shown(number, name);
            sink.meter.called(number);
            let id = ids::tool_call(arrival::random());
            sink.reply.call(number, &CallPiece::Begin { id: &id, name }, sink.out);
        }
        Event::CallArguments(text) => {
            sink.meter.shown(number, text);
            sink.reply.call(number, &CallPiece::Arguments(text), sink.out);
        }
        Event::CallEnd | Event::Stopped => {}
    }
}

/// With its number of bytes.
fn sized(token: TokenLogprob) -> (TokenLogprob, usize) {
    let bytes = token.bytes.as_ref().map_or(token.token.len(), Vec::len);
    (token, bytes)
}

/// From the contract's form.
fn logprob(entry: v1::TokenLogprob) -> TokenLogprob {
    let top =
        entry.top.into_iter().map(|top| TopLogprob { bytes: Some(top.bytes), token: top.token, logprob: top.logprob });
    TokenLogprob { top: top.collect(), bytes: Some(entry.bytes), token: entry.token, logprob: entry.logprob }
}
