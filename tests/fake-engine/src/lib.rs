//! A scripted inference engine for black-box tests, load and demos: it speaks vLLM's HTTP dialect and llama.cpp's
//! native one, computes nothing, and fails in all the ways in which engines fail.
//!
//! ```no_run
//! # async fn example() {
//! use cloudach_fake_engine::{FakeEngine, Fault, FaultRule, Script};
//! let script = Script::vllm().saying("Hello world").fault(FaultRule::from(Fault::Die).times(1));
//! let engine = FakeEngine::start(script).await;
//! println!("{} runs {} requests", engine.url(), engine.running());
//! # }
//! ```
//!
//! Answers are a pure function of prompt, seed and script, the same on every engine. A prompt of token ids whose end
//! was emitted by an engine before is gone on with from there, with the same tokens. Directives in the prompt (module
//! `orders`) steer one request through any number of gateways.

mod answer;
mod choice;
mod connection;
mod embedding;
mod engine;
mod events;
mod fault;
mod fields;
mod generation;
mod held_text;
mod json;
mod llama_cpp;
mod load;
mod orders;
mod prefix_cache;
mod reply;
mod schema;
mod score;
mod script;
mod socket;
mod vllm;
pub mod vocabulary;

pub use answer::Answer;
pub use engine::FakeEngine;
pub use fault::{Break, Fault, FaultRule, Trouble, UnknownFault};
pub use load::TraceHeaders;
pub use orders::{Pace, UnknownWireStyle, WireStyle};
pub use script::{Dialect, FrontEnd, Listen, Script, Serves};
