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
    let refused = sidecar.run(limited(r#"{"type":"foo"}"#)).await.failed.expect("a schema that is none is refused");
    assert_eq!((refused.code(), refused.param.as_str()), (ErrorCode::InvalidRequest, "response_format"), "{refused:?}");

    for tokens in [2048, 3000] {
        let failed = sidecar.run(ask_ids(vec![504; tokens])).await.failed.unwrap();
        assert_eq!((failed.code(), failed.context_length), (ErrorCode::ContextLengthExceeded, 2048), "{failed:?}");
    }
    let failed = sidecar.run(ask_ids(vec![99_999_999])).await.failed.unwrap();
    assert_eq!(failed.code(), ErrorCode::InvalidRequest, "{failed:?}");
}
