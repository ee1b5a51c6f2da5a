//! Gets to know a llama.cpp server that answers. It needs no warm-up.

use std::path::PathBuf;

use cloudach_proto::v1::{Capabilities, SchemaWords};
use serde::Deserialize;
use serde_json::json;

use super::{
    super::{
        ModelInfo,
        call::EngineError,
        template::{self, Prompting},
        traits,
    },
    LlamaCpp, gguf,
    tokenize::Tokenizer,
};

#[derive(Deserialize)]
struct Props {
    default_generation_settings: Settings,
    total_slots: usize,
    #[serde(default)]
    model_path: PathBuf,
    #[serde(default)]
    chat_template: String,
    #[serde(default)]
    bos_token: String,
    #[serde(default)]
    eos_token: String,
}

#[derive(Deserialize)]
struct Settings {
    /// What one slot has, and so what one request may use.
    n_ctx: u32,
}

#[derive(Deserialize)]
struct Models {
    data: Vec<Model>,
}

#[derive(Deserialize)]
struct Model {
    id: String,
    #[serde(default)]
    meta: Meta,
}

#[derive(Default, Deserialize)]
struct Meta {
    #[serde(default)]
    n_vocab: u32,
}

impl LlamaCpp {
    /// Learns what the server serves, and how many requests at once.
    pub(in crate::engine) async fn prepare(&self) -> Result<ModelInfo, EngineError> {
        let props: Props = self.calls.get("/props").await?.success()?.json()?;
        let (served_name, vocabulary) = self.served_model().await?;
        let capabilities = self.capabilities().await?;
        let some = |text: String| (!text.is_empty()).then_some(text);
        let marks = Tokenizer::new(self.calls.clone()).marks().await?;
        let found = Prompting {
            source: some(props.chat_template).filter(|source| !is_stopgap(source, &marks)),
            bos_token: some(props.bos_token),
            eos_token: some(props.eos_token),
        };
        let prompting = template::overridden(found, &self.engine).await?;
        let architecture = gguf::architecture(&props.model_path).await.unwrap_or_default();
        self.slots.set(props.total_slots);
        Ok(ModelInfo {
            served_name,
            vocabulary,
            context_length: props.default_generation_settings.n_ctx,
            chat_template: prompting.template(),
            traits: traits::of(architecture, marks, &prompting),
            capabilities,
        })
    }

    /// A server that was started to rerank does nothing else: its embeddings are its scores.
    async fn capabilities(&self) -> Result<Capabilities, EngineError> {
        let pair = json!({ "query": "Hello", "documents": ["Hello"] });
        let score = self.calls.post("/v1/rerank", &pair).await?.status.is_success();
        let embedding = json!({ "input": "Hello" });
        let embed = !score && self.calls.post("/v1/embeddings", &embedding).await?.status.is_success();
        let schema_words = SchemaWords::LlamaCpp.into();
        Ok(Capabilities { generate: !score, embed, score, tokenize: true, schema_words })
    }

    /// The model's name, and how many tokens it knows. The server answers to any name: only a name that was configured
    /// is looked for.
    async fn served_model(&self) -> Result<(String, u32), EngineError> {
        let models: Models = self.calls.get("/v1/models").await?.success()?.json()?;
        let (served, vocabulary) =
            models.data.into_iter().next().map(|model| (model.id, model.meta.n_vocab)).unwrap_or_default();
        match &self.served_name {
            Some(wanted) if *wanted != served => Err(EngineError::OtherModel { wanted: wanted.clone(), served }),
            _ => Ok((served, vocabulary)),
        }
    }
}

/// For a model without a template the server puts in ChatML. It cannot be the model's own if it has no token for the
/// mark that ChatML begins with.
fn is_stopgap(template: &str, marks: &[String]) -> bool {
    const BEGIN: &str = "<|im_start|>";
    template.contains(BEGIN) && !marks.iter().any(|mark| mark == BEGIN)
}
