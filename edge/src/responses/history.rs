//! What a request goes on from: the responses before it, and items that it names.

use std::collections::HashMap;

use cloudach_openai::{
    Invalid, ids,
    responses::{Asked, Continued, Item},
};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::Responses;
use crate::{Edge, conversations, error::ApiError, idempotency::Place};

/// Responses that one may go on from in turn: each is a round trip to the store.
const MOST_ANCESTORS: usize = 500;

/// Responses whose items one request may name.
const MOST_NAMED: usize = 100;

/// Round trips at a time.
const AT_ONCE: usize = 16;

/// Finds it, and puts items in the place of their names.
///
/// # Errors
/// Something is not there, or too much is.
pub async fn of(edge: &Edge, tenant: &str, asked: &mut Asked) -> Result<Continued, ApiError> {
    let (responses, most) = (&edge.responses, edge.config.limits.body_bytes);
    let continued = match (asked.previous(), asked.conversation()) {
        (Some(previous), _) => before(responses, tenant, previous, most).await?,
        (None, Some(id)) => {
            let items = edge.conversations.to_go_on(&conversations::place(tenant, id)?).await?;
            if let Some(twice) = asked.item_ids().find(|id| items.iter().any(|item| item.id() == *id)) {
                return Err(Invalid::duplicate_item(twice).into());
            }
            Continued { items, ancestors: Vec::new() }
        }
        (None, None) => Continued::default(),
    };
    let mut named = HashMap::<String, Item>::new();
    for item in &continued.items {
        named.insert(item.id().to_owned(), item.clone());
    }
    let mut holders = Vec::new();
    for id in asked.references().filter(|id| !named.contains_key(*id)) {
        let holder = ids::response_of_item(id).ok_or_else(|| Invalid::no_item(id))?;
        if !holders.contains(&holder) {
            holders.push(holder);
        }
    }
    if holders.len() > MOST_NAMED {
        return Err(Invalid::too_many_before("input", MOST_NAMED).into());
    }
    for found in read(responses, tenant, holders, most).await? {
        // One that is not there lacks its item, which is said of the item.
        for item in found.1.into_iter().flatten() {
            named.insert(item.id().to_owned(), item);
        }
    }
    asked.resolve(|id| named.get(id).cloned())?;
    Ok(continued)
}

async fn before(responses: &Responses, tenant: &str, previous: &str, most: usize) -> Result<Continued, ApiError> {
    let place = Place { tenant: tenant.to_owned(), slot: previous.to_owned() };
    let found = responses.find(&place).await.map_err(ApiError::Responses)?;
    let last = found.ok_or_else(|| Invalid::no_previous_response(previous))?.response();
    if !last.stage().is_last() {
        return Err(Invalid::previous_in_progress(previous).into());
    }
    let ancestors = last.record().ancestors.clone();
    if ancestors.len() >= MOST_ANCESTORS {
        return Err(Invalid::too_many_before("previous_response_id", MOST_ANCESTORS).into());
    }
    let mut items = Vec::new();
    for (id, found) in read(responses, tenant, ancestors.clone(), most).await? {
        items.extend(found.ok_or_else(|| Invalid::no_previous_response(&id))?);
    }
    items.extend(last.into_items());
    Ok(Continued { items, ancestors: ancestors.into_iter().chain([previous.to_owned()]).collect() })
}

/// The items of these responses, in their order; together no more than `most` bytes, or so.
async fn read(
    responses: &Responses,
    tenant: &str,
    ids: Vec<String>,
    most: usize,
) -> Result<Vec<(String, Option<Vec<Item>>)>, ApiError> {
    let reads = stream::iter(ids).map(|id| async move {
        let place = Place { tenant: tenant.to_owned(), slot: id.clone() };
        let found = responses.find(&place).await.map_err(ApiError::Responses)?;
        Ok::<_, ApiError>((id, found.map(|found| found.response().into_items())))
    });
    let mut bytes = 0_usize;
    let mut all = Vec::new();
    let mut reads = std::pin::pin!(reads.buffered(AT_ONCE));
    while let Some(found) = reads.try_next().await? {
        bytes += found.1.iter().flatten().map(Item::bytes).sum::<usize>();
        if bytes > most {
            return Err(Invalid::input_context_length().into());
        }
        all.push(found);
    }
    Ok(all)
}
