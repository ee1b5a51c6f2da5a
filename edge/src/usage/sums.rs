//! Usage added up by hour and by day, apart for each key, model and endpoint: what questions are answered from, however many
//! requests there were.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use super::entry::Entry;
use crate::metrics::{Endpoint, Outcome};

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// An hour or a day of UTC, counted since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Period {
    Hour(u64),
    Day(u64),
}

/// What is told apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cell {
    pub tenant: String,
    pub key_id: String,
    /// The key's name when the request was made.
    pub key: String,
    pub model: String,
    pub endpoint: Endpoint,
}

/// What was used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    pub requests: u64,
    /// Of these: the client was told why not.
    pub failed: u64,
    /// Of these: the client left first.
    pub abandoned: u64,
    pub prompt_tokens: u64,
    pub cached_tokens: u64,
    pub completion_tokens: u64,
    pub reasoning_tokens: u64,
    /// In billionths of a dollar.
    pub cost: u64,
}

impl Period {
    /// The hour and the day of a moment.
    pub fn of(ms: u64) -> [Self; 2] {
        [Self::Hour(ms / HOUR_MS), Self::Day(ms / DAY_MS)]
    }

    /// Its first second, since 1970.
    pub fn start(self) -> u64 {
        match self {
            Self::Hour(number) => number * (HOUR_MS / 1000),
            Self::Day(number) => number * (DAY_MS / 1000),
        }
    }

    /// The one after it.
    pub fn next(self) -> Self {
        match self {
            Self::Hour(number) => Self::Hour(number + 1),
            Self::Day(number) => Self::Day(number + 1),
        }
    }
}

impl Cell {
    /// Where a record belongs.
    pub fn of(entry: &Entry<'_>) -> Self {
        let Entry { tenant, key_id, key, model, endpoint, .. } = entry;
        let [tenant, key_id, key, model] = [tenant, key_id, key, model].map(|name| name.to_string());
        Self { tenant, key_id, key, model, endpoint: *endpoint }
    }

    /// Whether a record belongs here.
    pub fn holds(&self, entry: &Entry<'_>) -> bool {
        let Self { tenant, key_id, key, model, endpoint } = self;
        *endpoint == entry.endpoint
            && *key_id == entry.key_id
            && *model == entry.model
            && *tenant == entry.tenant
            && *key == entry.key
    }

    /// As stores name it.
    pub fn text(&self) -> String {
        let parts = (&self.tenant, &self.key_id, &self.key, &self.model, self.endpoint);
        serde_json::to_string(&parts).expect("names are JSON")
    }

    /// Reads what [`Cell::text`] gives. None: it is something else.
    pub fn of_text(text: &str) -> Option<Self> {
        let (tenant, key_id, key, model, endpoint) = serde_json::from_str(text).ok()?;
        Some(Self { tenant, key_id, key, model, endpoint })
    }
}

impl Sums {
    /// One request.
    pub fn of(entry: &Entry<'_>) -> Self {
        Self {
            requests: 1,
            failed: u64::from(entry.outcome == Outcome::Failed),
            abandoned: u64::from(entry.outcome == Outcome::Abandoned),
            prompt_tokens: entry.prompt_tokens,
            cached_tokens: entry.cached_tokens,
            completion_tokens: entry.completion_tokens,
            reasoning_tokens: entry.reasoning_tokens,
            cost: entry.cost,
        }
    }

    /// As stores keep it: numbers with commas, which a script can add to.
    pub fn text(&self) -> String {
        self.numbers().map(|number| number.to_string()).join(",")
    }

    /// Reads what [`Sums::text`] gives. None: it is something else.
    pub fn of_text(text: &str) -> Option<Self> {
        let numbers: Result<Vec<u64>, _> = text.split(',').map(str::parse).collect();
        let [requests, failed, abandoned, prompt_tokens, cached_tokens, completion_tokens, reasoning_tokens, cost] =
            numbers.ok()?.try_into().ok()?;
        Some(Self {
            requests,
            failed,
            abandoned,
            prompt_tokens,
            cached_tokens,
            completion_tokens,
            reasoning_tokens,
            cost,
        })
    }

    fn numbers(&self) -> [u64; 8] {
        [
            self.requests,
            self.failed,
            self.abandoned,
            self.prompt_tokens,
            self.cached_tokens,
            self.completion_tokens,
            self.reasoning_tokens,
            self.cost,
        ]
    }
}

impl AddAssign for Sums {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.failed += other.failed;
        self.abandoned += other.abandoned;
        self.prompt_tokens += other.prompt_tokens;
        self.cached_tokens += other.cached_tokens;
        self.completion_tokens += other.completion_tokens;
        self.reasoning_tokens += other.reasoning_tokens;
        self.cost = self.cost.saturating_add(other.cost);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_back() {
        let sums = Sums {
            requests: 1,
            failed: 2,
            abandoned: 3,
            prompt_tokens: 4,
            cached_tokens: 5,
            completion_tokens: 6,
            reasoning_tokens: 7,
            cost: 8,
        };
        assert_eq!(sums.text(), "1,2,3,4,5,6,7,8");
        assert_eq!(Sums::of_text(&sums.text()), Some(sums));
        for wrong in ["", "1", "1,2,3,4,5,6,7", "1,2,3,4,5,6,7,-8", "1,2,3,4,5,6,7,8,9"] {
            assert_eq!(Sums::of_text(wrong), None, "{wrong}");
        }
        let name = |text: &str| text.to_owned();
        let cell = Cell {
            tenant: name("a\"b,"),
            key_id: name("key_1"),
            key: name(""),
            model: name("\u{fc}"),
            endpoint: Endpoint::Embeddings,
        };
        assert_eq!(Cell::of_text(&cell.text()), Some(cell));
        assert_eq!(Cell::of_text("[]"), None);
    }

    #[test]
    fn periods_are_those_of_utc() {
        assert_eq!(Period::of(86_400_000 - 1), [Period::Hour(23), Period::Day(0)]);
        assert_eq!(Period::of(86_400_000), [Period::Hour(24), Period::Day(1)]);
        assert_eq!((Period::Hour(24).start(), Period::Day(1).start()), (86_400, 86_400));
        assert_eq!(Period::Hour(0).next(), Period::Hour(1));
    }
}
