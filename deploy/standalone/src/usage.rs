//! `cloudach usage`: a client of the admin API.

use std::{
    io::{Write, stderr, stdout},
    process::ExitCode,
};

use clap::{Args, ValueEnum};
use hyper::Method;
use serde_json::Value;

use crate::{
    admin::{AdminAt, AdminError, segment},
    table,
};

/// What was used, and what it cost.
#[derive(Debug, Args)]
pub struct Usage {
    /// What each row is about.
    #[arg(long, default_value = "tenant", conflicts_with = "records")]
    by: By,
    /// The first day (UTC), such as 2026-11-01. [default: 30 days that end with --to]
    #[arg(long, conflicts_with = "records")]
    from: Option<String>,
    /// The last day. [default: today]
    #[arg(long, conflicts_with = "records")]
    to: Option<String>,
    /// Every request's record that is still kept, oldest first, instead of sums.
    #[arg(long)]
    records: bool,
    /// As JSON, a row a line.
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// As CSV (RFC 4180), with a line of titles.
    #[arg(long)]
    csv: bool,
    #[command(flatten)]
    admin: AdminAt,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum By {
    Tenant,
    Key,
    Model,
    Day,
}

/// The fields of a record that a table shows and a CSV file holds, in their order.
const RECORD: [&str; 20] = [
    "request_id",
    "ended",
    "endpoint",
    "tenant",
    "key_id",
    "key",
    "model",
    "replica",
    "outcome",
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "reasoning_tokens",
    "engine_prompt_tokens",
    "engine_cached_tokens",
    "engine_completion_tokens",
    "cost",
    "queue_ms",
    "first_token_ms",
    "duration_ms",
];

/// The numbers of a row of sums.
const SUMS: [&str; 8] = [
    "requests",
    "failed",
    "abandoned",
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "reasoning_tokens",
    "cost_usd",
];

impl Usage {
    /// Prints what was used.
    pub fn run(&self) -> ExitCode {
        match self.answer() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                let _ = writeln!(stderr(), "cloudach usage: {error}");
                ExitCode::FAILURE
            }
        }
    }

    fn answer(&self) -> Result<(), AdminError> {
        if self.records {
            return self.print_records();
        }
        let (by, names) = self.by.names();
        let day =
            |name: &str, day: Option<&String>| day.map_or_else(String::new, |day| format!("&{name}={}", segment(day)));
        let (from, to) = (day("from", self.from.as_ref()), day("to", self.to.as_ref()));
        let answer = self.admin.ask(Method::GET, &format!("/admin/v1/usage?by={by}{from}{to}"), None)?;
        let fields: Vec<&str> = names.iter().chain(&SUMS).copied().collect();
        let rows = answer["data"].as_array().map(Vec::as_slice).unwrap_or_default();
        if self.json {
            rows.iter().for_each(print_line);
        } else if self.csv {
            print_csv(&fields);
            rows.iter().for_each(|row| print_csv(&values(row, &fields)));
        } else {
            let mut lines: Vec<Vec<String>> = rows.iter().map(|row| values(row, &fields)).collect();
            let mut total = values(&answer["total"], &fields);
            if let Some(first) = total.first_mut() {
                "total".clone_into(first);
            }
            lines.push(total);
            table::print(fields.iter().map(|field| title(field)), &lines);
        }
        Ok(())
    }

    fn print_records(&self) -> Result<(), AdminError> {
        if self.csv {
            print_csv(&RECORD);
        }
        // Of those that are kept there may be many: they are printed as they come.
        table::each_page(&self.admin, "/admin/v1/usage/records", "", |record| {
            if self.csv {
                print_csv(&values(record, &RECORD));
            } else {
                print_line(record);
            }
        })
    }
}

impl By {
    /// Its name in the question, and the fields that name a row.
    fn names(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::Tenant => ("tenant", &["tenant"]),
            Self::Key => ("key", &["key_id", "tenant", "key"]),
            Self::Model => ("model", &["model"]),
            Self::Day => ("day", &["day"]),
        }
    }
}

fn values(row: &Value, fields: &[&str]) -> Vec<String> {
    let shown = |field: &&str| match &row[*field] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    };
    fields.iter().map(shown).collect()
}

fn title(field: &str) -> String {
    field.replace('_', " ").to_uppercase()
}

fn print_line(row: &Value) {
    let _ = writeln!(stdout(), "{row}");
}

fn print_csv(values: &[impl AsRef<str>]) {
    let _ = write!(stdout(), "{}\r\n", csv(values));
}

fn csv(values: &[impl AsRef<str>]) -> String {
    let quoted = |value: &str| {
        if value.contains(['"', ',', '\r', '\n']) {
            format!("\"{}\"", value.replace('"', "\"\""))
        } else {
            value.to_owned()
        }
    };
    values.iter().map(|value| quoted(value.as_ref())).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_need_it_are_quoted() {
        assert_eq!(csv(&["a", "b,c", "d\"e", "", "f\ng"]), "a,\"b,c\",\"d\"\"e\",,\"f\ng\"");
    }

    #[test]
    fn what_a_row_does_not_have_is_blank() {
        let row = serde_json::json!({ "tenant": "t", "requests": 3, "cost_usd": 0.5 });
        assert_eq!(values(&row, &["tenant", "key", "requests", "cost_usd"]), ["t", "", "3", "0.5"]);
        assert_eq!(title("cost_usd"), "COST USD");
    }
}
