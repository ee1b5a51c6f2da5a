//! `POST /completion`: from the body to work, or to the refusal that llama.cpp would give.

use std::sync::Arc;

use serde_json::{Map, Value};
use tokio::time::Instant;

use super::Context;
use super::completion::{Completion, Settings};
use super::errors::Refusal;
use crate::choice::{Choice, Sampling};
use crate::fields::{Fields, Input};
use crate::held_text::{Hold, Stops};
use crate::orders::Orders;
use crate::reply::{Aborts, Reply, Task, Work};
use crate::schema;
use crate::vocabulary;

/// Keeps one request from ordering more answers than a test can mean.
const MAX_CHOICES: u32 = 64;
const MAX_ALTERNATIVES: u32 = 100;

pub(super) fn completion(context: &Context<'_>, body: &Map<String, Value>) -> Result<Reply, Refusal> {
    let fields = Fields::new(body);
    let script = context.script;
    let prompt = prompt(&fields)?;
    let tokens = prompt.len();
    if tokens >= script.max_model_len as usize {
        return Err(Refusal::TooLong { tokens, context: script.max_model_len });
    }
    let sampling = Arc::new(sampling(&fields)?);
    let room = script.max_model_len - u32::try_from(tokens).unwrap_or(u32::MAX);
    let text = vocabulary::detokenize(&prompt, &script.scripted_tokens());
    let emitted = u32::try_from(vocabulary::emitted_before(&prompt)).unwrap_or(u32::MAX);
    let mut orders = Orders::new(script, &text, emitted).failing_by_rate(script, context.shared.next_number());
    // Its events hold one token each.
    orders.burst = 1;
    if let Some(text) = constrained(&fields, orders.items)? {
        orders.constrained(&text);
    }
    context.shared.recorded().push(&Value::Object(body.clone()), script.record);

    let many = fields.count("n")?.unwrap_or(1).clamp(1, MAX_CHOICES);
    let choices: Vec<Choice> =
        (0..many).map(|index| Choice::new(index, &prompt, &orders.answer, orders.eos, &sampling, room)).collect();
    let stream = fields.boolean("stream")?;
    let progress = fields.boolean("return_progress")?;
    let settings = Settings {
        model: script.model.clone(),
        prompt: text,
        prompt_tokens: tokens as u64,
        cached_tokens: context.shared.load.look_up_prefix(&prompt, ""),
        return_tokens: fields.boolean("return_tokens")?,
        progress,
        capped: sampling.max_tokens.is_none_or(|most| most > room),
        started: Instant::now(),
    };
    let aborts = match (script.deaf, stream, progress) {
        (false, _, _) | (true, true, true) => Aborts::AtOnce,
        (true, true, false) => Aborts::FromFirstToken,
        (true, false, _) => Aborts::Never,
    };
    let format = Box::new(Completion::new(settings, Arc::clone(&sampling), choices.len()));
    Ok(Reply::Work(Box::new(Work {
        orders,
        prompt_tokens: tokens as u64,
        dialect: script.dialect,
        task: Task::Generate { choices, sampling, stream, format, aborts },
    })))
}

pub(super) fn ids(input: Input) -> Result<Vec<u32>, Refusal> {
    match input {
        Input::Text(text) => Ok(vocabulary::tokenize(&text)),
        Input::Ids(ids) => ids.into_iter().map(known).collect(),
    }
}

/// Text, ids, or a list of both mixed, which is one prompt.
fn prompt(fields: &Fields<'_>) -> Result<Vec<u32>, Refusal> {
    let prompt = match fields.get("prompt") {
        None => return Err(Refusal::Missing("prompt")),
        Some(Value::Array(parts)) if parts.is_empty() => return Err(Refusal::EmptyPrompt),
        Some(Value::Array(parts)) => parts,
        Some(_) => return Ok(vocabulary::tokenize(fields.text("prompt")?.unwrap_or_default())),
    };
    let mut ids = Vec::with_capacity(prompt.len());
    for part in prompt {
        match (part.as_str(), part.as_u64()) {
            (Some(text), _) => ids.extend(vocabulary::tokenize(text)),
            (None, Some(id)) => ids.push(known(id)?),
            (None, None) => return Err(Refusal::InvalidTokens),
        }
    }
    Ok(ids)
}

fn known(id: u64) -> Result<u32, Refusal> {
    u32::try_from(id).ok().filter(|&id| id < vocabulary::SIZE).ok_or(Refusal::InvalidTokens)
}

fn sampling(fields: &Fields<'_>) -> Result<Sampling, Refusal> {
    let alternatives = fields.integer("n_probs")?.unwrap_or_default();
    fields.number("temperature")?;
    Ok(Sampling {
        // Without a bound when negative; 0 still generates one token, as the real server does.
        max_tokens: u32::try_from(fields.integer("n_predict")?.unwrap_or(-1)).ok().map(|most| most.max(1)),
        min_tokens: 0,
        ignore_eos: fields.boolean("ignore_eos")?,
        seed: fields.integer("seed")?.unwrap_or_default().cast_unsigned(),
        stops: Stops {
            texts: fields.texts("stop")?.into_iter().filter(|text| !text.is_empty()).collect(),
            include: false,
            hold: Hold::Beginnings,
        },
        stop_token_ids: Vec::new(),
        logprobs: u32::try_from(alternatives).ok().filter(|&n| n > 0).map(|n| n.min(MAX_ALTERNATIVES)),
    })
}

/// The answer that a constraint asks for; `items`: how many elements its arrays are to have. A schema that cannot be met is silently ignored, as the real server does.
fn constrained(fields: &Fields<'_>, items: Option<u64>) -> Result<Option<String>, Refusal> {
    if let Some(grammar) = fields.text("grammar")?
        && !grammar.is_empty()
    {
        // A grammar's language is beyond the fake: whatever names a root passes, and is not followed.
        return if grammar.contains("root") { Ok(None) } else { Err(Refusal::Grammar) };
    }
    let Some(schema) = fields.get("json_schema") else { return Ok(None) };
    Ok(schema::example(schema, items).ok().map(|value| value.to_string()))
}
