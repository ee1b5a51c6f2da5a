//! `POST /v1/completions`: from the body to work, or to the refusal that vLLM would give.

use std::sync::Arc;

use http::StatusCode;
use serde_json::Value;

use super::completion::{Completion, Settings};
use super::errors::Refusal;
use super::{Context, now};
use crate::choice::{Choice, Sampling};
use crate::fields::{Fields, Input};
use crate::held_text::{Hold, Stops};
use crate::orders::Orders;
use crate::reply::{Aborts, Reply, Task, Whole, Work};
use crate::schema;
use crate::script::FrontEnd;
use crate::vocabulary;

/// vLLM's own default for completions.
const DEFAULT_MAX_TOKENS: i64 = 16;
const MAX_LOGPROBS: i64 = 20;
/// Keeps one request from ordering more answers than a test can mean.
const MAX_CHOICES: usize = 1024;

pub(super) fn completion(context: &Context<'_>, body: &Value) -> Result<Reply, Refusal> {
    match started(context, body) {
        Err(refusal) if is_late(&refusal) && context.front_end == FrontEnd::Python && body["stream"] == true => {
            let body = format!("data: {}\n\ndata: [DONE]\n\n", refusal.event(context.front_end)).into_bytes();
            Ok(Whole { status: StatusCode::OK, content_type: "text/event-stream; charset=utf-8", body }.into())
        }
        done => done,
    }
}

/// Whether the engine refuses it, which the Python front end asks only when it has said 200 to a stream.
fn is_late(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::Schema(_) | Refusal::Constraint(_) | Refusal::OutOfVocabulary(_) | Refusal::Logprobs(_))
}

fn started(context: &Context<'_>, body: &Value) -> Result<Reply, Refusal> {
    let Value::Object(object) = body else {
        return Err(Refusal::BadJson("the body is no object".to_owned()));
    };
    let fields = Fields::new(object);
    let script = context.script;
    let model = context.served(fields.text("model")?)?;
    let prompts = prompts(&fields, script.max_model_len)?;
    let per_prompt = fields.count("n")?.unwrap_or(1).max(1) as usize;
    let many = prompts.len() * per_prompt;
    if many > MAX_CHOICES || (context.front_end == FrontEnd::Rust && many > 1) {
        return Err(Refusal::OnlyOne);
    }
    let sampling = sampling(&fields, context, &model)?;
    context.shared.recorded().push(body, script.record);

    let text = vocabulary::detokenize(&prompts[0], &script.scripted_tokens());
    let emitted = u32::try_from(vocabulary::emitted_before(&prompts[0])).unwrap_or(u32::MAX);
    let number = context.shared.next_number();
    let mut orders = Orders::new(script, &text, emitted).failing_by_rate(script, number);
    if let Some(text) = constrained(&fields, orders.items)? {
        orders.constrained(&text);
    }

    let salt = fields.text("cache_salt")?.unwrap_or_default();
    let cached = prompts.iter().map(|prompt| context.shared.load.look_up_prefix(prompt, salt)).sum();
    let mut choices = Vec::with_capacity(many);
    for (at, prompt) in prompts.iter().enumerate() {
        let room = script.max_model_len.saturating_sub(u32::try_from(prompt.len()).unwrap_or(u32::MAX));
        for copy in 0..per_prompt {
            let index = u32::try_from(at * per_prompt + copy).expect("there are at most 1024 choices");
            choices.push(Choice::new(index, prompt, &orders.answer, orders.eos, &sampling, room));
        }
    }
    let stream_options = fields.object("stream_options")?;
    let option = |name: &str| stream_options.as_ref().map_or(Ok(false), |options| options.boolean(name));
    let continuous_usage = option("continuous_usage_stats")?;
    let prompt_tokens = prompts.iter().map(|prompt| prompt.len() as u64).sum();
    let to_read = u32::try_from(prompt_tokens).unwrap_or(u32::MAX).saturating_sub(cached);
    orders.pace.first_token += script.prefill.saturating_mul(to_read);
    let settings = Settings {
        front_end: context.front_end,
        model,
        created: now(),
        request_id: context.call.request_id.clone(),
        number,
        prompt_tokens,
        cached_tokens: script.prompt_tokens_details.then_some(cached),
        include_usage: option("include_usage")? || continuous_usage,
        continuous_usage,
        return_token_ids: fields.boolean("return_token_ids")?,
        tokens_as_ids: fields.boolean("return_tokens_as_token_ids")?,
        echo: fields.boolean("echo")?,
        prompt_only: fields.boolean("echo")? && fields.integer("max_tokens")? == Some(0),
        text_prompt: fields.get("prompt").is_some_and(|prompt| prompt.is_string() || prompt[0].is_string()),
    };
    let stream = fields.boolean("stream")?;
    let sampling = Arc::new(sampling);
    let format = Completion::new(settings, prompts, per_prompt, Arc::clone(&sampling), script.scripted_tokens());
    let task = Task::Generate { choices, sampling, stream, format: Box::new(format), aborts: Aborts::AtOnce };
    Ok(Reply::Work(Box::new(Work { orders, prompt_tokens, dialect: script.dialect, task })))
}

