//! Gets to know a vLLM server that answers, and warms it up.

use std::{path::Path, time::Duration};

use cloudach_proto::v1::{Capabilities, ModelTraits, SchemaWords};
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use tracing::warn;

use super::{
    super::{
        ModelInfo,
        call::EngineError,
        marks,
        template::{self, Prompting},
        traits, vocabulary,
    },
    Vllm,
};

/// How long the first completion may take: the first one with log-probabilities compiles code for half a minute, the
/// caller's limit for the whole start comes on top.
const WARM_UP_WITHIN: Duration = Duration::from_secs(10 * 60);

#[derive(Deserialize)]
struct Models {
    data: Vec<Model>,
}

#[derive(Deserialize)]
struct Model {
    id: String,
    #[serde(default)]
    max_model_len: Option<u32>,
    /// The path or name that vLLM was started with.
    #[serde(default)]
    root: Option<String>,
    /// Set on adapters.
    #[serde(default)]
    parent: Option<String>,
}

#[derive(Deserialize)]
struct Tokenized {
    #[serde(default)]
    token_strs: Option<Vec<String>>,
}

impl Vllm {
    /// Learns what the server serves. Ready only means something after a completion with log-probabilities went
    /// through: the first of them stalls, and everything in the batch with it.
    pub(in crate::engine) async fn prepare(&self) -> Result<ModelInfo, EngineError> {
        let model = self.served_model().await?;
        self.adapters.lock().forget();
        let capabilities = self.warm_up(&model.id).await?;
        let root = model.root.as_deref().map(Path::new).filter(|root| root.is_absolute() && root.is_dir());
        let folder = self.engine.model_dir.as_deref().or(root);
        let prompting = match capabilities.generate {
            true => template::of_model(folder, &self.engine).await?,
            false => Prompting::default(),
        };
        let traits = match folder {
            Some(folder) => traits::of_files(folder, &prompting).await,
            None if capabilities.generate => traits::of(String::new(), self.marks(&model.id).await, &prompting),
            None => ModelTraits::default(),
        };
        let vocabulary = vocabulary::of_model(folder).await?;
        if capabilities.generate && folder.is_none() {
            warn!(
                model = model.id,
                root = model.root,
                "the model's files are not here: set `engine.model_dir` to their folder"
            );
        }
        let chat_template = prompting.template();
        let context_length = model.max_model_len.unwrap_or(0);
        Ok(ModelInfo { served_name: model.id, context_length, vocabulary, chat_template, traits, capabilities })
    }

    async fn served_model(&self) -> Result<Model, EngineError> {
        let mut models: Models = self.calls.get("/v1/models").await?.success()?.json()?;
        models.data.retain(|model| model.parent.is_none());
        let found = match &self.served_name {
            Some(wanted) => models.data.iter().position(|model| model.id == *wanted),
            None => (!models.data.is_empty()).then_some(0),
        };
        found.map(|index| models.data.swap_remove(index)).ok_or_else(|| EngineError::OtherModel {
            wanted: self.served_name.clone().unwrap_or_default(),
            served: models.data.iter().map(|model| model.id.as_str()).collect::<Vec<_>>().join(", "),
        })
    }

    /// Which of the tokens that tell families apart the vocabulary has. None where the server does not say.
    async fn marks(&self, model: &str) -> Vec<String> {
        let question = json!({
            "model": model,
            "prompt": marks::question(),
            "add_special_tokens": false,
            "return_token_strs": true,
        });
        let asked = async { self.calls.post("/tokenize", &question).await?.success()?.json::<Tokenized>() };
        match asked.await {
            Ok(tokenized) => marks::found(tokenized.token_strs.iter().flatten().map(String::as_str)),
            Err(error) => {
                warn!(%error, "the model's family may not be recognised");
                Vec::new()
            }
        }
    }

    /// Finds out what the model does, by having it done.
    async fn warm_up(&self, model: &str) -> Result<Capabilities, EngineError> {
        let schema_words = SchemaWords::Llguidance.into();
        let question = json!({ "model": model, "prompt": "Hello" });
        let tokenize = self.calls.post("/tokenize", &question).await?.status.is_success();
        let can = Capabilities { tokenize, schema_words, ..Capabilities::default() };
        let completion = json!({ "model": model, "prompt": "Hello", "max_tokens": 2, "temperature": 0, "logprobs": 1 });
        let answer = self.calls.post_within(WARM_UP_WITHIN, "/v1/completions", &completion).await?;
        if answer.status != StatusCode::NOT_FOUND {
            answer.success()?;
            return Ok(Capabilities { generate: true, ..can });
        }
        let embedding = json!({ "model": model, "input": "Hello" });
        let embedded = self.calls.post_within(WARM_UP_WITHIN, "/v1/embeddings", &embedding).await?;
        // A model that embeds scores by how alike two texts are; one that was made to score embeds nothing.
        let pair = json!({ "model": model, "text_1": "Hello", "text_2": ["Hello"] });
        let score = self.calls.post_within(WARM_UP_WITHIN, "/score", &pair).await?.status.is_success();
        let embed = embedded.status.is_success();
        if !score {
            embedded.success()?;
        }
        Ok(Capabilities { embed, score, ..can })
    }
}
