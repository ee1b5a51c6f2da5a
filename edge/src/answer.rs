//! An answer on its way: merges the events of its choices and feeds them to the reply, which makes bytes of them.
//! Streamed or whole, this is the one path.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use cloudach_model::reading::Reader;
use cloudach_openai::{FinishReason, Head, Usage};
use cloudach_proto::{
    together::{Key, Together},
    v1::{self, ErrorCode, Failed, GenerateEvent, GenerateRequest, generate_event::Event},
};
use cloudach_service::trace::names::kept;
use futures_util::{FutureExt, Stream, StreamExt, future::BoxFuture};
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};
use tracing::warn;

use crate::{
    choice::{Choice, Sink},
    error::{ApiError, Words},
    fallback::Unanswered,
    metrics::Outcome,
    reading::schema_refused,
    reply::Reply,
    trace,
    turn::Continuation,
    upstream::generating::Generating,
    usage::{Counted, Meter},
};

/// How long an answer to several prompts waits for a word about each of them: what is wrong with one is then told by a
/// status. Those that wait for room in an engine hold the others up no longer.
const FIRST_WORDS_WITHIN: Duration = Duration::from_millis(250);

/// Room that is made for what comes next, in bytes: for one token, padded as at OpenAI, or some without.
const EVENTS: usize = 512;

/// How an answer is made.
#[derive(Debug)]
pub struct Making<R> {
    pub reply: R,
    /// Reads each choice.
    pub reader: Reader,
    /// Text that comes within so much time of the text before it is handed on together. Zero: as it comes.
    pub merge: Duration,
    /// Different choices have different prompts, of which one may be wrong and another not.
    pub several_prompts: bool,
    /// How each choice goes on from where it takes another turn, if it does.
    pub turn: Option<Continuation>,
}

/// One generation of an answer.
struct Part {
    choice: u32,
    events: Generating,
}

impl Stream for Part {
    /// With the choice that it is of.
    type Item = (u32, GenerateEvent);

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let choice = self.choice;
        self.events.poll_next_unpin(context).map(|event| event.map(|event| (choice, event)))
    }
}

/// An answer whose engine has started. Dropping it ends all its generations.
///
/// An edge holds one of these for each open stream, so it is no larger than what most have a use for.
pub struct Answer<R> {
    parts: Together<Part>,
    /// What came before the answer was known to begin.
    first: VecDeque<(u32, GenerateEvent)>,
    opened: bool,
    choices: Vec<Choice>,
    unfinished: usize,
    reply: R,
    merge: Duration,
    /// Until when text is gathered.
    gather_until: Option<Instant>,
    /// The same, where it is waited for.
    gathering: Option<Pin<Box<Sleep>>>,
    /// All of it has come, and is counted.
    counting: Option<BoxFuture<'static, Counted>>,
    meter: Meter,
}

impl<R: Reply> Answer<R> {
    /// Starts all generations and waits for the first word of an engine (of several prompts a little for the first word
    /// about each), so that what is wrong with the request is known before anything is sent.
    ///
    /// # Errors
    /// No router takes them, or the engine's reason.
    pub async fn start(
        generations: impl Iterator<Item = GenerateRequest>,
        making: Making<R>,
        meter: Meter,
    ) -> Result<Self, Unanswered<R>> {
        let mut answer = Self {
            // No larger than need be: most answers have one choice, and wait for long.
            parts: Together::with_capacity(generations.size_hint().0),
            first: VecDeque::new(),
            opened: false,
            choices: Vec::with_capacity(generations.size_hint().0),
            unfinished: 0,
            reply: making.reply,
            merge: making.merge,
            gather_until: None,
            gathering: None,
            counting: None,
            meter,
        };
        let turn = making.turn.map(Arc::new);
        match answer.begin(generations, &making.reader, making.several_prompts, turn.as_ref()).await {
            Ok(()) => Ok(answer),
            Err(error) => Err(Unanswered::new(error, answer)),
        }
    }

