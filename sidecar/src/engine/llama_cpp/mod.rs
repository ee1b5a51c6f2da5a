//! llama.cpp's server, driven through its native `/completion`, which has token ids and log-probabilities.
//!
//! Four of its habits decide how it is driven. A request that waits for a slot is not dropped when its caller leaves, so
//! no more requests are sent than there are slots. A prompt being read is only given up when something is written
//! meanwhile, so progress events are asked for. Raw text gets a BOS whether it has one or not, so text is turned into
//! ids first. And a schema that it cannot follow is ignored in silence, so schemas are checked here.

pub(super) mod death;
mod errors;
pub(super) mod events;
mod gguf;
mod prepare;
mod request;
mod schema;
mod sharing;
mod slots;
mod tokenize;

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use cloudach_proto::v1::{
    DetokenizeRequest, DetokenizedText, EmbedRequest, Embeddings, ErrorCode, Failed, GenerateRequest, RequestContext,
    ScoreRequest, Scores, TokenizeRequest, Tokens,
};
use http::StatusCode;
use tokio::time::{Instant, timeout_at};

pub(super) use self::slots::Slot;
use self::{sharing::Sharing, slots::Slots, tokenize::Tokenizer};
use super::{
    Figures, ModelInfo,
    call::{Calls, EngineError},
    deadline::Deadline,
    echo::{self, Echo},
    embeddings,
    failure::{constraint_param, too_long},
    figures::count,
    generation::{Generation, Reader},
    headers,
    http::Response,
    prompt::Input,
    resume::Resume,
    scores, vocabulary,
};
use crate::config::{Config, EngineConfig, Limits};

/// The largest body of an error, in bytes.
const MAX_ERROR: usize = 64 * 1024;

/// A llama.cpp server.
#[derive(Debug)]
pub(crate) struct LlamaCpp {
    pub(super) calls: Calls,
    served_name: Option<String>,
    engine: EngineConfig,
    pub(super) limits: Limits,
    slots: Slots,
    sharing: Sharing,
    /// How often it has told its figures.
    looks: AtomicU64,
}

