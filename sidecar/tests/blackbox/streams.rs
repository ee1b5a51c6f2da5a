//! Generations and embeddings as callers see them, for both dialects alike.

use cloudach_fake_engine::{Script, Serves, vocabulary};
use cloudach_proto::v1::{EmbedRequest, ErrorCode, FinishReason, GenerateRequest, Sampling, embed_response::Outcome};
use futures_util::StreamExt;

use crate::rig::{Answer, MODEL, Rig, ask, ask_ids, engines};

#[tokio::test]
async fn text_in_tokens_out() {
    for script in engines() {
        let rig = Rig::start(script.saying("Hello wide 日本 world 🦀.")).await;
        let answer = rig.sidecar.run(ask("Say hello")).await;
        assert_eq!(answer.started.as_ref().unwrap().replica, "replica-1");
        assert_eq!(answer.text(), "Hello wide 日本 world 🦀.");
        let finished = answer.finished.as_ref().unwrap();
        assert_eq!(finished.reason(), FinishReason::Stop);
        let usage = finished.usage.unwrap();
        assert_eq!(usage.completion_tokens as usize, answer.ids().len());
        assert_eq!(usage.prompt_tokens as usize, vocabulary::tokenize("Say hello").len());
    }
}

#[tokio::test]
async fn a_session_carries_many_generations() {
    for script in engines() {
        let rig = Rig::start(script.tokens(40)).await;
        let peer = rig.sidecar.peer().await;
        let answers = futures_util::future::join_all((0..50).map(|number| {
            let request = GenerateRequest { request_id: format!("r-{number}"), ..ask(&format!("prompt {number}")) };
            Answer::read(Box::pin(peer.generate(request).unwrap()))
        }));
        for answer in answers.await {
            assert!(answer.ids().len() >= 40);
            assert_eq!(answer.finished.unwrap().reason(), FinishReason::Stop);
        }
    }
}

#[tokio::test]
async fn ids_in_ids_out_and_on_from_there() {
    for script in engines() {
        let rig = Rig::start(script.tokens(20)).await;
        let prompt = vocabulary::tokenize("Go on");
        let whole = rig.sidecar.run(ask_ids(prompt.clone())).await;
        assert_eq!(whole.started.as_ref().unwrap().prompt_tokens as usize, prompt.len());
        let resumed = [&prompt[..], &whole.ids()[..8]].concat();
        let rest = rig.sidecar.run(ask_ids(resumed)).await;
        assert_eq!(rest.ids(), whole.ids()[8..]);
    }
}

#[tokio::test]
async fn limits_and_stop_strings_end_an_answer() {
    for script in engines() {
        let rig = Rig::start(script.saying("one two three four")).await;
        let sampling = Sampling { max_tokens: Some(2), ..Sampling::default() };
        let short = rig.sidecar.run(GenerateRequest { sampling: Some(sampling), ..ask("count") }).await;
        assert_eq!(short.ids().len(), 2);
        assert_eq!(short.finished.unwrap().reason(), FinishReason::Length);

        let sampling = Sampling { stop: vec!["three".into()], ..Sampling::default() };
        let stopped = rig.sidecar.run(GenerateRequest { sampling: Some(sampling.clone()), ..ask("count") }).await;
        assert_eq!(stopped.text().trim(), "one two");
        let finished = stopped.finished.unwrap();
        assert_eq!((finished.reason(), finished.stop.as_deref()), (FinishReason::Stop, Some("three")));

        let sampling = Sampling { include_stop: true, ..sampling };
        let kept = rig.sidecar.run(GenerateRequest { sampling: Some(sampling), ..ask("count") }).await;
        assert_eq!(kept.text(), "one two three");
    }
}

#[tokio::test]
async fn a_caller_that_cuts_stop_texts_waits_for_none() {
    for script in engines() {
        let rig = Rig::start(script.saying("one two three four")).await;
        let sampling = Sampling {
            stop: vec!["three".into(), "not in there at all".into()],
            stop_is_cut_by_caller: true,
            ..Sampling::default()
        };
        let answer = rig.sidecar.run(GenerateRequest { sampling: Some(sampling.clone()), ..ask("count") }).await;
        assert_eq!(answer.deltas[0].text, "one", "nothing is held back");
        assert!(["one two three", "one two "].contains(&answer.text().as_str()), "{}", answer.text());
        assert_eq!(answer.finished.unwrap().stop.as_deref(), Some("three"));

        let sampling = Sampling { stop: vec!["five".into()], ..sampling };
        let whole = rig.sidecar.run(GenerateRequest { sampling: Some(sampling), ..ask("count") }).await;
        let texts: Vec<&str> =
            whole.deltas.iter().map(|delta| delta.text.as_str()).filter(|text| !text.is_empty()).collect();
        assert_eq!(texts, ["one", " two", " three", " four"]);
    }
}

