//! What a key or a tenant may use, as flags say it.

use clap::Args;
use serde_json::{Map, Value, json};

/// Limits, budgets, urgency and models.
#[derive(Debug, Args)]
pub struct Allowance {
    #[arg(long, value_name = "N")]
    requests_per_minute: Option<u64>,
    /// Prompts and completions together.
    #[arg(long, value_name = "N")]
    tokens_per_minute: Option<u64>,
    #[arg(long, value_name = "N")]
    requests_per_day: Option<u64>,
    #[arg(long, value_name = "N")]
    tokens_per_day: Option<u64>,
    /// Requests in progress at once.
    #[arg(long, value_name = "N")]
    concurrent_requests: Option<u64>,
    /// US dollars a day, by the catalogue's prices; what would pass them is refused.
    #[arg(long, value_name = "USD")]
    budget_per_day: Option<f64>,
    /// US dollars a month; what would pass them is refused.
    #[arg(long, value_name = "USD")]
    budget_per_month: Option<f64>,
    /// How urgent requests are among others that wait for the same model. [default: a tenant's is normal, a key's is its
    /// tenant's]
    #[arg(long, value_name = "CLASS", value_parser = ["high", "normal", "low"])]
    priority: Option<String>,
    /// A model that may be asked for, by its id in the catalogue. Repeat it for several. [default: all]
    #[arg(long = "model", value_name = "ID")]
    models: Vec<String>,
    /// A note of your own. Repeat it for several.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    metadata: Vec<(String, String)>,
}

impl Allowance {
    /// As fields of the admin API. Only what is said is there.
    pub fn fields(&self) -> Map<String, Value> {
        let mut fields = Map::new();
        let limits = object([
            ("requests_per_minute", self.requests_per_minute.map(Value::from)),
            ("tokens_per_minute", self.tokens_per_minute.map(Value::from)),
            ("requests_per_day", self.requests_per_day.map(Value::from)),
            ("tokens_per_day", self.tokens_per_day.map(Value::from)),
            ("concurrent_requests", self.concurrent_requests.map(Value::from)),
        ]);
        let hard = |usd: Option<f64>| usd.map(|usd| json!({ "hard": usd }));
        let budget = object([("day", hard(self.budget_per_day)), ("month", hard(self.budget_per_month))]);
        for (name, value) in [("rate_limits", limits), ("budget", budget)] {
            if !value.is_empty() {
                fields.insert(name.to_owned(), value.into());
            }
        }
        if let Some(priority) = &self.priority {
            fields.insert("priority".to_owned(), priority.clone().into());
        }
        if !self.models.is_empty() {
            fields.insert("models".to_owned(), json!(self.models));
        }
        if !self.metadata.is_empty() {
            let metadata: Map<String, Value> =
                self.metadata.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
            fields.insert("metadata".to_owned(), metadata.into());
        }
        fields
    }
}

fn object<const N: usize>(fields: [(&str, Option<Value>); N]) -> Map<String, Value> {
    fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn pair(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("is not NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}
