//! The same questions to real engines that serve SmolLM2-135M-Instruct. `tests/e2e/run.sh` runs them beside the
//! end-to-end tests, with the engines' addresses in the environment.

use std::env;

use cloudach_proto::v1::{
    Constraint, EmbedRequest, ErrorCode, FinishReason, GenerateRequest, Prompt, PromptText, Sampling, constraint,
    embed_response::Outcome, prompt,
};
use cloudach_sidecar::config::{Dialect, EngineConfig};

use crate::rig::{MODEL, Sidecar, ask, ask_ids};

const QUESTION: &str = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n";

async fn sidecar(dialect: Dialect, variable: &str) -> Sidecar {
    let url = env::var(variable).unwrap_or_else(|_| panic!("{variable} names no engine"));
    let sidecar = Sidecar::start(EngineConfig::attach(dialect, url.parse().unwrap()), |_| {}).await;
    sidecar.ready().await;
    sidecar
}

fn greedy(prompt: &str) -> GenerateRequest {
    let sampling = Sampling { max_tokens: Some(20), temperature: Some(0.0), ..Sampling::default() };
    GenerateRequest { sampling: Some(sampling), ..ask(prompt) }
}

#[tokio::test]
#[ignore = "needs a real vLLM"]
async fn vllm_is_understood() {
    let sidecar = sidecar(Dialect::Vllm, "CLOUDACH_TEST_VLLM").await;
    is_understood(&sidecar).await;

    // Token by token, where vLLM would hold back as much text as the stop string has.
    let sampling =
        Sampling { stop: vec!["x".repeat(100)], stop_is_cut_by_caller: true, ..greedy("").sampling.unwrap() };
    let answer = sidecar.run(GenerateRequest { sampling: Some(sampling), ..greedy(QUESTION) }).await;
    assert_eq!(answer.deltas[0].text, "The");
    assert_eq!(answer.text(), "The capital of France is Paris.");

    let echo = sidecar.run(GenerateRequest { top_logprobs: Some(2), ..echo(QUESTION, 3) }).await;
    let prompt = echo.started.as_ref().unwrap().prompt.as_ref().unwrap();
    assert_eq!((prompt.text.as_str(), prompt.logprobs.len()), (QUESTION, 16));
    let spelled: Vec<u8> = prompt.logprobs.iter().flat_map(|entry| entry.bytes.clone()).collect();
    assert_eq!(String::from_utf8(spelled).unwrap(), QUESTION);
    assert!(prompt.logprobs[1..].iter().all(|entry| entry.top.len() == 2 && entry.logprob < 0.0));
    assert_eq!((echo.text().as_str(), echo.ids().len()), ("The capital of", 3));
    assert_eq!(echo.deltas.iter().map(|delta| delta.logprobs.len()).sum::<usize>(), 3);
    let long = "one two three four five ".repeat(20);
    let alone = sidecar.run(GenerateRequest { top_logprobs: Some(0), ..self::echo(&long, 0) }).await;
    assert_eq!(alone.started.as_ref().unwrap().prompt.as_ref().unwrap().logprobs.len(), 101);
    assert!(alone.deltas.is_empty());
}

#[tokio::test]
#[ignore = "needs a real llama.cpp"]
async fn llama_cpp_is_understood() {
    let sidecar = sidecar(Dialect::LlamaCpp, "CLOUDACH_TEST_LLAMA_CPP").await;
    is_understood(&sidecar).await;
}

#[tokio::test]
#[ignore = "needs a real vLLM with an embedding model"]
async fn vllm_embeds() {
    let sidecar = sidecar(Dialect::Vllm, "CLOUDACH_TEST_VLLM_EMBEDDINGS").await;
    let inputs = ["cat", "kitten", "stock market"].map(|text| {
        let text = PromptText { text: text.to_owned(), add_special_tokens: true };
        Prompt { prompt: Some(prompt::Prompt::Text(text)) }
    });
    let request = EmbedRequest { model: MODEL.into(), inputs: inputs.to_vec(), ..EmbedRequest::default() };
    let answer = sidecar.client.clone().embed(request).await.unwrap().into_inner();
    let Some(Outcome::Embeddings(found)) = answer.outcome else { panic!("{answer:?}") };
    let likeness = |a: usize, b: usize| -> f32 {
        found.data[a].values.iter().zip(&found.data[b].values).map(|(left, right)| left * right).sum()
    };
    assert!(likeness(0, 1) > 0.6 && likeness(0, 2) < 0.3, "{} {}", likeness(0, 1), likeness(0, 2));
    assert_eq!(sidecar.run(ask("hi")).await.failed.unwrap().code(), ErrorCode::Unsupported);
}

fn echo(prompt: &str, max_tokens: u32) -> GenerateRequest {
    let sampling = Some(Sampling { max_tokens: Some(max_tokens), ..greedy("").sampling.unwrap() });
    GenerateRequest { sampling, echo: true, ..ask(prompt) }
}

