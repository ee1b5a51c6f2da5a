//! `fake-engine`: the scripted engine as a process of its own, for load, demos and tests of supervision.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use cloudach_fake_engine::{
    Answer, Break, Dialect, FakeEngine, Fault, FaultRule, FrontEnd, Listen, Pace, Script, Serves, WireStyle,
};
use tokio::signal::unix::{SignalKind, signal};

/// A scripted inference engine: speaks an engine's HTTP dialect, computes nothing, fails on demand.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[arg(long, value_enum, default_value = "vllm")]
    dialect: DialectName,
    /// Which of vLLM's HTTP front ends is imitated.
    #[arg(long, value_enum, default_value = "python")]
    front_end: FrontEndName,
    /// ADDRESS:PORT or unix:PATH; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8000", value_parser = listen)]
    listen: Listen,
    #[arg(long, default_value = "fake-model")]
    model: String,
    /// The context length in tokens.
    #[arg(long, default_value_t = 8192)]
    max_model_len: u32,
    #[arg(long, default_value = "0ms", value_parser = humantime::parse_duration)]
    first_token_delay: Duration,
    #[arg(long, default_value = "0ms", value_parser = humantime::parse_duration)]
    inter_token_delay: Duration,
    /// How long the engine takes to get ready.
    #[arg(long, default_value = "0ms", value_parser = humantime::parse_duration)]
    startup_delay: Duration,
    /// Answers end by themselves after so many generated words.
    #[arg(long, default_value_t = 32)]
    tokens: u32,
    /// Answers with this text instead of generated words.
    #[arg(long, conflicts_with = "tokens")]
    text: Option<String>,
    /// Cuts the text into tokens of so many bytes instead of words.
    #[arg(long, requires = "text")]
    text_token_bytes: Option<usize>,
    /// Ends answers without an end-of-sequence token, which is counted otherwise.
    #[arg(long)]
    no_eos: bool,
    /// How many tokens vLLM puts into one event.
    #[arg(long, default_value_t = 1)]
    burst: u32,
    /// Where vLLM says the model was loaded from: a folder with a chat template.
    #[arg(long)]
    root: Option<String>,
    /// The share of generations, 0 to 1, that get an HTTP 500.
    #[arg(long, default_value_t = 0.0)]
    fail_rate: f64,
    /// Resets the connection of every generation after so many tokens.
    #[arg(long)]
    die_after_tokens: Option<u32>,
    /// What goes wrong: status=503, context, schema, overloaded, oom, internal, dead, each of these six with _after=3,
    /// or die, die_after=3, kill_after=3, oom_kill_after=3, error_after=3, end_after=3, abort_after=3, stall_after=3,
    /// malformed_after=3, huge_after=3:BYTES. With `@TEXT` behind it, only for prompts with that text.
    #[arg(long, value_parser = fault)]
    fault: Vec<FaultRule>,
    /// How events look on the wire: crlf, no_space, split=BYTES.
    #[arg(long)]
    wire: Vec<String>,
    /// Loads an embedding model of so many dimensions. vLLM then serves no completions.
    #[arg(long)]
    embedding_dim: Option<u32>,
    /// Loads a model that says how well documents answer queries, and does nothing else.
    #[arg(long, conflicts_with = "embedding_dim")]
    scores: bool,
    /// The embedding model's vectors may be had in fewer dimensions.
    #[arg(long)]
    matryoshka: bool,
    /// How many requests run at once; others wait. Also the number of llama.cpp's slots.
    #[arg(long, default_value_t = 1_000_000)]
    max_running: usize,
    /// How many requests may wait; more get a 503.
    #[arg(long)]
    max_queued: Option<usize>,
    #[arg(long, default_value_t = 262_144)]
    kv_cache_tokens: u32,
    #[arg(long)]
    prompt_tokens_details: bool,
    /// Serves vLLM's /sleep, /wake_up and /is_sleeping.
    #[arg(long)]
    dev_mode: bool,
    #[arg(long)]
    enable_lora: bool,
    #[arg(long, default_value_t = 1)]
    max_loras: u32,
    /// Notices a client's leaving no sooner than the real llama.cpp does.
    #[arg(long)]
    deaf: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum DialectName {
    Vllm,
    LlamaCpp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FrontEndName {
    Python,
    Rust,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fake-engine: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs until it is told to stop, or until a fault kills the engine: the process then fails, as a real one does.
async fn run(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let listen = arguments.listen.clone();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let engine = FakeEngine::listen(script(arguments)?, &listen).await?;
    eprintln!("fake-engine: listening on {}", engine.url());
    tokio::select! {
        () = engine.ended() => return Err("the engine died as ordered".into()),
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    engine.stop().await;
    Ok(())
}

fn script(arguments: Arguments) -> Result<Script, Box<dyn std::error::Error>> {
    let base = match (arguments.dialect, arguments.front_end) {
        (DialectName::LlamaCpp, _) => Script::llama_cpp(),
        (DialectName::Vllm, FrontEndName::Python) => Script::vllm(),
        (DialectName::Vllm, FrontEndName::Rust) => Script { dialect: Dialect::Vllm(FrontEnd::Rust), ..Script::vllm() },
    };
    let answer = match (&arguments.text, arguments.text_token_bytes) {
        (None, _) => Answer::Words { tokens: arguments.tokens },
        (Some(text), None) => Answer::text(text),
        (Some(text), Some(size)) => Answer::cut(text, size),
    };
    let mut wire = WireStyle::default();
    for habit in &arguments.wire {
        wire = wire.with(habit)?;
    }
    let mut faults = arguments.fault;
    faults.extend(arguments.die_after_tokens.map(|after| FaultRule::from(Fault::After(after, Break::Reset))));
    Ok(Script {
        model: arguments.model,
        serves: match arguments.embedding_dim {
            Some(dimensions) => Serves::Embeddings { dimensions },
            None if arguments.scores => Serves::Scores,
            None => Serves::Generation,
        },
        matryoshka: arguments.matryoshka,
        max_model_len: arguments.max_model_len,
        answer,
        eos: !arguments.no_eos,
        burst: arguments.burst,
        root: arguments.root,
        pace: Pace { first_token: arguments.first_token_delay, inter_token: arguments.inter_token_delay },
        wire,
        faults,
        fail_rate: arguments.fail_rate,
        startup_delay: arguments.startup_delay,
        max_running: arguments.max_running,
        max_queued: arguments.max_queued,
        kv_cache_tokens: arguments.kv_cache_tokens,
        prompt_tokens_details: arguments.prompt_tokens_details,
        dev_mode: arguments.dev_mode,
        deaf: arguments.deaf,
        lora: arguments.enable_lora,
        max_loras: arguments.max_loras,
        stale_figures: false,
        // Nobody can ask this process for them.
        record: 0,
        ..base
    })
}

fn listen(text: &str) -> Result<Listen, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        return Ok(Listen::Unix(PathBuf::from(path)));
    }
    let address: SocketAddr = text.parse().map_err(|_| format!("`{text}` is neither ADDRESS:PORT nor unix:PATH"))?;
    Ok(Listen::Tcp(address))
}

fn fault(text: &str) -> Result<FaultRule, String> {
    let (fault, matching) = match text.split_once('@') {
        Some((fault, matching)) => (fault, Some(matching)),
        None => (text, None),
    };
    let rule = FaultRule::from(fault.parse::<Fault>().map_err(|error| error.to_string())?);
    Ok(match matching {
        Some(matching) => rule.matching(matching),
        None => rule,
    })
}
