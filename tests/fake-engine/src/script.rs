//! What an engine is told to be before it starts: its dialect, its model, its limits, and what it answers.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::answer::Answer;
use crate::fault::FaultRule;
use crate::orders::{Pace, WireStyle};

/// Everything about a fake engine that a test or a demo chooses.
#[derive(Debug, Clone)]
pub struct Script {
    pub dialect: Dialect,
    /// The name under which the model is served.
    pub model: String,
    pub serves: Serves,
    /// Vectors may be had in fewer dimensions, from vLLM.
    pub matryoshka: bool,
    /// The context length in tokens: prompt and answer together.
    pub max_model_len: u32,
    pub answer: Answer,
    /// Ends an answer with an end-of-sequence token, which has an id but no text and is counted: what both engines do.
    pub eos: bool,
    /// How many tokens vLLM puts into one event.
    pub burst: u32,
    pub pace: Pace,
    pub wire: WireStyle,
    /// The first rule that matches a request decides; a directive in the prompt goes before all of them.
    pub faults: Vec<FaultRule>,
    /// The share of generations, 0 to 1, that get an HTTP 500. Which ones is decided by their number, not by chance.
    pub fail_rate: f64,
    /// How long the engine needs to get ready. vLLM does not listen until then, llama.cpp answers 503.
    /// Read when the engine starts.
    pub startup_delay: Duration,
    /// How many requests run at once, others wait. Read when the engine starts.
    pub max_running: usize,
    /// How many requests may wait; more get a 503. `None`: no bound, as the real engines have it by default.
    pub max_queued: Option<usize>,
    /// How many tokens the KV cache holds: the scale of the usage gauge and of the prefix cache.
    pub kv_cache_tokens: u32,
    /// How long the engine needs for each token of a prompt that its prefix cache does not have.
    pub prefill: Duration,
    /// How long its tokenizer takes to answer, in either direction.
    pub tokenizer_delay: Duration,
    /// Reports `prompt_tokens_details.cached_tokens` (vLLM's `--enable-prompt-tokens-details`).
    pub prompt_tokens_details: bool,
    /// Serves `/sleep`, `/wake_up` and `/is_sleeping` (vLLM's `VLLM_SERVER_DEV_MODE=1`).
    pub dev_mode: bool,
    /// Notices a client's leaving no sooner than the real llama.cpp does: never when the response is not streamed,
    /// and before the first token only with `return_progress`. Otherwise leaving ends a request at once.
    pub deaf: bool,
    /// Where the engine says the model was loaded from: for vLLM a folder, in which a gateway looks for the chat template;
    /// for llama.cpp a file.
    pub root: Option<String>,
    /// What the tokenizer tells as one token each. In prompts they are text like any other.
    pub special_tokens: Vec<String>,
    /// What llama.cpp's `/props` tells as the model's chat template.
    pub chat_template: String,
    /// Accepts adapters (vLLM's `--enable-lora`).
    pub lora: bool,
    /// How many adapters are ready for its batch at once (vLLM's `--max-loras`). `/metrics` tells it, and never which run.
    pub max_loras: u32,
    /// Tells the figures of the first look at them for ever, as vLLM's server does when the processes behind it have stopped.
    pub stale_figures: bool,
    /// How many request bodies are kept for `FakeEngine::requests`; older ones are forgotten.
    pub record: usize,
}

/// Whose HTTP surface is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    Vllm(FrontEnd),
    LlamaCpp,
}

/// vLLM's two HTTP front ends, which differ in error texts and in the first and last chunk of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrontEnd {
    Python,
    Rust,
}

/// What kind of model is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serves {
    Generation,
    /// An embedding model. vLLM then serves no completions; llama.cpp serves both.
    Embeddings {
        dimensions: u32,
    },
    /// A model that says how well documents answer queries, and nothing else.
    Scores,
}

/// Where an engine listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    Tcp(std::net::SocketAddr),
    /// A Unix socket. As with vLLM, a file left over at the path makes the start fail.
    Unix(PathBuf),
}

/// A template of the common form, so that a gateway has something to render.
const CHAT_TEMPLATE: &str = "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}\
                             <|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

impl Default for Script {
    fn default() -> Self {
        Self {
            dialect: Dialect::Vllm(FrontEnd::Python),
            model: "fake-model".to_owned(),
            serves: Serves::Generation,
            matryoshka: false,
            max_model_len: 8192,
            answer: Answer::Words { tokens: 32 },
            eos: true,
            burst: 1,
            pace: Pace::default(),
            wire: WireStyle::default(),
            faults: Vec::new(),
            fail_rate: 0.0,
            startup_delay: Duration::ZERO,
            max_running: 1_000_000,
            max_queued: None,
            kv_cache_tokens: 262_144,
            prefill: Duration::ZERO,
            tokenizer_delay: Duration::ZERO,
            prompt_tokens_details: false,
            dev_mode: false,
            deaf: false,
            root: None,
            special_tokens: ["<|im_start|>", "<|im_end|>"].map(str::to_owned).into(),
            chat_template: CHAT_TEMPLATE.to_owned(),
            lora: false,
            max_loras: 1,
            stale_figures: false,
            record: 1000,
        }
    }
}

impl Script {
    /// vLLM with its Python front end, the default.
    pub fn vllm() -> Self {
        Self::default()
    }

    /// llama.cpp's server.
    pub fn llama_cpp() -> Self {
        Self { dialect: Dialect::LlamaCpp, ..Self::default() }
    }

    /// Answers every request with this text, a token per word.
    pub fn saying(mut self, text: &str) -> Self {
        self.answer = Answer::text(text);
        self
    }

    /// Answers with this many generated words.
    pub fn tokens(mut self, tokens: u32) -> Self {
        self.answer = Answer::Words { tokens };
        self
    }

    /// Adds a rule about what goes wrong.
    pub fn fault(mut self, rule: impl Into<FaultRule>) -> Self {
        self.faults.push(rule.into());
        self
    }

    pub(crate) fn scripted_tokens(&self) -> Arc<[Box<[u8]>]> {
        match &self.answer {
            Answer::Words { .. } => Arc::default(),
            Answer::Tokens(tokens) => Arc::clone(tokens),
        }
    }
}
