//! Requests that one answer of the engine answers, each put to the engine of whatever dialect.

use cloudach_proto::{
    unary::Unary,
    v1::{
        DetokenizeRequest, DetokenizedText, EmbedRequest, Embeddings, Failed, ScoreRequest, Scores, TokenizeRequest,
        Tokens,
    },
};

use super::{Engine, ModelInfo};

/// A request that one answer of the engine answers.
pub(crate) trait PutToEngine: Unary {
    /// Asks the engine.
    fn put_to(self, engine: &Engine, model: &ModelInfo) -> impl Future<Output = Result<Self::Answer, Failed>> + Send;
}

impl PutToEngine for EmbedRequest {
    async fn put_to(self, engine: &Engine, model: &ModelInfo) -> Result<Embeddings, Failed> {
        match engine {
            Engine::Vllm(engine) => engine.embed(self, model).await,
            Engine::LlamaCpp(engine) => engine.embed(self, model).await,
        }
    }
}

impl PutToEngine for ScoreRequest {
    async fn put_to(self, engine: &Engine, model: &ModelInfo) -> Result<Scores, Failed> {
        match engine {
            Engine::Vllm(engine) => engine.score(self, model).await,
            Engine::LlamaCpp(engine) => engine.score(self, model).await,
        }
    }
}

impl PutToEngine for TokenizeRequest {
    async fn put_to(self, engine: &Engine, model: &ModelInfo) -> Result<Tokens, Failed> {
        match engine {
            Engine::Vllm(engine) => engine.tokens(self, model).await,
            Engine::LlamaCpp(engine) => engine.tokens(self).await,
        }
    }
}

impl PutToEngine for DetokenizeRequest {
    async fn put_to(self, engine: &Engine, model: &ModelInfo) -> Result<DetokenizedText, Failed> {
        match engine {
            Engine::Vllm(engine) => engine.text(self, model).await,
            Engine::LlamaCpp(engine) => engine.text(self, model).await,
        }
    }
}