    async fn begin(
        &mut self,
        generations: impl Iterator<Item = GenerateRequest>,
        reader: &Reader,
        several_prompts: bool,
        turn: Option<&Arc<Continuation>>,
    ) -> Result<(), ApiError> {
        for (choice, generation) in (0..).zip(generations) {
            let part = self.generate(choice, generation)?;
            self.unfinished += 1;
            self.choices.push(Choice::new(choice, reader.clone(), turn, part));
        }
        self.hear_first_word().await?;
        if several_prompts {
            let until = Instant::now() + FIRST_WORDS_WITHIN;
            while self.choices.iter().any(|choice| !choice.is_heard_of()) {
                match timeout_at(until, self.hear_first_word()).await {
                    Ok(heard) => heard?,
                    Err(_) => break,
                }
            }
        }
        Ok(())
    }

    /// Follows the request.
    pub fn meter(&mut self) -> &mut Meter {
        &mut self.meter
    }

    fn generate(&mut self, choice: u32, generation: GenerateRequest) -> Result<Key, ApiError> {
        let started = Generating::start(self.meter.edge(), self.meter.trace(), generation);
        let events = started.map_err(|error| self.fail(error))?;
        Ok(self.parts.push(Part { choice, events }))
    }

    /// Waits for the next events that make bytes, and appends these to `out`. Events that are ready together are
    /// written together, and so is text that comes within the time for which it is merged. What makes no bytes, as a word that
    /// the request still waits, is taken and waited on. May be dropped and called again with the same `out`.
    ///
    /// # Errors
    /// The engine's reason. Nothing follows.
    pub async fn advance(&mut self, out: &mut Vec<u8>) -> Result<Progress, ApiError> {
        poll_fn(|context| self.poll_advance(context, out)).await
    }

    /// See [`Answer::advance`].
    pub fn poll_advance(&mut self, context: &mut Context<'_>, out: &mut Vec<u8>) -> Poll<Result<Progress, ApiError>> {
        let before = out.len();
        loop {
            if let Some(counting) = &mut self.counting {
                let counted = ready!(counting.poll_unpin(context));
                self.counting = None;
                let usage = self.meter.counted(counted);
                return Poll::Ready(Ok(self.close(&usage, out)));
            }
            let Poll::Ready((choice, event)) = self.poll_event(context) else {
                // What is there already waits for nothing.
                if out.len() > before {
                    return Poll::Ready(Ok(Progress::More));
                }
                let Some(until) = self.gather_until else { return Poll::Pending };
                let gathering = self.gathering.get_or_insert_with(|| Box::pin(sleep_until(until)));
                ready!(gathering.poll_unpin(context));
                self.gathering = None;
                self.show_gathered(out)?;
                // After a silence, text is handed on as it comes.
                self.gather_until = (out.len() > before).then(|| Instant::now() + self.merge);
                continue;
            };
            if out.is_empty() {
                out.reserve(EVENTS);
            }
            if !std::mem::replace(&mut self.opened, true) {
                self.reply.opening(out);
            }
            if let Err(error) = self.take(choice, event, out) {
                self.read_gathered(out);
                return Poll::Ready(Err(error));
            }
            if self.unfinished == 0 {
                if !self.reply.shows_usage() {
                    // What nobody waits for is counted when the answer is on its way.
                    return Poll::Ready(Ok(self.close(&Usage::default(), out)));
                }
                self.counting = Some(self.meter.counting().boxed());
            }
        }
    }

    fn close(&mut self, usage: &Usage, out: &mut Vec<u8>) -> Progress {
        self.reply.close(usage, out);
        self.meter.finish(Outcome::Served);
        Progress::Complete
    }

    /// The time for which text was gathered is over.
    fn show_gathered(&mut self, out: &mut Vec<u8>) -> Result<(), ApiError> {
        self.read_gathered(out);
        for choice in 0..self.choices.len() {
            self.turn_if_due(choice, out)?;
        }
        Ok(())
    }

