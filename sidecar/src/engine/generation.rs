//! A generation that the engine has accepted: reads its response and gives the gateway's events, one by one.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use cloudach_proto::v1::{
    Delta, EchoedPrompt, Failed, FinishReason, Finished, GenerateEvent, Started, TokenLogprob, TokenUsage,
    generate_event::Event,
};
use tokio::time::{Instant, timeout, timeout_at};

use super::{
    Deadline,
    echo::{self, Echo},
    failure::lost,
    http::{HttpError, Response},
    llama_cpp,
    resume::Resume,
    sse::SseParser,
    vllm,
};
use crate::config::Limits;

/// How long the end of a response is waited for after its last event, so that the connection can be used again.
const END_WITHIN: Duration = Duration::from_secs(1);

/// How soon an engine looks at a request that it has said yes to. Nothing is lost by waiting: there is no token yet.
const LOOKS_WITHIN: Duration = Duration::from_millis(200);

/// A running generation. Dropping it makes the engine stop working on it.
#[derive(Debug)]
pub(crate) struct Generation {
    prompt_tokens: PromptTokens,
    /// What the caller wants to hear of it.
    prompt: Option<EchoedPrompt>,
    /// It wants to hear nothing else: engines generate a token all the same.
    prompt_alone: bool,
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
    /// Another replica began it.
    resume: Option<Box<Resume>>,
}

/// How many tokens the prompt has. The caller is told once, and soon: who leaves in the middle owes them all the same.
#[derive(Debug, Clone, Copy)]
enum PromptTokens {
    Unknown,
    Counted(u32),
    Told,
}

/// What one of an engine's events says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Reading {
    /// How many tokens the prompt has. 0: this event does not say.
    pub(super) prompt_tokens: u32,
    /// One entry per token of the prompt; they come once, and before any delta.
    pub(super) prompt: Option<Vec<TokenLogprob>>,
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
            prompt_tokens: PromptTokens::of(prompt_tokens),
            prompt: None,
            prompt_alone: false,
            response,
            parser: SseParser::new(limits.max_event),
            bytes: Bytes::new(),
            reader,
            ready: VecDeque::new(),
            patience: Patience { now: limits.first_token_timeout, between_tokens: limits.stall_timeout },
            deadline,
            slot: None,
            resume: None,
        }
    }

    /// This generation, which goes on with what another replica began.
    pub(super) fn resuming(mut self, resume: Option<Resume>) -> Self {
        if let (Some(resume), PromptTokens::Counted(tokens)) = (&resume, self.prompt_tokens) {
            self.prompt_tokens = PromptTokens::of(resume.prompt_tokens(tokens));
        }
        self.resume = resume.map(Box::new);
        self
    }

    /// This generation, with the place that it has in the engine.
    pub(super) fn holding(self, slot: llama_cpp::Slot) -> Self {
        Self { slot: Some(slot), ..self }
    }

    /// This generation, with its prompt, and what the engine says of its tokens where that was asked for.
    pub(super) async fn echoing(mut self, echo: Echo, mut prompt: EchoedPrompt) -> Result<Self, Failed> {
        self.prompt_alone = echo.alone;
        while echo.logprobs && prompt.logprobs.is_empty() {
            if !self.ready.is_empty() {
                return Err(lost("it said nothing of the prompt's log-probabilities"));
            }
            prompt.logprobs = self.advance().await?.unwrap_or_default();
        }
        echo::check_size(&prompt)?;
        self.prompt = Some(prompt);
        Ok(self)
    }

    /// This generation, once the engine has looked at the request: some say 200 before they do, and what is wrong with
    /// the request, or how many tokens its prompt has, is their first event.
    pub(super) async fn looked_at(mut self) -> Result<Self, Failed> {
        let first = async {
            while self.ready.is_empty() {
                self.advance().await?;
            }
            Ok::<_, Failed>(())
        };
        timeout(LOOKS_WITHIN, first).await.unwrap_or(Ok(()))?;
        Ok(self)
    }

    /// The event before all others, with what is known by now.
    pub(crate) fn start(&mut self, replica: String) -> Started {
        Started {
            replica,
            prompt_tokens: self.prompt_tokens.tell(),
            prompt: self.prompt.take(),
            kept_tokens: self.resume.as_ref().map(|resume| resume.kept()),
            ..Started::default()
        }
    }

    /// The next event; after the last one this is not to be called again.
    pub(crate) async fn next(&mut self) -> GenerateEvent {
        loop {
            if let Some(mut event) = self.ready.pop_front() {
                if let Some(Event::Delta(delta)) = &mut event.event {
                    delta.prompt_tokens = self.prompt_tokens.tell();
                }
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

    /// Reads one event of the engine, or more bytes of its response. Gives the prompt's log-probabilities when they come.
    async fn advance(&mut self) -> Result<Option<Vec<TokenLogprob>>, Failed> {
        if let Some(data) = self.parser.next(&mut self.bytes)? {
            let Reading { prompt_tokens, prompt, delta, end } = self.reader.read(data).await?;
            if delta.is_some() {
                self.patience.now = self.patience.between_tokens;
            }
            let (prompt_tokens, delta) = match &mut self.resume {
                Some(resume) => {
                    let new = delta.map(|delta| resume.delta(delta)).transpose()?.flatten();
                    (resume.prompt_tokens(prompt_tokens), new)
                }
                None => (prompt_tokens, delta),
            };
            if let PromptTokens::Unknown = self.prompt_tokens {
                self.prompt_tokens = PromptTokens::of(prompt_tokens);
            }
            if let Some(delta) = delta.filter(|_| !self.prompt_alone) {
                self.ready.push_back(delta.into());
            }
            if let Some(finished) = end {
                self.end(finished)?;
            }
            return Ok(prompt);
        }
        let silent = Instant::now() + self.patience.now;
        match timeout_at(self.deadline.before(silent), self.response.chunk()).await {
            Ok(Ok(Some(bytes))) => self.bytes = bytes,
            Ok(Ok(None)) => {
                let finished = self.reader.ended()?;
                self.end(finished)?;
            }
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => {
                self.deadline.check()?;
                return Err(HttpError::Silent(self.patience.now).into());
            }
        }
        Ok(None)
    }

    fn end(&mut self, finished: Finished) -> Result<(), Failed> {
        let finished = match &self.resume {
            Some(resume) => resume.end(finished)?,
            None => finished,
        };
        let finished = match self.prompt_alone {
            false => finished,
            true => Finished {
                reason: FinishReason::Length.into(),
                usage: finished.usage.map(|usage| TokenUsage { completion_tokens: 0, ..usage }),
                stop: None,
                ..finished
            },
        };
        self.ready.push_back(finished.into());
        Ok(())
    }
}

impl PromptTokens {
    fn of(tokens: u32) -> Self {
        if tokens == 0 { Self::Unknown } else { Self::Counted(tokens) }
    }

    /// The number, where it is known and was not told yet; else 0.
    fn tell(&mut self) -> u32 {
        let Self::Counted(tokens) = *self else { return 0 };
        *self = Self::Told;
        tokens
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
