//! What was used, by tenant, key, model or day, and the records themselves.

use std::{
    collections::BTreeMap,
    time::{Duration, UNIX_EPOCH},
};

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Admin, error::AdminError, fields::Wrong, unix};
use crate::{
    access::limits::Usd,
    usage::{
        report,
        sums::{Cell, Period, Sums},
    },
};

const DAY: u64 = 86_400;

/// Days that a question is about, unless it says.
const USUAL_DAYS: u64 = 30;
const MOST_DAYS: u64 = 400;

/// Rows of one answer.
const MOST_ROWS: usize = 10_000;

/// Records of a page, unless it is said how many.
const USUAL_PAGE: usize = 20;
const MOST_PAGE: usize = 100;

/// What is asked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    by: By,
    /// Days of UTC, such as 2026-11-30. Both belong to what is asked for.
    #[serde(default)]
    from: Option<String>,
    #[serde(default)]
    to: Option<String>,
}

/// What each row is about.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    Tenant,
    Key,
    Model,
    Day,
}

/// Which records are wanted.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Records {
    after: Option<String>,
    limit: Option<usize>,
}

/// The fields that name a row, in their order.
type Name = Vec<(&'static str, String)>;

pub async fn report(
    State(admin): State<Admin>,
    question: Result<Query<Question>, QueryRejection>,
) -> Result<Json<Value>, AdminError> {
    let Query(question) = question?;
    let to = question.to.as_deref().map_or(Ok(unix() / DAY), |text| day("to", text))?;
    let usual = to.saturating_sub(USUAL_DAYS - 1);
    let from = question.from.as_deref().map_or(Ok(usual), |text| day("from", text))?;
    if from > to || to - from >= MOST_DAYS {
        return Err(Wrong::new("from", format!("must be one of the {MOST_DAYS} days that end with `to`")).into());
    }
    let mut groups: BTreeMap<Name, Sums> = BTreeMap::new();
    for number in from..=to {
        let date = date(number);
        let sums = admin.0.store.sums(Period::Day(number)).await?;
        report::add(&mut groups, sums, |cell| Some(question.by.name(cell, &date)));
        if groups.len() > MOST_ROWS {
            let problem = format!("gives more than {MOST_ROWS} rows for so many days; ask for fewer");
            return Err(Wrong::new("by", problem).into());
        }
    }
    let mut total = Sums::default();
    groups.values().for_each(|sums| total += *sums);
    Ok(Json(json!({
        "object": "usage",
        "from": date(from),
        "to": date(to),
        "data": groups.into_iter().map(|(name, sums)| row(name, &sums)).collect::<Vec<_>>(),
        "total": row(Vec::new(), &total),
    })))
}

pub async fn records(
    State(admin): State<Admin>,
    records: Result<Query<Records>, QueryRejection>,
) -> Result<Json<Value>, AdminError> {
    let Query(Records { after, limit }) = records?;
    let after = after.unwrap_or_default();
    if !after.is_empty() && !admin.0.store.may_name_a_record(&after) {
        return Err(Wrong::new("after", "must be the `last_id` of a page").into());
    }
    let limit = limit.unwrap_or(USUAL_PAGE);
    if !(1..=MOST_PAGE).contains(&limit) {
        return Err(Wrong::new("limit", format!("must be from 1 to {MOST_PAGE}")).into());
    }
    let mut found = admin.0.store.usage_records(&after, limit + 1).await?;
    let has_more = found.len() > limit;
    found.truncate(limit);
    let data: Result<Vec<Value>, _> = found.iter().map(|(_, text)| serde_json::from_str(text)).collect();
    let last_id = found.last().map(|(name, _)| name);
    Ok(Json(json!({ "object": "list", "data": data?, "last_id": last_id, "has_more": has_more })))
}

impl By {
    fn name(self, cell: Cell, date: &str) -> Name {
        match self {
            Self::Tenant => vec![("tenant", cell.tenant)],
            Self::Key => vec![("tenant", cell.tenant), ("key_id", cell.key_id), ("key", cell.key)],
            Self::Model => vec![("model", cell.model)],
            Self::Day => vec![("day", date.to_owned())],
        }
    }
}

fn row(name: Name, sums: &Sums) -> Value {
    let mut row = json!(sums);
    if let Some(fields) = row.as_object_mut() {
        fields.remove("cost");
        fields.insert("cost_usd".to_owned(), f64::from(Usd::from_billionths(sums.cost)).into());
        for (place, (field, text)) in name.into_iter().enumerate() {
            fields.shift_insert(place, field.to_owned(), text.into());
        }
    }
    row
}

/// The day that a text names, counted since 1970.
fn day(field: &'static str, text: &str) -> Result<u64, Wrong> {
    let moment = humantime::parse_rfc3339(&format!("{text}T00:00:00Z"));
    let since = moment.ok().and_then(|moment| moment.duration_since(UNIX_EPOCH).ok());
    let since = since.ok_or_else(|| Wrong::new(field, "must be a day such as 2026-11-30"))?;
    Ok(since.as_secs() / DAY)
}

fn date(day: u64) -> String {
    let moment = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(day * DAY)).to_string();
    moment.split('T').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_read_and_written() {
        for (text, number) in [("1970-01-01", 0), ("2026-11-30", 20_787), ("2024-02-29", 19_782)] {
            assert_eq!(day("to", text).ok(), Some(number));
            assert_eq!(date(number), text);
        }
        for wrong in ["", "2026-13-01", "2026-02-30", "2026-1-1", "1969-12-31", "2026-11-30T00:00:00Z", "\u{fc}"] {
            assert!(day("to", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn rows_begin_with_what_they_are_about() {
        let sums = Sums { requests: 1, cost: 1_500_000_000, ..Sums::default() };
        let row = row(vec![("tenant", "t".to_owned()), ("key", "k".to_owned())], &sums).to_string();
        assert!(row.starts_with(r#"{"tenant":"t","key":"k","requests":1,"#), "{row}");
        assert!(row.ends_with(r#""cost_usd":1.5}"#), "{row}");
    }
}
