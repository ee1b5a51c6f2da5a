//! A generation that the engine has accepted: reads its response and gives the gateway's events, one by one.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use cloudach_proto::v1::{Delta, Failed, Finished, GenerateEvent};
use tokio::time::{Instant, timeout, timeout_at};

use super::{
    Deadline,
    failure::lost,
    http::{HttpError, Response},
    llama_cpp,
    sse::SseParser,
    vllm,
};
use crate::config::Limits;

/// How long the end of a response is waited for after its last event, so that the connection can be used again.
const END_WITHIN: Duration = Duration::from_secs(1);

/// A running generation. Dropping it makes the engine stop working on it.
#[derive(Debug)]
pub(crate) struct Generation {
    /// Counted by the engine. 0: it has not said.
    pub(crate) prompt_tokens: u32,
    response: Response,
    parser: SseParser,
    /// Bytes that have come and were not looked at.
    bytes: Bytes,
    reader: Reader,
    ready: VecDeque<GenerateEvent>,
    patience: Patience,
    deadline: Deadline,
    /// The place that it has in an engine with few.
    slot: Option<llama_cpp::Slot>,
}

/// What one of an engine's events says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Reading {
    pub(super) delta: Option<Delta>,
    pub(super) end: Option<Finished>,
}

/// Understands one dialect's events.
#[derive(Debug)]
pub(super) enum Reader {
    Vllm(vllm::events::Reader),
    LlamaCpp(Box<llama_cpp::events::Reader>),
}

/// How long an engine may be silent.
#[derive(Debug)]
struct Patience {
    now: Duration,
    between_tokens: Duration,
}

impl Generation {
    pub(super) fn new(
        response: Response,
        reader: Reader,
        prompt_tokens: u32,
        limits: &Limits,
        deadline: Deadline,
    ) -> Self {
        Self {
            prompt_tokens,
            response,
            parser: SseParser::new(limits.max_event),
            bytes: Bytes::new(),
            reader,
            ready: VecDeque::new(),
            patience: Patience { now: limits.first_token_timeout, between_tokens: limits.stall_timeout },
            deadline,
            slot: None,
        }
    }

    /// This generation, with the place that it has in the engine.
    pub(super) fn holding(self, slot: llama_cpp::Slot) -> Self {
        Self { slot: Some(slot), ..self }
    }

    /// The next event; after the last one this is not to be called again.
    pub(crate) async fn next(&mut self) -> GenerateEvent {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return event;
            }
            if let Err(failed) = self.advance().await {
                return failed.into();
            }
        }
    }

    /// Reads what follows the last event, so that the connection can be used again.
    pub(crate) async fn settle(mut self) {
        self.slot = None;
        // Whatever goes wrong here, the connection is closed and nothing else happens.
        let _ = timeout(END_WITHIN, async { while let Ok(Some(_)) = self.response.chunk().await {} }).await;
    }

    /// Reads one event of the engine, or more bytes of its response.
    async fn advance(&mut self) -> Result<(), Failed> {
        if let Some(data) = self.parser.next(&mut self.bytes).map_err(lost)? {
            let Reading { delta, end } = self.reader.read(data).await?;
            if let Some(delta) = delta {
                self.patience.now = self.patience.between_tokens;
                self.ready.push_back(delta.into());
            }
            self.ready.extend(end.map(GenerateEvent::from));
            return Ok(());
        }
        let silent = Instant::now() + self.patience.now;
        match timeout_at(self.deadline.before(silent), self.response.chunk()).await {
            Ok(Ok(Some(bytes))) => self.bytes = bytes,
            Ok(Ok(None)) => self.ready.push_back(self.reader.ended()?.into()),
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => {
                self.deadline.check()?;
                return Err(HttpError::Silent(self.patience.now).into());
            }
        }
        Ok(())
    }
}

impl Reader {
    async fn read(&mut self, data: &[u8]) -> Result<Reading, Failed> {
        match self {
            Self::Vllm(reader) => reader.read(data),
            Self::LlamaCpp(reader) => reader.read(data).await,
        }
    }

    /// The response has ended: how the generation did, when that was said.
    fn ended(&mut self) -> Result<Finished, Failed> {
        match self {
            Self::Vllm(reader) => reader.ended(),
            Self::LlamaCpp(_) => Err(lost("its stream ended in the middle")),
        }
    }
}