#[tokio::test]
async fn a_prompt_is_told_before_its_answer() {
    for script in engines() {
        let rig = Rig::start(script.saying("one two three")).await;
        let both = rig.sidecar.run(GenerateRequest { echo: true, ..ask("Say é, 日本!") }).await;
        let prompt = both.started.as_ref().unwrap().prompt.as_ref().unwrap();
        assert_eq!((prompt.text.as_str(), prompt.logprobs.len()), ("Say é, 日本!", 0));
        assert_eq!(both.text(), "one two three");

        let ids = vocabulary::tokenize("Say é, 日本!");
        let alone = Some(Sampling { max_tokens: Some(0), ..Sampling::default() });
        let request = GenerateRequest { echo: true, sampling: alone.clone(), ..ask_ids(ids.clone()) };
        let told = rig.sidecar.run(request).await;
        assert_eq!(told.started.as_ref().unwrap().prompt.as_ref().unwrap().text, "Say é, 日本!");
        let finished = told.finished.as_ref().unwrap();
        assert_eq!((told.deltas.len(), finished.reason()), (0, FinishReason::Length));
        let usage = finished.usage.unwrap();
        assert_eq!((usage.prompt_tokens as usize, usage.completion_tokens), (ids.len(), 0));

        let without_echo = rig.sidecar.run(GenerateRequest { sampling: alone, ..ask("hi") }).await;
        assert_eq!(without_echo.failed.unwrap().param, "max_tokens");
        assert!(rig.sidecar.run(ask("hi")).await.started.unwrap().prompt.is_none(), "not asked for");
    }
}

#[tokio::test]
async fn the_engines_count_of_the_prompt_is_told_once_and_before_the_end() {
    let tokens = |prompt: &str| u32::try_from(vocabulary::tokenize(prompt).len()).unwrap();
    for script in engines() {
        let rig = Rig::start(script).await;
        // The second comes later than a start is held back for it.
        for prompt in ["[[tokens=3]]", "[[tokens=3]][[first=600ms]]"] {
            let answer = rig.sidecar.run(ask(prompt)).await;
            let at_start = answer.started.as_ref().unwrap().prompt_tokens;
            let told: Vec<u32> = std::iter::once(at_start)
                .chain(answer.deltas.iter().map(|delta| delta.prompt_tokens))
                .filter(|told| *told > 0)
                .collect();
            assert_eq!(told, [tokens(prompt)], "{prompt}: {answer:?}");
            assert!(at_start > 0 || answer.deltas[0].prompt_tokens > 0, "{prompt}: {answer:?}");
        }
        let ids = vocabulary::tokenize("[[tokens=3]]");
        let answer = rig.sidecar.run(ask_ids(ids.clone())).await;
        assert_eq!(answer.started.unwrap().prompt_tokens as usize, ids.len());
        assert!(answer.deltas.iter().all(|delta| delta.prompt_tokens == 0), "told already");
    }
}

#[tokio::test]
async fn an_empty_prompt_is_the_beginning_of_a_document_where_that_is_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let template = folder.path().join("chat_template.jinja");
    std::fs::write(&template, "{{ messages }}").unwrap();
    for script in engines() {
        let rig = Rig::start_with(script.clone().saying("one"), |config| {
            config.engine.chat_template_file = Some(template.clone());
            config.engine.bos_token = Some("<s>".into());
        })
        .await;
        let answer = rig.sidecar.run(GenerateRequest { echo: true, ..ask("") }).await;
        assert_eq!(answer.text(), "one", "{answer:?}");
        assert_eq!(answer.started.unwrap().prompt.unwrap().text, "<s>");

        let rig = Rig::start(script).await;
        for request in [ask(""), ask_ids(Vec::new())] {
            let failed = rig.sidecar.run(request).await.failed.unwrap();
            assert_eq!((failed.code(), failed.param.as_str()), (ErrorCode::InvalidRequest, "prompt"), "{failed:?}");
        }
    }
}

