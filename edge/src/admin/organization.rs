//! `GET /v1/organization/usage/completions`, `/v1/organization/usage/embeddings` and `/v1/organization/costs`, as OpenAI has
//! them for admin keys. A project is a tenant here, and buckets are hours and days of UTC.

use std::{
    collections::{BTreeMap, BTreeSet},
    str::FromStr,
};

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
};
use serde_json::{Value, json};

use super::{Admin, error::AdminError, fields::Wrong, unix};
use crate::{
    access::limits::Usd,
    metrics::Endpoint,
    usage::{
        report::{self, Page},
        sums::{Cell, Period, Sums},
    },
};

/// The last second of the year 9999.
const END_OF_TIME: u64 = 253_402_300_799;

/// What pages are called, before the second at which they begin.
const PAGE: &str = "page_";

/// A parsed query.
type Pairs = Result<Query<Vec<(String, String)>>, QueryRejection>;

/// Which of the three is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Completions,
    Embeddings,
    Costs,
}

/// What a result tells of what it is about; null: everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    project: Option<String>,
    key: Option<String>,
    model: Option<String>,
}

#[derive(Debug, Default)]
struct Asked {
    start: Option<u64>,
    end: Option<u64>,
    hours: bool,
    limit: Option<usize>,
    page: Option<u64>,
    by_project: bool,
    by_key: bool,
    by_model: bool,
    projects: BTreeSet<String>,
    keys: BTreeSet<String>,
    models: BTreeSet<String>,
    /// Only batches are asked for, and there are none.
    nothing: bool,
    /// The name of what is no batch is asked for.
    by_batch: bool,
}

pub async fn completions(State(admin): State<Admin>, pairs: Pairs) -> Result<Json<Value>, AdminError> {
    answer(&admin, Kind::Completions, pairs).await
}

pub async fn embeddings(State(admin): State<Admin>, pairs: Pairs) -> Result<Json<Value>, AdminError> {
    answer(&admin, Kind::Embeddings, pairs).await
}

pub async fn costs(State(admin): State<Admin>, pairs: Pairs) -> Result<Json<Value>, AdminError> {
    answer(&admin, Kind::Costs, pairs).await
}

async fn answer(admin: &Admin, kind: Kind, pairs: Pairs) -> Result<Json<Value>, AdminError> {
    let Query(pairs) = pairs?;
    let asked = Asked::read(kind, &pairs)?;
    let page = asked.page(kind, unix())?;
    let mut buckets = Vec::with_capacity(page.periods.len());
    for period in page.periods {
        let mut groups: BTreeMap<Group, Sums> = BTreeMap::new();
        report::add(&mut groups, admin.0.store.sums(period).await?, |cell| asked.group(kind, cell));
        buckets.push(json!({
            "object": "bucket",
            "start_time": period.start(),
            "end_time": period.next().start(),
            "results": groups.iter().map(|(group, sums)| asked.result(kind, group, sums)).collect::<Vec<_>>(),
        }));
    }
    Ok(Json(json!({
        "object": "page",
        "data": buckets,
        "has_more": page.next.is_some(),
        "next_page": page.next.map(|second| format!("{PAGE}{second}")),
    })))
}

impl Asked {
    fn read(kind: Kind, pairs: &[(String, String)]) -> Result<Self, Wrong> {
        let mut asked = Self::default();
        for (name, value) in pairs {
            // Clients write lists in three ways.
            match name.trim_end_matches("[]") {
                "start_time" => asked.start = Some(second("start_time", value)?),
                "end_time" => asked.end = Some(second("end_time", value)?),
                "bucket_width" => asked.hours = kind.hours(value)?,
                "limit" => asked.limit = Some(parsed("limit", value)?),
                "page" => {
                    let begins = value.strip_prefix(PAGE).ok_or_else(no_page)?;
                    asked.page = Some(second("page", begins).map_err(|_| no_page())?);
                }
                "group_by" => value.split(',').try_for_each(|field| asked.group_by(kind, field))?,
                "project_ids" => asked.projects.extend(value.split(',').map(str::to_owned)),
                "api_key_ids" => asked.keys.extend(value.split(',').map(str::to_owned)),
                "models" if kind != Kind::Costs => asked.models.extend(value.split(',').map(str::to_owned)),
                "batch" if kind == Kind::Completions => asked.nothing = parsed("batch", value)?,
                "user_ids" => return Err(Wrong::new("user_ids", "cannot be asked for: usage is kept by key")),
                _ => return Err(Wrong::new("query", "holds a parameter that is not known here")),
            }
        }
        Ok(asked)
    }

