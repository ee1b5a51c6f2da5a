//! An answer on its way: merges the events of its choices and feeds them to the reply, which makes bytes of them.
//! Streamed or whole, this is the one path.

use cloudach_openai::{FinishReason, Head, Invalid, Piece, TokenLogprob, TopLogprob, Usage, chat, completions};
use cloudach_proto::v1::{self, ErrorCode, Failed, GenerateEvent, GenerateRequest, generate_event::Event};
use futures_util::{
    FutureExt, StreamExt,
    stream::{BoxStream, SelectAll},
};
use tokio_util::sync::CancellationToken;

use crate::{Edge, error::ApiError, metrics::Outcome, usage::Meter};

/// Turns pieces of generated text into the bytes of one endpoint.
pub trait Reply: Send + 'static {
    fn opening(&mut self, out: &mut Vec<u8>);
    fn push(&mut self, choice: u32, piece: &Piece<'_>, out: &mut Vec<u8>);
    fn finish_choice(&mut self, choice: u32, reason: FinishReason, out: &mut Vec<u8>);
    fn close(&mut self, usage: &Usage, out: &mut Vec<u8>);
    /// What the endpoint says of a prompt of so many tokens that is beyond the limit.
    fn too_long(limit: u64, prompt: u64) -> Invalid;
}

macro_rules! reply {
    ($reply:ty, $too_long:expr) => {
        impl Reply for $reply {
            fn opening(&mut self, out: &mut Vec<u8>) {
                <$reply>::opening(self, out);
            }
            fn push(&mut self, choice: u32, piece: &Piece<'_>, out: &mut Vec<u8>) {
                <$reply>::push(self, choice, piece, out);
            }
            fn finish_choice(&mut self, choice: u32, reason: FinishReason, out: &mut Vec<u8>) {
                <$reply>::finish_choice(self, choice, reason, out);
            }
            fn close(&mut self, usage: &Usage, out: &mut Vec<u8>) {
                <$reply>::close(self, usage, out);
            }
            fn too_long(limit: u64, prompt: u64) -> Invalid {
                $too_long(limit, prompt)
            }
        }
    };
}

reply!(chat::Reply, |limit, prompt| Invalid::chat_context_length(limit, prompt, None));
reply!(completions::Reply, |limit, prompt| Invalid::prompt_context_length(limit, prompt, 0));

/// An answer whose engine has started. Dropping it ends all its generations.
pub struct Answer<R> {
    events: SelectAll<BoxStream<'static, (u32, GenerateEvent)>>,
    /// The event that has arrived and is not yet handed on.
    arrived: Option<(u32, GenerateEvent)>,
    opened: bool,
    unfinished: usize,
    reply: R,
    meter: Meter,
    kill: CancellationToken,
}

impl<R: Reply> Answer<R> {
    /// Starts all generations and waits for the first word of an engine, so that what is wrong with the request is
    /// known before anything is sent.
    ///
    /// # Errors
    /// No router takes them, or the engine's reason.
    pub async fn start(
        edge: &Edge,
        generations: impl Iterator<Item = GenerateRequest>,
        reply: R,
        meter: Meter,
    ) -> Result<Self, ApiError> {
        let mut answer = Self {
            events: SelectAll::new(),
            arrived: None,
            opened: false,
            unfinished: 0,
            reply,
            meter,
            kill: edge.running.kill.clone(),
        };
        for (choice, generation) in (0..).zip(generations) {
            match edge.upstream.generate(generation, &edge.catalog) {
                Ok(stream) => {
                    answer.unfinished += 1;
                    answer.events.push(stream.map(move |event| (choice, event)).boxed());
                }
                Err(error) => return Err(answer.fail(error)),
            }
        }
        match answer.next().await {
            (_, GenerateEvent { event: Some(Event::Failed(failed)) }) => Err(answer.failed(failed)),
            first => {
                answer.arrived = Some(first);
                Ok(answer)
            }
        }
    }

    /// Waits until an event is there to be handed on. May be dropped and called again.
    pub async fn wait(&mut self) {
        if self.arrived.is_none() {
            self.arrived = Some(self.next().await);
        }
    }

