//! vLLM's OpenAI server, driven through `/v1/completions` with rendered prompts: the surface that changes least, and
//! the only one with log-probabilities, embeddings, adapters and refusals of bad schemas.
//!
//! Both of its front ends, Python and Rust, are understood.

mod adapters;
pub(super) mod death;
mod errors;
pub(super) mod events;
mod logprobs;
mod prepare;
mod priority;
mod prompt_ids;
mod request;
mod shape;
mod tokenize;

use std::time::Duration;

use bytes::Bytes;
use cloudach_proto::v1::{
    DetokenizeRequest, DetokenizedText, EmbedRequest, Embeddings, ErrorCode, Failed, GenerateRequest, RequestContext,
    ScoreRequest, Scores, TokenizeRequest, Tokens,
};
use http::StatusCode;
use parking_lot::Mutex;
use serde_json::json;

use self::adapters::Slots;
use super::{
    Figures, ModelInfo,
    call::{Calls, EngineError},
    deadline::Deadline,
    echo::{self, Echo},
    embeddings,
    failure::{constraint_param, too_long},
    figures::{self, count, samples},
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

/// Tokens that a character may have without its last one: a token is a byte at least.
const MOST_OF_A_CHARACTER: usize = 3;

/// How long moving weights between GPU and memory, or loading an adapter, may take.
const MOVE_WITHIN: Duration = Duration::from_secs(5 * 60);

/// What moves with every step that vLLM does: it counts its steps and what they wrote, and its cache fills while a long
/// prompt is read. Its server goes on telling them when the processes that work have stopped.
const WORK: [&str; 7] = [
    "vllm:iteration_tokens_total_count",
    "vllm:generation_tokens_total",
    "vllm:prompt_tokens_total",
    "vllm:kv_cache_usage_perc",
    "vllm:num_requests_running",
    "vllm:num_requests_waiting",
    "vllm:num_preemptions_total",
];

/// A vLLM server.
#[derive(Debug)]
pub(crate) struct Vllm {
    pub(super) calls: Calls,
    served_name: Option<String>,
    engine: EngineConfig,
    pub(super) limits: Limits,
    adapters: Mutex<Slots>,
}

impl Vllm {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            calls: Calls::new(config),
            served_name: config.served_name.clone(),
            engine: config.engine.clone(),
            limits: config.limits.clone(),
            adapters: Mutex::default(),
        }
    }

    pub(super) async fn figures(&self) -> Result<Figures, EngineError> {
        let answer = self.calls.get("/metrics").await?.success()?;
        let page = String::from_utf8_lossy(&answer.body);
        self.adapters.lock().note(&page);
        Ok(Figures {
            running: count(&page, "vllm:num_requests_running"),
            waiting: count(&page, "vllm:num_requests_waiting"),
            kv_cache_usage: samples(&page, "vllm:kv_cache_usage_perc").fold(0.0, f32::max),
            work: figures::work(&page, &WORK),
        })
    }

    pub(super) async fn generate(
        &self,
        mut request: GenerateRequest,
        model: &ModelInfo,
        deadline: Deadline,
    ) -> Result<Generation, Failed> {
        if self.engine.priority {
            request.sampling.get_or_insert_default().priority = Some(priority::within_class(&request));
        }
        let body = request::completion(&request, model)?;
        self.adapters.lock().asked(&request.model);
        let reader = events::Reader::new(&request, model);
        let input = Input::of(request.prompt.as_ref())?;
        vocabulary::check(input, model.vocabulary)?;
        let prompt_tokens = input.known_tokens();
        let headers = headers::of(&request.request_id, request.context.as_ref());
        let constraint = constraint_param(request.constraint.as_ref());
        let limit = self.limits.first_token_timeout;
        let resume = Resume::of(&request);
        let echo = match Echo::of(&request) {
            Some(echo) => {
                let text = deadline.tokenizes_within(limit, self.prompt_text(&request, model)).await?;
                Some((echo, echo::prompt(text)?))
            }
            None => None,
        };
        drop(request);
        let accepting =
            async { accepted(self.calls.client.post("/v1/completions", headers, body).await?, constraint).await };
        let accepting = deadline.within(limit, accepting);
        let response = accepting.await.map_err(|failed| with_lengths(failed, model, prompt_tokens))?;
        let generation = Generation::new(response, Reader::Vllm(reader), prompt_tokens, &self.limits, deadline);
        let generation = generation.resuming(resume);
        match echo {
            Some((echo, prompt)) => generation.echoing(echo, prompt).await?.looked_at().await,
            None => generation.looked_at().await,
        }
        .map_err(|failed| with_lengths(failed, model, prompt_tokens))
    }

    /// For what a request waits for.
    fn patient(&self) -> Calls {
        self.calls.patient(&self.limits)
    }

    /// The prompt as the engine reads it.
    async fn prompt_text(&self, request: &GenerateRequest, model: &ModelInfo) -> Result<String, Failed> {
        match Input::of(request.prompt.as_ref())? {
            Input::Text { text, .. } => Ok(text.to_owned()),
            // Not made into text first, only to be refused then.
            Input::Ids(ids) if model.context_length > 0 && ids.len() >= model.context_length as usize => {
                let message = format!("the prompt has {} tokens, the context {}", ids.len(), model.context_length);
                Err(too_long(message, model.context_length, u32::try_from(ids.len()).unwrap_or(u32::MAX)))
            }
            Input::Ids(ids) => tokenize::text_of(&self.patient(), ids).await,
        }
    }

    /// The tokens of a text.
    pub(super) async fn tokenize(
        &self,
        text: &str,
        add_special_tokens: bool,
        model: &ModelInfo,
    ) -> Result<Vec<u32>, Failed> {
        tokenize::ids_of(&self.patient(), &model.served_name, text, add_special_tokens).await
    }

    /// Takes the tokens off the end that are the beginning of a character: behind them the engine would show the text of
    /// the whole prompt.
    pub(super) async fn cut_to_whole_characters(&self, ids: &mut Vec<u32>) -> Result<(), Failed> {
        let calls = self.patient();
        for _ in 0..MOST_OF_A_CHARACTER {
            let last = &ids[ids.len().saturating_sub(MOST_OF_A_CHARACTER + 1)..];
            if last.is_empty() || !tokenize::text_of(&calls, last).await?.ends_with(char::REPLACEMENT_CHARACTER) {
                break;
            }
            ids.pop();
        }
        Ok(())
    }

    pub(super) async fn embed(&self, request: EmbedRequest, model: &ModelInfo) -> Result<Embeddings, Failed> {
        let body = embeddings::request(&request, &model.served_name)?;
        let page = self.ask("/v1/embeddings", &request.request_id, request.context.as_ref(), body).await?;
        embeddings::read(&page, request.inputs.len())
    }

    pub(super) async fn score(&self, request: ScoreRequest, model: &ModelInfo) -> Result<Scores, Failed> {
        let body = scores::pairs(&request, &model.served_name)?;
        let page = self.ask("/score", &request.request_id, request.context.as_ref(), body).await?;
        scores::read(&page, request.documents.len())
    }

    pub(super) async fn tokens(&self, request: TokenizeRequest, model: &ModelInfo) -> Result<Tokens, Failed> {
        let body = tokenize::question(&request, &model.served_name)?;
        tokenize::tokens(&self.ask("/tokenize", &request.request_id, request.context.as_ref(), body).await?)
    }

    pub(super) async fn text(&self, request: DetokenizeRequest, model: &ModelInfo) -> Result<DetokenizedText, Failed> {
        vocabulary::check(Input::Ids(&request.ids), model.vocabulary)?;
        let body = tokenize::ids(&request, &model.served_name)?;
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

    pub(super) async fn sleep(&self, level: u32) -> Result<(), EngineError> {
        let path = match level {
            0 | 1 => "/sleep?level=1",
            2 => "/sleep?level=2",
            _ => return Err(EngineError::Unsupported("vLLM has the sleep levels 1 and 2")),
        };
        self.order(path, &json!({})).await
    }

    pub(super) async fn wake(&self, level: u32) -> Result<(), EngineError> {
        if level < 2 {
            return self.order("/wake_up", &json!({})).await;
        }
        // Its weights are gone, and are to be read again before there is a cache.
        self.order("/wake_up?tags=weights", &json!({})).await?;
        self.order("/collective_rpc", &json!({ "method": "reload_weights" })).await?;
        self.order("/wake_up?tags=kv_cache", &json!({})).await
    }

    pub(super) async fn load_adapter(&self, name: &str, path: &str) -> Result<(), EngineError> {
        self.order("/v1/load_lora_adapter", &json!({ "lora_name": name, "lora_path": path })).await?;
        self.adapters.lock().loaded(name);
        Ok(())
    }

    pub(super) async fn unload_adapter(&self, name: &str) -> Result<(), EngineError> {
        self.order("/v1/unload_lora_adapter", &json!({ "lora_name": name })).await?;
        self.adapters.lock().gone(name);
        Ok(())
    }

    /// The adapters that are ready for its batch, and how many can be. 0: it has not said.
    pub(super) fn resident(&self) -> (Vec<String>, u32) {
        self.adapters.lock().told()
    }

    async fn order(&self, path: &'static str, body: &serde_json::Value) -> Result<(), EngineError> {
        let answer = self.calls.post_within(MOVE_WITHIN, path, body).await?;
        if answer.status == StatusCode::NOT_FOUND && !path.ends_with("_lora_adapter") {
            return Err(EngineError::Unsupported("vLLM offers this only with VLLM_SERVER_DEV_MODE=1"));
        }
        answer.success().map(drop)
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

/// A failure that says how long the context is, also where the engine does not.
fn with_lengths(mut failed: Failed, model: &ModelInfo, prompt_tokens: u32) -> Failed {
    if failed.code() == ErrorCode::ContextLengthExceeded {
        if failed.context_length == 0 {
            failed.context_length = model.context_length;
        }
        if prompt_tokens > 0 {
            failed.prompt_tokens = prompt_tokens;
        }
    }
    failed
}