impl LlamaCpp {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            calls: Calls::new(config),
            served_name: config.served_name.clone(),
            engine: config.engine.clone(),
            limits: config.limits.clone(),
            slots: Slots::default(),
            sharing: Sharing::default(),
            looks: AtomicU64::new(0),
        }
    }

    /// Requests that wait here for a slot.
    pub(super) fn queued(&self) -> u32 {
        self.slots.queued()
    }

    pub(super) async fn figures(&self) -> Result<Figures, EngineError> {
        let answer = self.calls.get("/metrics").await?.success()?;
        let page = String::from_utf8_lossy(&answer.body);
        Ok(Figures {
            running: count(&page, "llamacpp:requests_processing"),
            waiting: count(&page, "llamacpp:requests_deferred"),
            // It has no such figure.
            kv_cache_usage: 0.0,
            // It answers this between two steps, so that it answers is a sign of life.
            work: self.looks.fetch_add(1, Ordering::Relaxed),
        })
    }

    pub(super) async fn generate(
        &self,
        request: GenerateRequest,
        model: &ModelInfo,
        deadline: Deadline,
    ) -> Result<Generation, Failed> {
        request::check(&request)?;
        schema::check(request.constraint.as_ref()).await?;
        let limit = self.limits.first_token_timeout;
        let tokenizer = self.tokenizer();
        let input = Input::of(request.prompt.as_ref())?;
        vocabulary::check(input, model.vocabulary)?;
        let ids = match input {
            Input::Ids(ids) => ids.to_vec(),
            Input::Text { text, add_special_tokens } => {
                deadline.tokenizes_within(limit, tokenizer.ids(text, add_special_tokens)).await?
            }
        };
        let prompt_tokens = u32::try_from(ids.len()).unwrap_or(u32::MAX);
        if prompt_tokens >= model.context_length {
            let message = format!("the prompt has {prompt_tokens} tokens, the context {}", model.context_length);
            return Err(too_long(message, model.context_length, prompt_tokens));
        }
        let echo = match Echo::of(&request) {
            Some(echo) => {
                let text = deadline.tokenizes_within(limit, prompt_text(&request, &tokenizer)).await?;
                Some((echo, echo::prompt(text)?))
            }
            None => None,
        };
        let constraint = constraint_param(request.constraint.as_ref());
        // Only who can be served waits for a slot.
        let slot = self.slot(deadline).await?;
        let salt = request.sampling.as_ref().and_then(|sampling| sampling.cache_salt.as_deref()).unwrap_or_default();
        let cache_prompt = self.sharing.admit(salt);
        let body = request::completion(&request, &ids, model.context_length, cache_prompt)?;
        // In the middle of an answer its tokenizer is to be as quick as with any question.
        let reader = events::Reader::new(&request, Tokenizer::new(self.calls.clone()));
        let resume = Resume::of(&request);
        let headers = headers::of(&request.request_id, request.context.as_ref());
        drop((request, ids));
        let accepting =
            async { accepted(self.calls.client.post("/completion", headers, body).await?, constraint).await };
        let response = deadline.within(limit, accepting).await?;
        let reader = Reader::LlamaCpp(Box::new(reader));
        let generation = Generation::new(response, reader, prompt_tokens, &self.limits, deadline);
        let generation = generation.resuming(resume).holding(slot);
        match echo {
            Some((echo, prompt)) => generation.echoing(echo, prompt).await,
            None => Ok(generation),
        }
    }

    /// The tokens of a text.
    pub(super) async fn tokenize(&self, text: &str, add_special_tokens: bool) -> Result<Vec<u32>, Failed> {
        self.tokenizer().ids(text, add_special_tokens).await
    }

    /// For what a request waits for.
    fn tokenizer(&self) -> Tokenizer {
        Tokenizer::new(self.calls.patient(&self.limits))
    }

    pub(super) async fn embed(&self, request: EmbedRequest, model: &ModelInfo) -> Result<Embeddings, Failed> {
        let special = request::check_embed(&request)?;
        let deadline = Deadline::of(request.context.as_ref());
        let _slot = self.slot(deadline).await?;
        let body = match special {
            // The server adds them to text by itself.
            true => embeddings::request(&request, &model.served_name)?,
            false => {
                let (tokenizer, limit) = (self.tokenizer(), self.limits.first_token_timeout);
                let ids = deadline.tokenizes_within(limit, tokenizer.without_special_tokens(&request)).await?;
                embeddings::request(&ids, &model.served_name)?
            }
        };
        let page = self.ask("/v1/embeddings", &request.request_id, request.context.as_ref(), body).await?;
        embeddings::read(&page, request.inputs.len())
    }

    pub(super) async fn score(&self, request: ScoreRequest, model: &ModelInfo) -> Result<Scores, Failed> {
        let body = scores::documents(&request, &model.served_name)?;
        let _slot = self.slot(Deadline::of(request.context.as_ref())).await?;
        let page = self.ask("/v1/rerank", &request.request_id, request.context.as_ref(), body).await?;
        scores::read(&page, request.documents.len())
    }

    pub(super) async fn tokens(&self, request: TokenizeRequest) -> Result<Tokens, Failed> {
        let body = tokenize::question(&request)?;
        let answer = self.ask("/tokenize", &request.request_id, request.context.as_ref(), body).await?;
        tokenize::tokens(&answer, request.texts)
    }

    pub(super) async fn text(&self, request: DetokenizeRequest, model: &ModelInfo) -> Result<DetokenizedText, Failed> {
        vocabulary::check(Input::Ids(&request.ids), model.vocabulary)?;
        let body = tokenize::ids(&request)?;
        tokenize::text(&self.ask("/detokenize", &request.request_id, request.context.as_ref(), body).await?)
    }

    /// The whole answer to a client's request.
    async fn ask(
        &self,
        path: &'static str,
        request_id: &str,
        context: Option<&RequestContext>,
        body: Vec<u8>,
    ) -> Result<Bytes, Failed> {
        let limit = self.limits.first_token_timeout;
        let (status, body) = self.calls.ask(path, request_id, context, limit, body).await?;
        if status == StatusCode::OK { Ok(body) } else { Err(errors::failed(status, &body, "")) }
    }

    /// Waits for one of the engine's slots.
    async fn slot(&self, deadline: Deadline) -> Result<Slot, Failed> {
        let patience = deadline.before(Instant::now() + self.limits.first_token_timeout);
        match timeout_at(patience, self.slots.take()).await {
            Ok(slot) => Ok(slot),
            Err(_) => {
                deadline.check()?;
                Err(Failed::retryable(ErrorCode::Overloaded, "no slot of the engine became free in time"))
            }
        }
    }
}

/// The prompt as the engine reads it.
async fn prompt_text(request: &GenerateRequest, tokenizer: &Tokenizer) -> Result<String, Failed> {
    match Input::of(request.prompt.as_ref())? {
        Input::Text { text, .. } => Ok(text.to_owned()),
        Input::Ids(ids) => tokenizer.text(ids).await,
    }
}

/// The response, when its head says that the engine works on the request.
async fn accepted(response: Response, constraint: &str) -> Result<Response, Failed> {
    let status = response.status;
    if status == StatusCode::OK {
        return Ok(response);
    }
    let body = response.whole(MAX_ERROR).await?;
    Err(errors::failed(status, &body, constraint))
}