    /// Waits for the next events and appends the bytes they make to `out`. Events that are ready together are
    /// written together.
    ///
    /// # Errors
    /// The engine's reason. Nothing follows.
    pub async fn advance(&mut self, out: &mut Vec<u8>) -> Result<Progress, ApiError> {
        if !self.opened {
            self.opened = true;
            self.reply.opening(out);
        }
        self.wait().await;
        while let Some(event) = self.arrived.take() {
            self.take(event, out)?;
            if self.unfinished == 0 {
                let usage = self.meter.usage().await;
                self.reply.close(&usage, out);
                self.meter.finish(Outcome::Served);
                return Ok(Progress::Complete);
            }
            self.arrived = self.events.next().now_or_never().flatten();
        }
        Ok(Progress::More)
    }

    /// The request's id, for the log.
    pub fn request_id(&self) -> &str {
        self.meter.request_id()
    }

    /// The whole answer.
    ///
    /// # Errors
    /// The engine's reason.
    pub async fn whole(mut self) -> Result<Vec<u8>, ApiError> {
        let mut out = Vec::new();
        while self.advance(&mut out).await? == Progress::More {}
        Ok(out)
    }

    async fn next(&mut self) -> (u32, GenerateEvent) {
        tokio::select! {
            event = self.events.next() => event.unwrap_or_else(|| {
                (0, Failed::retryable(ErrorCode::ReplicaLost, "the answer ended without a result").into())
            }),
            () = self.kill.cancelled() => {
                (0, Failed::retryable(ErrorCode::ShuttingDown, "this server is stopping").into())
            }
        }
    }

    fn take(&mut self, (choice, event): (u32, GenerateEvent), out: &mut Vec<u8>) -> Result<(), ApiError> {
        match event.event {
            Some(Event::Started(started)) => self.meter.started(choice, started),
            Some(Event::Delta(delta)) => {
                self.meter.delta(choice, &delta);
                let logprobs: Vec<TokenLogprob> = delta.logprobs.into_iter().map(logprob).collect();
                if !delta.text.is_empty() || !logprobs.is_empty() {
                    self.reply.push(choice, &Piece { text: &delta.text, logprobs: &logprobs }, out);
                }
            }
            Some(Event::Finished(finished)) => {
                self.meter.choice_finished(choice, finished.usage);
                let reason = match finished.reason() {
                    v1::FinishReason::Length => FinishReason::Length,
                    v1::FinishReason::Stop | v1::FinishReason::Unspecified => FinishReason::Stop,
                };
                self.reply.finish_choice(choice, reason, out);
                self.unfinished -= 1;
            }
            Some(Event::Failed(failed)) => return Err(self.failed(failed)),
            // An event of a newer version.
            None => {}
        }
        Ok(())
    }

    fn failed(&mut self, failed: Failed) -> ApiError {
        let error = if failed.code() == ErrorCode::ContextLengthExceeded && failed.context_length > 0 {
            // Engines may not count what is beyond their limit; tiktoken's count is the next best.
            let counted = || self.meter.prompt_tokens().unwrap_or_default();
            let prompt = if failed.prompt_tokens > 0 { failed.prompt_tokens.into() } else { counted() };
            R::too_long(failed.context_length.into(), prompt).into()
        } else {
            failed.into()
        };
        self.fail(error)
    }

    fn fail(&mut self, error: ApiError) -> ApiError {
        self.meter.finish(Outcome::Failed);
        error
    }
}

impl<R> Drop for Answer<R> {
    /// What was generated and has not been read yet was generated all the same.
    fn drop(&mut self) {
        let waiting = std::iter::from_fn(|| self.events.next().now_or_never().flatten());
        for (choice, event) in self.arrived.take().into_iter().chain(waiting) {
            match event.event {
                Some(Event::Delta(delta)) => self.meter.delta(choice, &delta),
                Some(Event::Finished(finished)) => self.meter.choice_finished(choice, finished.usage),
                Some(Event::Started(_) | Event::Failed(_)) | None => {}
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
    Head { id, created, model: model.to_owned(), seed: getrandom::u64().unwrap_or_default() }
}

fn logprob(entry: v1::TokenLogprob) -> TokenLogprob {
    let top =
        entry.top.into_iter().map(|top| TopLogprob { bytes: Some(top.bytes), token: top.token, logprob: top.logprob });
    TokenLogprob { top: top.collect(), bytes: Some(entry.bytes), token: entry.token, logprob: entry.logprob }
}
