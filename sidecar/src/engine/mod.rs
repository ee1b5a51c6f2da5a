//! The engine: everything that depends on what kind of engine runs, and nothing of it is seen outside this folder.
//!
//! [`Engine`] takes the gateway's requests and gives the gateway's events. A dialect is a folder: `request.rs` turns
//! a request into the engine's JSON, `events.rs` its events into ours, `errors.rs` its errors into ours, all without
//! I/O; its `mod.rs` makes the calls. A generation is always streamed, also where the client asked for one answer:
//! there is one path, and a closed connection is what makes every engine stop working.

mod call;
mod deadline;
mod echo;
mod embeddings;
mod failure;
mod figures;
mod generation;
mod headers;
mod http;
mod last_words;
mod llama_cpp;
mod marks;
mod model;
mod prompt;
mod resume;
mod sampling;
mod schema;
mod scores;
mod sse;
mod template;
mod traits;
mod unary;
mod unseen;
mod vllm;
mod vocabulary;

use cloudach_proto::v1::{Failed, GenerateRequest};

pub(crate) use self::{
    call::EngineError, figures::Figures, generation::Generation, model::ModelInfo, unary::PutToEngine,
};
use self::{deadline::Deadline, prompt::Input, resume::Penalties};
use crate::{
    config::{Config, Dialect, Limits},
    death::Death,
};

/// One engine of one of the dialects.
#[derive(Debug)]
pub(crate) enum Engine {
    Vllm(vllm::Vllm),
    LlamaCpp(llama_cpp::LlamaCpp),
}

impl Engine {
    pub(crate) fn new(config: &Config) -> Self {
        match config.engine.dialect {
            Dialect::Vllm => Self::Vllm(vllm::Vllm::new(config)),
            Dialect::LlamaCpp => Self::LlamaCpp(llama_cpp::LlamaCpp::new(config)),
        }
    }

    /// Whether the engine answers at all.
    pub(crate) async fn health(&self) -> Result<(), EngineError> {
        match self {
            Self::Vllm(engine) => engine.calls.health().await,
            Self::LlamaCpp(engine) => engine.calls.health().await,
        }
    }

    /// Learns what the engine serves and makes it ready to serve it at full speed.
    pub(crate) async fn prepare(&self) -> Result<ModelInfo, EngineError> {
        match self {
            Self::Vllm(engine) => engine.prepare().await,
            Self::LlamaCpp(engine) => engine.prepare().await,
        }
    }

    /// How busy the engine says it is.
    pub(crate) async fn figures(&self) -> Result<Figures, EngineError> {
        match self {
            Self::Vllm(engine) => engine.figures().await,
            Self::LlamaCpp(engine) => engine.figures().await,
        }
    }

    /// Requests that are held back from the engine until it has room for them.
    pub(crate) fn queued(&self) -> u32 {
        match self {
            Self::Vllm(_) => 0,
            Self::LlamaCpp(engine) => engine.queued(),
        }
    }

    /// The adapters that are ready for the engine's batch, and how many can be. 0: it does not say.
    pub(crate) fn resident(&self) -> (Vec<String>, u32) {
        match self {
            Self::Vllm(engine) => engine.resident(),
            Self::LlamaCpp(_) => (Vec::new(), 0),
        }
    }

    /// Starts a generation; returns once the engine has accepted it.
    pub(crate) async fn generate(&self, mut request: GenerateRequest, model: &ModelInfo) -> Result<Generation, Failed> {
        sampling::check(&request)?;
        prompt::begin(&mut request, model);
        let deadline = Deadline::of(request.context.as_ref());
        if request.resumed.is_some() && !resume::is_replayed(&request) {
            let limit = self.limits().first_token_timeout;
            deadline.tokenizes_within(limit, self.go_on(&mut request, model)).await?;
        }
        match self {
            Self::Vllm(engine) => engine.generate(request, model, deadline).await,
            Self::LlamaCpp(engine) => engine.generate(request, model, deadline).await,
        }
    }

    fn limits(&self) -> &Limits {
        match self {
            Self::Vllm(engine) => &engine.limits,
            Self::LlamaCpp(engine) => &engine.limits,
        }
    }

    /// Puts what another replica wrote of the answer behind the prompt.
    async fn go_on(&self, request: &mut GenerateRequest, model: &ModelInfo) -> Result<(), Failed> {
        let mut kept = request.resumed.take().unwrap_or_default().token_ids;
        let ids = match (Input::of(request.prompt.as_ref())?, self) {
            (Input::Ids(ids), _) => ids.to_vec(),
            (Input::Text { text, add_special_tokens }, Self::Vllm(engine)) => {
                engine.tokenize(text, add_special_tokens, model).await?
            }
            (Input::Text { text, add_special_tokens }, Self::LlamaCpp(engine)) => {
                engine.tokenize(text, add_special_tokens).await?
            }
        };
        match self {
            Self::Vllm(engine) => {
                engine.cut_to_whole_characters(&mut kept).await?;
                resume::go_on(request, ids, kept, Penalties::OfTheAnswer)
            }
            // It tells the tokens of a character together.
            Self::LlamaCpp(_) => resume::go_on(request, ids, kept, Penalties::OfAll),
        }
    }

    /// Frees the GPU's memory and keeps the process.
    pub(crate) async fn sleep(&self, level: u32) -> Result<(), EngineError> {
        match self {
            Self::Vllm(engine) => engine.sleep(level).await,
            Self::LlamaCpp(_) => Err(EngineError::Unsupported("llama.cpp cannot sleep; unload the model instead")),
        }
    }

    /// Undoes [`Engine::sleep`].
    pub(crate) async fn wake(&self, level: u32) -> Result<(), EngineError> {
        match self {
            Self::Vllm(engine) => engine.wake(level).await,
            Self::LlamaCpp(_) => Err(EngineError::Unsupported("llama.cpp does not sleep")),
        }
    }

    /// Makes a LoRA adapter available under `name`.
    pub(crate) async fn load_adapter(&self, name: &str, path: &str) -> Result<(), EngineError> {
        match self {
            Self::Vllm(engine) => engine.load_adapter(name, path).await,
            Self::LlamaCpp(_) => {
                Err(EngineError::Unsupported("llama.cpp loads adapters only when it starts: name them in its command"))
            }
        }
    }

    /// Undoes [`Engine::load_adapter`].
    pub(crate) async fn unload_adapter(&self, name: &str) -> Result<(), EngineError> {
        match self {
            Self::Vllm(engine) => engine.unload_adapter(name).await,
            Self::LlamaCpp(_) => Err(EngineError::Unsupported("llama.cpp keeps the adapters that it started with")),
        }
    }

    /// Looks for the reason of the engine's death in its last lines, oldest first.
    pub(crate) fn cause_of_death<'a>(&self, lines: impl DoubleEndedIterator<Item = &'a str> + Clone) -> Option<Death> {
        match self {
            Self::Vllm(_) => vllm::death::cause(lines),
            Self::LlamaCpp(_) => llama_cpp::death::cause(lines),
        }
    }
}