    fn group_by(&mut self, kind: Kind, field: &str) -> Result<(), Wrong> {
        match field {
            "project_id" => self.by_project = true,
            "api_key_id" => self.by_key = true,
            "model" if kind != Kind::Costs => self.by_model = true,
            "line_item" if kind == Kind::Costs => self.by_model = true,
            "batch" if kind == Kind::Completions => self.by_batch = true,
            _ => {
                let problem = match kind {
                    Kind::Completions => "takes `project_id`, `api_key_id`, `model` and `batch`",
                    Kind::Embeddings => "takes `project_id`, `api_key_id` and `model`",
                    Kind::Costs => "takes `project_id`, `api_key_id` and `line_item`",
                };
                return Err(Wrong::new("group_by", problem));
            }
        }
        Ok(())
    }

    fn page(&self, kind: Kind, now: u64) -> Result<Page, Wrong> {
        let start = self.start.ok_or_else(|| Wrong::new("start_time", "is missing"))?;
        let end = self.end.unwrap_or(now.max(start) + 1);
        if end <= start {
            return Err(Wrong::new("end_time", "must be after `start_time`"));
        }
        let (usual, most) = match (kind, self.hours) {
            (Kind::Costs, _) => (7, 180),
            (_, false) => (7, 31),
            (_, true) => (24, 168),
        };
        let limit = self.limit.unwrap_or(usual);
        if !(1..=most).contains(&limit) {
            return Err(Wrong::new("limit", format!("must be from 1 to {most}")));
        }
        let from = self.page.unwrap_or(start);
        if !(start..=end).contains(&from) {
            return Err(no_page());
        }
        let [hour, day] = Period::of(from * 1000);
        Ok(Page::of(if self.hours { hour } else { day }, end, limit))
    }

    /// Where a cell belongs. None: it was not asked for.
    fn group(&self, kind: Kind, cell: Cell) -> Option<Group> {
        let is_asked = |asked: &BTreeSet<String>, name: &str| asked.is_empty() || asked.contains(name);
        let is_of_kind = match kind {
            Kind::Completions => cell.endpoint.generates(),
            Kind::Embeddings => cell.endpoint == Endpoint::Embeddings,
            Kind::Costs => true,
        };
        let is_wanted = is_of_kind
            && !self.nothing
            && is_asked(&self.projects, &cell.tenant)
            && is_asked(&self.keys, &cell.key_id)
            && is_asked(&self.models, &cell.model);
        is_wanted.then(|| Group {
            project: self.by_project.then_some(cell.tenant),
            key: self.by_key.then_some(cell.key_id),
            model: self.by_model.then_some(cell.model),
        })
    }

    fn result(&self, kind: Kind, group: &Group, sums: &Sums) -> Value {
        let Group { project, key, model } = group;
        let cached = sums.cached_tokens;
        let uncached = sums.prompt_tokens.saturating_sub(cached);
        match kind {
            Kind::Completions => json!({
                "object": "organization.usage.completions.result",
                "input_tokens": sums.prompt_tokens,
                "input_cached_tokens": cached,
                "input_cache_write_tokens": 0,
                "input_uncached_tokens": uncached,
                "output_tokens": sums.completion_tokens,
                "input_text_tokens": uncached,
                "output_text_tokens": sums.completion_tokens,
                "input_cached_text_tokens": cached,
                "input_audio_tokens": 0,
                "input_cached_audio_tokens": 0,
                "output_audio_tokens": 0,
                "input_image_tokens": 0,
                "input_cached_image_tokens": 0,
                "output_image_tokens": 0,
                "num_model_requests": sums.requests,
                "project_id": project,
                "user_id": null,
                "api_key_id": key,
                "model": model,
                "batch": self.by_batch.then_some(false),
                "service_tier": null,
            }),
            Kind::Embeddings => json!({
                "object": "organization.usage.embeddings.result",
                "input_tokens": sums.prompt_tokens,
                "num_model_requests": sums.requests,
                "project_id": project,
                "user_id": null,
                "api_key_id": key,
                "model": model,
            }),
            Kind::Costs => json!({
                "object": "organization.costs.result",
                "amount": { "value": f64::from(Usd::from_billionths(sums.cost)), "currency": "usd" },
                "line_item": model,
                "project_id": project,
                "api_key_id": key,
                "quantity": null,
                "quantity_unit": null,
            }),
        }
    }
}

