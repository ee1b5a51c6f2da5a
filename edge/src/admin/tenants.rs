//! Tenants: organisations or projects, whose keys share what they may use.

use std::collections::{BTreeMap, BTreeSet};

use axum::{
    Json,
    extract::{
        Path, Query, State,
        rejection::{JsonRejection, PathRejection, QueryRejection},
    },
    http::StatusCode,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Admin,
    error::AdminError,
    fields::{check_id, check_label, check_metadata, check_model_limits, check_models},
    keys::spent,
    page::Page,
    patch::{Indexed, Said},
    unix,
};
use crate::{
    access::{
        caller::TENANT_SCOPE,
        directory::TenantRecord,
        limits::{Budget, Limits},
        priority::Priority,
    },
    store::{Collection::Tenants, Put},
};

/// What a new tenant is said to be.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct New {
    id: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    suspended: bool,
    #[serde(default)]
    priority: Option<Priority>,
    #[serde(default)]
    models: Option<BTreeSet<String>>,
    #[serde(default)]
    rate_limits: Limits,
    #[serde(default)]
    model_rate_limits: BTreeMap<String, Limits>,
    #[serde(default)]
    budget: Budget,
    #[serde(default)]
    trace_texts: bool,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
}

/// What is to become of a tenant.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub struct Change {
    name: Said<String>,
    suspended: Said<bool>,
    priority: Said<Priority>,
    models: Said<BTreeSet<String>>,
    rate_limits: Said<Limits>,
    model_rate_limits: Said<BTreeMap<String, Limits>>,
    budget: Said<Budget>,
    trace_texts: Said<bool>,
    metadata: Said<BTreeMap<String, String>>,
}

pub async fn create(
    State(admin): State<Admin>,
    body: Result<Json<New>, JsonRejection>,
) -> Result<(StatusCode, Json<TenantRecord>), AdminError> {
    let Json(new) = body?;
    check_id("id", &new.id)?;
    let tenant = TenantRecord {
        name: new.name.unwrap_or_else(|| new.id.clone()),
        id: new.id,
        created: unix(),
        suspended: new.suspended,
        priority: new.priority,
        models: new.models,
        rate_limits: new.rate_limits,
        model_rate_limits: new.model_rate_limits,
        budget: new.budget,
        trace_texts: new.trace_texts,
        metadata: new.metadata,
    };
    check(&tenant)?;
    let text = serde_json::to_string(&tenant)?;
    let put = Put { collection: Tenants, id: &tenant.id, old: None, new: Some(&text), forget: &[], index: &[] };
    if !admin.0.store.put(&put).await? {
        return Err(AdminError::Conflict("there is a tenant with this id already"));
    }
    Ok((StatusCode::CREATED, Json(tenant)))
}

pub async fn list(
    State(admin): State<Admin>,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Json<Value>, AdminError> {
    let Query(page) = page?;
    let limit = page.limit()?;
    // One more than is shown: whether there is more.
    let texts = admin.0.store.list(Tenants, page.after(), limit + 1).await?;
    let read = |text: &String| serde_json::from_str(text);
    let tenants: Vec<TenantRecord> = texts.iter().take(limit).map(read).collect::<Result<_, _>>()?;
    let last_id = tenants.last().map(|tenant| tenant.id.clone());
    Ok(Json(json!({ "data": tenants, "has_more": texts.len() > limit, "last_id": last_id })))
}

pub async fn show(
    State(admin): State<Admin>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Value>, AdminError> {
    let Path(id) = id?;
    let tenant: TenantRecord = admin.read(Tenants, &id).await?;
    let mut shown = serde_json::to_value(&tenant)?;
    shown["spent"] = spent(&admin, &tenant.id, TENANT_SCOPE).await?;
    Ok(Json(shown))
}

pub async fn change(
    State(admin): State<Admin>,
    id: Result<Path<String>, PathRejection>,
    body: Result<Json<Change>, JsonRejection>,
) -> Result<Json<TenantRecord>, AdminError> {
    let (Path(id), Json(change)) = (id?, body?);
    let apply = |tenant: &mut TenantRecord| {
        let change = change.clone();
        if change.name == Said::Null {
            tenant.name.clone_from(&tenant.id);
        } else {
            change.name.put(&mut tenant.name);
        }
        change.suspended.put(&mut tenant.suspended);
        change.priority.put_option(&mut tenant.priority);
        change.models.put_option(&mut tenant.models);
        change.rate_limits.put(&mut tenant.rate_limits);
        change.model_rate_limits.put(&mut tenant.model_rate_limits);
        change.budget.put(&mut tenant.budget);
        change.trace_texts.put(&mut tenant.trace_texts);
        change.metadata.put(&mut tenant.metadata);
        check(tenant)?;
        Ok(Indexed::default())
    };
    admin.change(Tenants, &id, apply).await.map(Json)
}

pub async fn delete(
    State(admin): State<Admin>,
    id: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, AdminError> {
    let Path(id) = id?;
    admin.remove(Tenants, &id, |_: &TenantRecord| Vec::new()).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn check(tenant: &TenantRecord) -> Result<(), AdminError> {
    check_label("name", &tenant.name)?;
    check_models(tenant.models.as_ref())?;
    check_model_limits(&tenant.model_rate_limits)?;
    check_metadata(&tenant.metadata)?;
    Ok(())
}
