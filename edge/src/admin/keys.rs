//! Keys: made, imported, changed, rotated, revoked. A key is shown once, by the answer that makes it.

use std::collections::{BTreeMap, BTreeSet};

use axum::{
    Json,
    body::Bytes,
    extract::{
        Path, Query, State,
        rejection::{JsonRejection, PathRejection, QueryRejection},
    },
    http::StatusCode,
};
use ipnet::IpNet;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Admin,
    error::AdminError,
    fields::{Wrong, check_label, check_metadata, check_model_limits, check_models},
    new_id,
    page::{MOST_PAGE, Page},
    patch::{Indexed, Said},
    unix,
};
use crate::{
    access::{
        caller::key_scope,
        directory::{KeyRecord, Previous},
        keys::{KeyHash, default_name},
        limits::{Budget, Limits, Usd},
        priority::Priority,
        secret,
    },
    store::{
        Collection::{Keys, Tenants},
        Fingerprint, Put,
    },
};

/// Documents that are looked at for one page of a tenant's keys.
const MOST_SCANNED: usize = 10_000;

/// For how long a rotated key may still work, in seconds: 90 days.
const MOST_OVERLAP: u64 = 90 * 86_400;

/// Ranges of addresses that a key is bound to.
const MOST_RANGES: usize = 100;

/// What a new key is said to be.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct New {
    name: String,
    /// The SHA-256 of a key that exists already. Absent: a new one is made.
    #[serde(default)]
    sha256: Option<KeyHash>,
    #[serde(default)]
    tenant: String,
    #[serde(default = "default_name")]
    project: String,
    #[serde(default)]
    expires: Option<u64>,
    #[serde(default)]
    suspended: bool,
    #[serde(default)]
    priority: Option<Priority>,
    #[serde(default)]
    models: Option<BTreeSet<String>>,
    #[serde(default)]
    ip_ranges: Vec<IpNet>,
    #[serde(default)]
    rate_limits: Limits,
    #[serde(default)]
    model_rate_limits: BTreeMap<String, Limits>,
    #[serde(default)]
    budget: Budget,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
}

/// What is to become of a key.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Change {
    name: Said<String>,
    project: Said<String>,
    expires: Said<u64>,
    suspended: Said<bool>,
    priority: Said<Priority>,
    models: Said<BTreeSet<String>>,
    ip_ranges: Said<Vec<IpNet>>,
    rate_limits: Said<Limits>,
    model_rate_limits: Said<BTreeMap<String, Limits>>,
    budget: Said<Budget>,
    metadata: Said<BTreeMap<String, String>>,
}

/// How a key is rotated.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rotation {
    /// For how long the old key works beside the new one.
    overlap_seconds: u64,
}

pub async fn create(
    State(admin): State<Admin>,
    body: Result<Json<New>, JsonRejection>,
) -> Result<(StatusCode, Json<Value>), AdminError> {
    let Json(new) = body?;
    if !new.tenant.is_empty() && admin.0.store.get(Tenants, &new.tenant).await?.is_none() {
        return Err(Wrong::new("tenant", "names no tenant; make it first").into());
    }
    let (secret, hash) = match new.sha256 {
        Some(hash) => (None, hash),
        None => {
            let secret = secret::new_key()?;
            let hash = KeyHash::of(&secret);
            (Some(secret), hash)
        }
    };
    let fingerprint = admin.0.pepper.fingerprint(&hash);
    let key = KeyRecord {
        id: new_id("key"),
        name: new.name,
        tenant: new.tenant,
        project: new.project,
        hint: secret.as_deref().map_or_else(|| "imported".to_owned(), secret::hint),
        fingerprint: Some(fingerprint.clone()),
        previous: None,
        created: unix(),
        expires: new.expires,
        revoked: None,
        suspended: new.suspended,
        priority: new.priority,
        models: new.models,
        ip_ranges: new.ip_ranges,
        rate_limits: new.rate_limits,
        model_rate_limits: new.model_rate_limits,
        budget: new.budget,
        metadata: new.metadata,
    };
    check(&key)?;
    let text = serde_json::to_string(&key)?;
    let index = [fingerprint];
    let put = Put { collection: Keys, id: &key.id, old: None, new: Some(&text), forget: &[], index: &index };
    if !admin.0.store.put(&put).await? {
        return Err(AdminError::Conflict("this key is there already"));
    }
    let mut shown = shown(&key)?;
    if let Some(secret) = secret {
        shown["key"] = secret.into();
    }
    Ok((StatusCode::CREATED, Json(shown)))
}