    /// What errors of this request are worded with.
    pub fn words(&self) -> Words<'_> {
        self.meter.words()
    }

    /// Takes note of what ended an open stream, for operators.
    pub fn note_failure(&self, error: &ApiError, what: &'static str) {
        let words = self.meter.words();
        warn!(request_id = words.request_id, trace_id = words.trace_id, %error, "{what}");
        trace::broken(self.meter.trace(), error);
    }

    /// Appends what ends an open stream that failed.
    pub fn tell(&mut self, error: &ApiError, out: &mut Vec<u8>) {
        self.reply.fail(&error.told(&self.meter.words()), out);
    }

    /// Why the replica of the first choice that has one was picked, where the request asks for it.
    pub fn picked(&self) -> Option<&str> {
        let started = self.first.iter().filter_map(|(choice, event)| match &event.event {
            Some(Event::Started(started)) if !started.picked.is_empty() => Some((*choice, &*started.picked)),
            _ => None,
        });
        started.min_by_key(|(choice, _)| *choice).map(|(_, picked)| picked)
    }

    /// The whole answer.
    ///
    /// # Errors
    /// The engine's reason.
    pub async fn whole(mut self) -> Result<Vec<u8>, ApiError> {
        // A short answer: its frame, and some words.
        const ROOM: usize = 1024;
        let mut out = Vec::with_capacity(ROOM);
        while self.advance(&mut out).await? == Progress::More {}
        Ok(out)
    }

    async fn hear_first_word(&mut self) -> Result<(), ApiError> {
        match poll_fn(|context| self.poll_part(context)).await {
            (_, GenerateEvent { event: Some(Event::Failed(failed)) }) => Err(self.failed(failed)),
            (number, event) => {
                if let Some(choice) = self.choices.get_mut(number as usize) {
                    choice.hear();
                }
                self.first.push_back((number, event));
                Ok(())
            }
        }
    }

    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<(u32, GenerateEvent)> {
        let Some(event) = self.first.pop_front() else { return self.poll_part(context) };
        if self.first.is_empty() {
            // Its room is not needed any more.
            self.first = VecDeque::new();
        }
        Poll::Ready(event)
    }

    fn poll_part(&mut self, context: &mut Context<'_>) -> Poll<(u32, GenerateEvent)> {
        loop {
            match ready!(self.parts.poll_next(context)) {
                Some((_, Some(event))) => return Poll::Ready(event),
                Some((_, None)) => {}
                None => {
                    // Whose it is does not matter: it ends the whole answer.
                    let failed = Failed::retryable(ErrorCode::ReplicaLost, "the answer ended without a result");
                    return Poll::Ready((0, failed.into()));
                }
            }
        }
    }

    fn take(&mut self, number: u32, event: GenerateEvent, out: &mut Vec<u8>) -> Result<(), ApiError> {
        let Some(choice) = self.choices.get_mut(number as usize) else { return Ok(()) };
        let sink = &mut Sink { reply: &mut self.reply, meter: &mut self.meter, out };
        match event.event {
            Some(Event::Started(mut started)) => {
                if let Some(prompt) = started.prompt.take() {
                    choice.prompt(prompt, sink);
                }
                if let Some(kept) = started.kept_tokens {
                    choice.goes_on_behind(kept.into());
                }
                sink.meter.started(number, started);
                if let Some(tokens) = sink.meter.prompt_tokens() {
                    sink.reply.started(tokens);
                }
            }
            Some(Event::Delta(delta)) => {
                sink.meter.generated(number, &delta);
                if let Some(part) = choice.cut_off_if_stopped(sink) {
                    self.parts.remove(part);
                    self.unfinished -= 1;
                } else if self.gather_until.is_some() {
                    choice.gather(delta);
                } else {
                    choice.read(delta, sink);
                    self.gather_until = (!self.merge.is_zero()).then(|| Instant::now() + self.merge);
                }
            }
            Some(Event::Finished(finished)) => {
                let reason = match finished.reason() {
                    v1::FinishReason::Length => FinishReason::Length,
                    v1::FinishReason::Stop | v1::FinishReason::Unspecified => FinishReason::Stop,
                };
                if finished.keep_trace {
                    sink.meter.trace().keep(kept::BELOW);
                }
                sink.meter.choice_finished(number, finished.usage);
                // It was cut off before its last events were looked at.
                if choice.is_finished() {
                    return Ok(());
                }
                if reason == FinishReason::Stop && choice.turns_at_end(sink) {
                    return self.turn_if_due(number as usize, out);
                }
                choice.finish(reason, sink);
                self.unfinished -= 1;
            }
            Some(Event::Failed(failed)) => return Err(self.failed(failed)),
            // It is heard of, and a stream is kept alive. None: an event of a newer version.
            Some(Event::Waiting(_)) | None => {}
        }
        self.turn_if_due(number as usize, out)
    }

    /// Lets a choice go on under what it was not held to before, if that is where it is.
    fn turn_if_due(&mut self, number: usize, out: &mut Vec<u8>) -> Result<(), ApiError> {
        let Some(choice) = self.choices.get_mut(number).filter(|choice| choice.turns()) else { return Ok(()) };
        let Some((continuation, written, tokens)) = choice.turn() else { return Ok(()) };
        self.parts.remove(choice.generation());
        let choice = choice.number();
        self.meter.turned(choice);
        match continuation.from(choice, &written, tokens, Instant::now()) {
            Some(generation) => {
                let part = self.generate(choice, generation)?;
                self.choices[number].go_on(part);
            }
            None => {
                let sink = &mut Sink { reply: &mut self.reply, meter: &mut self.meter, out };
                self.choices[number].finish(FinishReason::Length, sink);
                self.unfinished -= 1;
            }
        }
        Ok(())
    }

    fn read_gathered(&mut self, out: &mut Vec<u8>) {
        let sink = &mut Sink { reply: &mut self.reply, meter: &mut self.meter, out };
        for choice in &mut self.choices {
            choice.read_gathered(sink);
        }
    }

    fn failed(&mut self, failed: Failed) -> ApiError {
        let error = if failed.code() == ErrorCode::ContextLengthExceeded && failed.context_length > 0 {
            // Engines may not count what is beyond their limit; tiktoken's count is the next best.
            let counted = || self.meter.prompt_tokens().unwrap_or_default();
            let prompt = if failed.prompt_tokens > 0 { failed.prompt_tokens.into() } else { counted() };
            R::too_long(failed.context_length.into(), prompt, self.meter.max_tokens()).into()
        } else if failed.code() == ErrorCode::InvalidRequest && failed.param == "response_format" {
            // Calls are forced by the same means.
            let by_calls = self.choices.first().is_some_and(Choice::reads_calls);
            schema_refused(by_calls, &failed.message).into()
        } else {
            failed.into()
        };
        self.fail(error)
    }

    fn fail(&mut self, error: ApiError) -> ApiError {
        self.meter.fail(&error);
        error
    }
}

impl<R> Drop for Answer<R> {
    /// What was generated and has not been read yet was generated all the same.
    fn drop(&mut self) {
        for choice in &self.choices {
            self.meter.shown(choice.number(), choice.gathered());
        }
        let waiting = std::iter::from_fn(|| self.parts.next().now_or_never().flatten());
        for (number, event) in self.first.drain(..).chain(waiting.filter_map(|(_, event)| event)) {
            match event.event {
                Some(Event::Started(started)) => self.meter.started(number, started),
                Some(Event::Delta(delta)) => {
                    self.meter.generated(number, &delta);
                    // What is beyond a stop string would never have been shown.
                    if self.choices.get(number as usize).is_some_and(Choice::is_open) {
                        self.meter.shown(number, &delta.text);
                    }
                }
                Some(Event::Finished(finished)) => self.meter.choice_finished(number, finished.usage),
                Some(Event::Failed(_) | Event::Waiting(_)) | None => {}
            }
        }
    }
}

/// Whether more follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    More,
    Complete,
}

/// What is constant over an answer.
pub fn head(id: String, model: &str, created: u64) -> Head {
    Head { id, created, model: model.to_owned(), seed: rand::random() }
}