async fn is_understood(sidecar: &Sidecar) {
    let answer = sidecar.run(GenerateRequest { top_logprobs: Some(3), ..greedy(QUESTION) }).await;
    assert!(answer.text().contains("Paris"), "{answer:?}");
    let finished = answer.finished.as_ref().unwrap();
    assert_eq!(finished.reason(), FinishReason::Stop);
    let usage = finished.usage.unwrap();
    assert_eq!((usage.prompt_tokens, usage.completion_tokens as usize), (16, answer.ids().len()));
    let entries: Vec<_> = answer.deltas.iter().flat_map(|delta| &delta.logprobs).collect();
    let spelled: Vec<u8> = entries.iter().flat_map(|entry| entry.bytes.clone()).collect();
    assert!(String::from_utf8(spelled).unwrap().starts_with(&answer.text()), "{entries:?}");
    assert!(entries.iter().all(|entry| entry.top.len() == 3));

    // From its own ids, cut in the middle, it goes on where it was.
    let mut resumed = vec![1, 4093, 198, 1780, 314, 260, 3575, 282, 4649, 47, 2, 198, 1, 520, 9531, 198];
    resumed.extend(&answer.ids()[..3]);
    let rest = sidecar.run(GenerateRequest { prompt: ask_ids(resumed).prompt, ..greedy("") }).await;
    assert!(rest.text().contains("Paris"), "{rest:?}");

    let sampling = Sampling { stop: vec!["of France".into()], ..greedy("").sampling.unwrap() };
    let stopped = sidecar.run(GenerateRequest { sampling: Some(sampling), ..greedy(QUESTION) }).await;
    assert_eq!(stopped.finished.as_ref().unwrap().stop.as_deref(), Some("of France"), "{stopped:?}");
    assert!(!stopped.text().contains("of France"));

    let schema =
        r#"{"type":"object","properties":{"city":{"const":"Paris"}},"required":["city"],"additionalProperties":false}"#;
    let limited = |schema: &str| {
        let constraint = Some(Constraint { kind: Some(constraint::Kind::JsonSchema(schema.into())) });
        GenerateRequest { constraint, ..greedy(QUESTION) }
    };
    let structured = sidecar.run(limited(schema)).await;
    let value: serde_json::Value = serde_json::from_str(&structured.text()).unwrap();
    assert_eq!(value["city"], "Paris");
    let refused = sidecar.run(limited(r#"{"type":"foo"}"#)).await;
    assert!(refused.started.is_none());
    let refused = refused.failed.expect("a schema that is none is refused");
    assert_eq!((refused.code(), refused.param.as_str()), (ErrorCode::InvalidRequest, "response_format"), "{refused:?}");

    for tokens in [2048, 3000] {
        let failed = sidecar.run(ask_ids(vec![504; tokens])).await.failed.unwrap();
        assert_eq!((failed.code(), failed.context_length), (ErrorCode::ContextLengthExceeded, 2048), "{failed:?}");
    }
    let failed = sidecar.run(ask_ids(vec![99_999_999])).await.failed.unwrap();
    assert_eq!(failed.code(), ErrorCode::InvalidRequest, "{failed:?}");

    let alone = sidecar.run(echo(QUESTION, 0)).await;
    assert_eq!(alone.started.as_ref().unwrap().prompt.as_ref().unwrap().text, QUESTION);
    let finished = alone.finished.as_ref().unwrap();
    assert_eq!((alone.deltas.len(), finished.reason()), (0, FinishReason::Length));
    let usage = finished.usage.unwrap();
    assert_eq!((usage.prompt_tokens, usage.completion_tokens), (16, 0));
    let ids = vec![1, 4093, 198, 2];
    let both = sidecar.run(GenerateRequest { prompt: ask_ids(ids).prompt, ..echo("", 2) }).await;
    assert_eq!(both.started.as_ref().unwrap().prompt.as_ref().unwrap().text, "<|im_start|>user\n<|im_end|>");
    assert_eq!(both.finished.as_ref().unwrap().usage.unwrap().completion_tokens, 2, "{both:?}");
    for max_tokens in [0, 2] {
        let request = GenerateRequest { prompt: ask_ids(vec![99_999_999]).prompt, ..echo("", max_tokens) };
        let failed = sidecar.run(request).await.failed.unwrap();
        assert_eq!((failed.code(), failed.param.as_str()), (ErrorCode::InvalidRequest, ""), "{failed:?}");
        let words = "Invalid token in prompt: 99999999. Minimum value is 0, maximum value is ";
        assert!(failed.message.starts_with(words), "{failed:?}");
    }

    // A limit in the middle of a character: what came of it is dropped by the engines themselves.
    let cut = |max_tokens| {
        let grammar = constraint::Kind::Grammar("root ::= \"a🦀!\"".into());
        let sampling = Some(Sampling { max_tokens: Some(max_tokens), ..greedy("").sampling.unwrap() });
        GenerateRequest { sampling, constraint: Some(Constraint { kind: Some(grammar) }), ..greedy("Say: ") }
    };
    for (max_tokens, text) in [(2, "a"), (3, "a"), (4, "a🦀")] {
        assert_eq!(sidecar.run(cut(max_tokens)).await.text(), text);
    }
    let entries = sidecar.run(GenerateRequest { top_logprobs: Some(1), ..cut(20) }).await;
    assert_eq!(entries.text(), "a🦀!");
    let spelled: Vec<u8> =
        entries.deltas.iter().flat_map(|delta| &delta.logprobs).flat_map(|e| e.bytes.clone()).collect();
    assert_eq!(String::from_utf8(spelled).unwrap(), "a🦀!");
}