pub async fn list(
    State(admin): State<Admin>,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Json<Value>, AdminError> {
    let Query(page) = page?;
    let limit = page.limit()?;
    let (mut data, mut after, mut has_more, mut scanned) = (Vec::new(), page.after().to_owned(), true, 0);
    while has_more && data.len() < limit && scanned < MOST_SCANNED {
        let texts = admin.0.store.list(Keys, &after, MOST_PAGE).await?;
        has_more = texts.len() == MOST_PAGE;
        scanned += texts.len();
        for (position, text) in texts.iter().enumerate() {
            let key: KeyRecord = serde_json::from_str(text)?;
            after.clone_from(&key.id);
            if page.tenant.as_ref().is_none_or(|tenant| *tenant == key.tenant) {
                data.push(shown(&key)?);
            }
            if data.len() == limit {
                has_more |= position + 1 < texts.len();
                break;
            }
        }
    }
    let last_id = (!after.is_empty()).then_some(after);
    Ok(Json(json!({ "data": data, "has_more": has_more, "last_id": last_id })))
}

pub async fn show(
    State(admin): State<Admin>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Value>, AdminError> {
    let Path(id) = id?;
    let key: KeyRecord = admin.read(Keys, &id).await?;
    let mut shown = shown(&key)?;
    shown["spent"] = spent(&admin, &key.tenant, &key_scope(&key.id)).await?;
    Ok(Json(shown))
}

pub async fn change(
    State(admin): State<Admin>,
    id: Result<Path<String>, PathRejection>,
    body: Result<Json<Change>, JsonRejection>,
) -> Result<Json<Value>, AdminError> {
    let (Path(id), Json(change)) = (id?, body?);
    let apply = |key: &mut KeyRecord| {
        let change = change.clone();
        if change.name == Said::Null {
            return Err(Wrong::new("name", "cannot be taken away").into());
        }
        change.name.put(&mut key.name);
        match change.project {
            Said::Null => key.project = default_name(),
            said => said.put(&mut key.project),
        }
        change.expires.put_option(&mut key.expires);
        change.suspended.put(&mut key.suspended);
        change.priority.put_option(&mut key.priority);
        change.models.put_option(&mut key.models);
        change.ip_ranges.put(&mut key.ip_ranges);
        change.rate_limits.put(&mut key.rate_limits);
        change.model_rate_limits.put(&mut key.model_rate_limits);
        change.budget.put(&mut key.budget);
        change.metadata.put(&mut key.metadata);
        check(key)?;
        Ok(Indexed::default())
    };
    let key = admin.change(Keys, &id, apply).await?;
    shown(&key).map(Json)
}

/// A body is optional.
pub async fn rotate(
    State(admin): State<Admin>,
    id: Result<Path<String>, PathRejection>,
    body: Bytes,
) -> Result<Json<Value>, AdminError> {
    let Path(id) = id?;
    let rotation: Rotation = match body.as_ref() {
        b"" => Rotation::default(),
        body => serde_json::from_slice(body).map_err(|error| Wrong::new("body", format!("cannot be read: {error}")))?,
    };
    if rotation.overlap_seconds > MOST_OVERLAP {
        return Err(Wrong::new("overlap_seconds", format!("must be at most {MOST_OVERLAP}")).into());
    }
    let secret = secret::new_key()?;
    let fingerprint = admin.0.pepper.fingerprint(&KeyHash::of(&secret));
    let apply = |key: &mut KeyRecord| {
        let Some(old) = key.fingerprint.take() else {
            return Err(AdminError::Conflict("the key is revoked"));
        };
        let mut forget: Vec<Fingerprint> =
            key.previous.take().map(|previous| previous.fingerprint).into_iter().collect();
        if rotation.overlap_seconds > 0 {
            key.previous = Some(Previous { fingerprint: old, until: unix() + rotation.overlap_seconds });
        } else {
            forget.push(old);
        }
        key.fingerprint = Some(fingerprint.clone());
        key.hint = secret::hint(&secret);
        Ok(Indexed { forget, index: vec![fingerprint.clone()] })
    };
    let key = admin.change(Keys, &id, apply).await?;
    let mut shown = shown(&key)?;
    shown["key"] = secret.into();
    Ok(Json(shown))
}

pub async fn revoke(
    State(admin): State<Admin>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Value>, AdminError> {
    let Path(id) = id?;
    let apply = |key: &mut KeyRecord| {
        let forget = fingerprints(key);
        (key.fingerprint, key.previous) = (None, None);
        key.revoked.get_or_insert_with(unix);
        Ok(Indexed { forget, index: Vec::new() })
    };
    let key = admin.change(Keys, &id, apply).await?;
    shown(&key).map(Json)
}

pub async fn delete(
    State(admin): State<Admin>,
    id: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, AdminError> {
    let Path(id) = id?;
    admin.remove(Keys, &id, fingerprints).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What was spent in a scope today and this month.
pub async fn spent(admin: &Admin, tenant: &str, scope: &str) -> Result<Value, AdminError> {
    let (day, month) = admin.0.store.spent(tenant, scope).await?;
    let usd = |billionths| f64::from(Usd::from_billionths(billionths));
    Ok(json!({ "day": usd(day), "month": usd(month) }))
}

fn fingerprints(key: &KeyRecord) -> Vec<Fingerprint> {
    let previous = key.previous.as_ref().map(|previous| previous.fingerprint.clone());
    key.fingerprint.clone().into_iter().chain(previous).collect()
}

/// A key as it is shown: without what it is found by.
pub fn shown(key: &KeyRecord) -> Result<Value, AdminError> {
    let now = unix();
    let status = match key {
        _ if key.revoked.is_some() => "revoked",
        _ if key.expires.is_some_and(|expires| expires <= now) => "expired",
        _ if key.suspended => "suspended",
        _ => "active",
    };
    let mut shown = serde_json::to_value(key)?;
    if let Some(fields) = shown.as_object_mut() {
        fields.remove("fingerprint");
        if let Some(previous) = &key.previous {
            fields.insert("previous".to_owned(), json!({ "until": previous.until }));
        }
        fields.insert("status".to_owned(), status.into());
    }
    Ok(shown)
}

fn check(key: &KeyRecord) -> Result<(), AdminError> {
    if key.expires.is_some_and(|expires| i64::try_from(expires).is_err()) {
        return Err(Wrong::new("expires", "must be a time in seconds since 1970").into());
    }
    check_label("name", &key.name)?;
    check_label("project", &key.project)?;
    check_models(key.models.as_ref())?;
    check_model_limits(&key.model_rate_limits)?;
    check_metadata(&key.metadata)?;
    if key.ip_ranges.len() > MOST_RANGES {
        return Err(Wrong::new("ip_ranges", format!("must be at most {MOST_RANGES}")).into());
    }
    Ok(())
}