#[tokio::test]
async fn a_top_p_of_0_is_one_that_every_engine_takes() {
    for script in engines() {
        let rig = Rig::start(script.saying("one")).await;
        let sampling = Some(Sampling { top_p: Some(0.0), ..Sampling::default() });
        let answer = rig.sidecar.run(GenerateRequest { sampling, ..ask("hi") }).await;
        assert_eq!(answer.text(), "one", "{answer:?}");
    }
}

#[tokio::test]
async fn a_prompts_log_probabilities_are_told_or_refused() {
    let [python, rust, llama_cpp] = engines();
    let echo = |max_tokens| GenerateRequest {
        echo: true,
        top_logprobs: Some(2),
        sampling: Some(Sampling { max_tokens: Some(max_tokens), ..Sampling::default() }),
        ..ask("Say é!")
    };
    let tokens = vocabulary::tokenize("Say é!").len();
    for (script, max_tokens) in [(python.clone(), 3), (python, 0), (rust.clone(), 0)] {
        let rig = Rig::start(script.saying("one two three")).await;
        let answer = rig.sidecar.run(echo(max_tokens)).await;
        let started = answer.started.as_ref().unwrap_or_else(|| panic!("{answer:?}"));
        let prompt = started.prompt.as_ref().unwrap();
        assert_eq!((prompt.logprobs.len(), started.prompt_tokens as usize), (tokens, tokens));
        let spelled: Vec<u8> = prompt.logprobs.iter().flat_map(|entry| entry.bytes.clone()).collect();
        assert_eq!(String::from_utf8(spelled).unwrap(), "Say é!");
        assert!(prompt.logprobs[1..].iter().all(|entry| entry.top.len() == 2));
        assert_eq!(answer.text(), if max_tokens == 0 { "" } else { "one two three" });
        let entries: usize = answer.deltas.iter().map(|delta| delta.logprobs.len()).sum();
        assert_eq!(entries, max_tokens as usize);
    }
    for (script, max_tokens) in [(rust, 3), (llama_cpp.clone(), 0), (llama_cpp, 3)] {
        let rig = Rig::start(script).await;
        let failed = rig.sidecar.run(echo(max_tokens)).await.failed.unwrap();
        assert_eq!((failed.code(), failed.param.as_str()), (ErrorCode::Unsupported, "echo"), "{failed:?}");
    }
}

// On threads of its own: nobody answers the session's pings while a debug build makes JSON of millions of ids.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_long_prompt_is_told_through_a_session() {
    let script = Script { max_model_len: 6_000_000, ..Script::vllm() };
    let rig = Rig::start_with(script, |config| config.limits.max_event = 256 << 20).await;
    let peer = rig.sidecar.peer().await;
    let alone = Some(Sampling { max_tokens: Some(0), ..Sampling::default() });
    let echo = |prompt: &str| GenerateRequest { echo: true, sampling: alone.clone(), ..ask(prompt) };
    // More than a slow reader's arrears may be.
    let long = "a long prompt. ".repeat(300_000);
    let answer = Answer::read(Box::pin(peer.generate(echo(&long)).unwrap())).await;
    let Some(started) = answer.started else { panic!("{:?}", answer.failed) };
    assert!(started.prompt.unwrap().text == long);
    let failed = rig.sidecar.run(echo(&"x".repeat(9 << 20))).await.failed.unwrap();
    assert_eq!((failed.code(), failed.param.as_str()), (ErrorCode::InvalidRequest, "echo"), "{failed:?}");
}

#[tokio::test]
async fn wherever_tokens_cut_the_text() {
    let text = "aé日🦀b";
    for script in engines() {
        let rig = Rig::start(script).await;
        for cut in 0..=text.len() {
            let request = GenerateRequest { top_logprobs: Some(1), ..ask(&format!("[[say:{text}]][[cut_at={cut}]]")) };
            let answer = rig.sidecar.run(request).await;
            assert_eq!(answer.text(), text, "cut at {cut}");
            let entries = answer.deltas.iter().flat_map(|delta| &delta.logprobs);
            let spelled: Vec<u8> = entries.flat_map(|entry| entry.bytes.clone()).collect();
            assert_eq!(String::from_utf8(spelled).unwrap(), text, "cut at {cut}");
        }
    }
}