impl Kind {
    /// Whether buckets are hours.
    fn hours(self, width: &str) -> Result<bool, Wrong> {
        match (self, width) {
            (_, "1d") => Ok(false),
            (Self::Completions | Self::Embeddings, "1h") => Ok(true),
            (Self::Costs, _) => Err(Wrong::new("bucket_width", "must be `1d`")),
            _ => Err(Wrong::new("bucket_width", "must be `1h` or `1d`: usage is added up by hour and by day")),
        }
    }
}

fn parsed<T: FromStr>(field: &'static str, text: &str) -> Result<T, Wrong> {
    text.parse().map_err(|_| Wrong::new(field, "cannot be read"))
}

fn second(field: &'static str, text: &str) -> Result<u64, Wrong> {
    let second = text.parse().ok().filter(|second| *second <= END_OF_TIME);
    second.ok_or_else(|| Wrong::new(field, "must be a time in seconds since 1970"))
}

fn no_page() -> Wrong {
    Wrong::new("page", "must be the `next_page` of the page before")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 100 * 86_400 + 5;

    fn page(kind: Kind, pairs: &[(&str, &str)]) -> Result<Page, String> {
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let asked = Asked::read(kind, &pairs).map_err(|wrong| wrong.to_string())?;
        asked.page(kind, NOW).map_err(|wrong| wrong.to_string())
    }

    #[test]
    fn buckets_are_whole_and_pages_lead_to_each_other() {
        let start = (98 * 86_400 + 7).to_string();
        let all = page(Kind::Completions, &[("start_time", &start)]).unwrap();
        assert_eq!(all.periods, [Period::Day(98), Period::Day(99), Period::Day(100)]);
        let first = page(Kind::Costs, &[("start_time", &start), ("limit", "2")]).unwrap();
        let next = format!("page_{}", first.next.unwrap());
        let second = page(Kind::Costs, &[("start_time", &start), ("limit", "2"), ("page", &next)]).unwrap();
        assert_eq!((second.periods, second.next), (vec![Period::Day(100)], None));
        let hours =
            page(Kind::Embeddings, &[("start_time", &start), ("bucket_width", "1h"), ("limit", "168")]).unwrap();
        assert_eq!((hours.periods[0], hours.periods.len()), (Period::Hour(98 * 24), 49));
    }

    #[test]
    fn what_cannot_be_asked_is_refused_by_name() {
        let start = ("start_time", "0");
        /// A question and the field that is wrong.
        type Case<'a> = (Kind, &'a [(&'a str, &'a str)], &'a str);
        let wrong: [Case<'_>; 12] = [
            (Kind::Completions, &[], "start_time"),
            (Kind::Completions, &[("start_time", "-1")], "start_time"),
            (Kind::Completions, &[("start_time", "99999999999999999999")], "start_time"),
            (Kind::Completions, &[start, ("end_time", "0")], "end_time"),
            (Kind::Completions, &[start, ("bucket_width", "1m")], "bucket_width"),
            (Kind::Costs, &[start, ("bucket_width", "1h")], "bucket_width"),
            (Kind::Completions, &[start, ("limit", "32")], "limit"),
            (Kind::Costs, &[start, ("limit", "0")], "limit"),
            (Kind::Costs, &[start, ("group_by", "model")], "group_by"),
            (Kind::Completions, &[start, ("user_ids", "u")], "user_ids"),
            (Kind::Completions, &[start, ("page", "page_99999999999")], "page"),
            (Kind::Completions, &[start, ("what", "x")], "query"),
        ];
        for (kind, pairs, field) in wrong {
            let refused = page(kind, pairs).unwrap_err();
            assert!(refused.starts_with(&format!("`{field}`")), "{pairs:?}: {refused}");
        }
    }

    #[test]
    fn lists_come_in_three_ways() {
        for pairs in [
            vec![("group_by", "project_id,model")],
            vec![("group_by[]", "project_id"), ("group_by[]", "model")],
            vec![("group_by", "project_id"), ("group_by", "model")],
        ] {
            let pairs: Vec<_> = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let asked = Asked::read(Kind::Completions, &pairs).unwrap();
            assert!(asked.by_project && asked.by_model && !asked.by_key, "{pairs:?}");
        }
    }
}