/// Turns inputs into ids and checks them as vLLM does.
pub(super) fn ids(input: Input) -> Result<Vec<u32>, Refusal> {
    match input {
        Input::Text(text) => Ok(vocabulary::tokenize(&text)),
        Input::Ids(ids) => ids
            .into_iter()
            .map(|id| match u32::try_from(id) {
                Ok(known) if known < vocabulary::SIZE => Ok(known),
                _ => Err(Refusal::OutOfVocabulary(id)),
            })
            .collect(),
    }
}

fn prompts(fields: &Fields<'_>, max: u32) -> Result<Vec<Vec<u32>>, Refusal> {
    let prompts = fields.inputs("prompt")?.into_iter().map(ids).collect::<Result<Vec<_>, _>>()?;
    if prompts.is_empty() || prompts.iter().any(Vec::is_empty) {
        return Err(Refusal::NoPrompt);
    }
    for prompt in &prompts {
        let tokens = prompt.len();
        if tokens > max as usize {
            return Err(Refusal::PromptTooLong { tokens, max });
        }
        if tokens == max as usize {
            return Err(Refusal::NoRoom { tokens, max });
        }
    }
    Ok(prompts)
}

fn sampling(fields: &Fields<'_>, context: &Context<'_>, model: &str) -> Result<Sampling, Refusal> {
    let max = context.script.max_model_len;
    let asked = fields.integer("max_tokens")?.unwrap_or(DEFAULT_MAX_TOKENS);
    let nothing_to_generate = asked == 0 && fields.boolean("echo")?;
    if asked < 1 && !nothing_to_generate {
        return Err(Refusal::MaxTokensTooSmall(asked));
    }
    if asked > i64::from(max) && context.front_end == FrontEnd::Python {
        return Err(Refusal::MaxTokensTooLarge { asked, max });
    }
    let highest = if context.front_end == FrontEnd::Rust { 2.0 } else { f64::INFINITY };
    if let Some(temperature) = fields.number("temperature")?
        && !(0.0..=highest).contains(&temperature)
    {
        return Err(Refusal::Temperature(temperature));
    }
    if let Some(top_p) = fields.number("top_p")?
        && !(top_p > 0.0 && top_p <= 1.0)
    {
        return Err(Refusal::TopP(top_p));
    }
    let logprobs = fields.integer("logprobs")?;
    if let Some(asked) = logprobs.filter(|asked| !(0..=MAX_LOGPROBS).contains(asked)) {
        return Err(Refusal::Logprobs(asked));
    }
    // An adapter answers differently from its base model, and the same on every engine.
    let seed = fields.integer("seed")?.unwrap_or_default().cast_unsigned();
    let adapter = if model == context.script.model { "" } else { model };
    Ok(Sampling {
        // A prompt that is only echoed is read, and a token generated all the same.
        max_tokens: Some(u32::try_from(asked.max(1)).unwrap_or(u32::MAX)),
        min_tokens: fields.count("min_tokens")?.unwrap_or(0),
        ignore_eos: fields.boolean("ignore_eos")?,
        seed: adapter.bytes().fold(seed, |seed, byte| crate::answer::mix(seed ^ u64::from(byte))),
        stops: Stops {
            texts: fields.texts("stop")?.into_iter().filter(|text| !text.is_empty()).collect(),
            include: fields.boolean("include_stop_str_in_output")?,
            hold: Hold::Longest,
        },
        stop_token_ids: fields.ids("stop_token_ids")?,
        logprobs: logprobs.and_then(|asked| u32::try_from(asked).ok()),
    })
}

/// The answer that a constraint asks for. `items`: how many elements its arrays are to have.
fn constrained(fields: &Fields<'_>, items: Option<u64>) -> Result<Option<String>, Refusal> {
    let mut found = Vec::new();
    if let Some(outputs) = fields.object("structured_outputs")? {
        for kind in ["json", "regex", "choice", "grammar", "json_object", "structural_tag"] {
            found.extend(outputs.get(kind).map(|value| (kind, value)));
        }
    }
    if let Some(format) = fields.object("response_format")? {
        match format.text("type")? {
            Some("json_object") => found.push(("json_object", &Value::Bool(true))),
            Some("json_schema") => {
                let wrapped = format.object("json_schema")?.and_then(|wrapped| wrapped.get("schema"));
                found.extend(wrapped.map(|schema| ("json", schema)));
            }
            _ => {}
        }
    }
    let (kind, value) = match found[..] {
        [] => return Ok(None),
        [one] => one,
        _ => return Err(Refusal::TwoConstraints),
    };
    let text = match kind {
        "json" => schema::example(&parsed(value)?, items)?.to_string(),
        "json_object" => "{}".to_owned(),
        "choice" => value.get(0).and_then(Value::as_str).ok_or(Refusal::Constraint("choice"))?.to_owned(),
        "regex" => return Err(Refusal::Constraint("regex")),
        "grammar" => return Err(Refusal::Constraint("grammar")),
        _ => return Err(Refusal::Constraint("structural_tag")),
    };
    Ok(Some(text))
}

/// A schema, which may also come as a string of JSON.
fn parsed(schema: &Value) -> Result<Value, Refusal> {
    match schema {
        Value::String(text) => serde_json::from_str(text).map_err(|error| Refusal::BadJson(error.to_string())),
        other => Ok(other.clone()),
    }
}