#[tokio::test]
async fn each_token_has_its_log_probability() {
    for script in engines() {
        let rig = Rig::start(script.saying("one two three")).await;
        let answer = rig.sidecar.run(GenerateRequest { top_logprobs: Some(2), ..ask("count") }).await;
        let entries: Vec<_> = answer.deltas.iter().flat_map(|delta| &delta.logprobs).collect();
        // The token that ends the answer is generated, and not listed.
        assert_eq!(entries.len(), answer.ids().len() - 1);
        assert!(entries.iter().all(|entry| entry.top.len() <= 2 && entry.logprob <= 0.0));
        let spelled: Vec<u8> = entries.iter().flat_map(|entry| entry.bytes.clone()).collect();
        assert_eq!(String::from_utf8(spelled).unwrap(), "one two three");
        let without = rig.sidecar.run(ask("count")).await;
        assert!(without.deltas.iter().all(|delta| delta.logprobs.is_empty()));
    }
}

#[tokio::test]
async fn however_the_wire_cuts_it() {
    for script in engines() {
        let rig = Rig::start(script).await;
        let said = "[[say:ï 日🦀]][[cut=1]]";
        let straight = rig.sidecar.run(ask(said)).await;
        assert_eq!(straight.text(), "ï 日🦀");
        let wires = ["[[wire:crlf]]", "[[wire:no_space]]", "[[wire:split=3]]", "[[wire:split=7]][[wire:crlf]]"];
        let cut = wires.map(|wire| rig.sidecar.run(ask(&format!("{said}{wire}"))));
        for cut in futures_util::future::join_all(cut).await {
            assert_eq!((cut.text(), cut.ids()), (straight.text(), straight.ids()));
        }
    }
}

#[tokio::test]
async fn another_models_name_is_refused() {
    let rig = Rig::start(Script::vllm()).await;
    let answer = rig.sidecar.run(GenerateRequest { model: "other".into(), ..ask("hi") }).await;
    assert_eq!(answer.failed.unwrap().code(), ErrorCode::ModelNotFound);
}

#[tokio::test]
async fn embeddings_keep_their_order() {
    for script in engines() {
        let script = Script { serves: Serves::Embeddings { dimensions: 8 }, ..script };
        let rig = Rig::start(script).await;
        let words = ["one", "two", "three"];
        let embed = |words: &[&str]| EmbedRequest {
            model: MODEL.into(),
            inputs: words.iter().map(|word| ask(word).prompt.unwrap()).collect(),
            ..EmbedRequest::default()
        };
        let mut client = rig.sidecar.client.clone();
        let answer = client.embed(embed(&words)).await.unwrap().into_inner();
        let Some(Outcome::Embeddings(all)) = answer.outcome else { panic!("{answer:?}") };
        assert_eq!(all.replica, "replica-1");
        assert!(all.usage.unwrap().prompt_tokens > 0);
        for (word, vector) in words.iter().zip(&all.data) {
            assert_eq!(vector.values.len(), 8);
            let alone = client.embed(embed(&[word])).await.unwrap().into_inner();
            let Some(Outcome::Embeddings(alone)) = alone.outcome else { panic!("{alone:?}") };
            assert_eq!(alone.data[0].values, vector.values);
        }
    }
}

#[tokio::test]
async fn what_an_embedding_server_cannot_do_is_said() {
    let rig = Rig::start(Script { serves: Serves::Embeddings { dimensions: 8 }, ..Script::vllm() }).await;
    let answer = rig.sidecar.run(ask("hi")).await;
    assert_eq!(answer.failed.unwrap().code(), ErrorCode::Unsupported);
}

#[tokio::test]
async fn a_stop_lets_streams_finish() {
    let rig = Rig::start(Script::vllm()).await;
    let request = ask("[[tokens=30]][[delay=10ms]]");
    let mut events = rig.sidecar.client.clone().generate(request).await.unwrap().into_inner();
    events.next().await.unwrap().unwrap();
    rig.sidecar.stop.ask();
    let answer = Answer::read(events.map(Result::unwrap)).await;
    assert_eq!(answer.finished.unwrap().reason(), FinishReason::Stop);
}
