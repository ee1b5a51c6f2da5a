//! `cloudach trace ID`: one request as the processes that it went through remember it.

mod tree;
mod waterfall;

use std::{
    io::{Write, stderr, stdout},
    process::ExitCode,
};

use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    admin::{AdminError, segment},
    at::{At, complain},
    table,
};
use tree::{Span, below, roots_of_request};

/// The columns of a terminal that does not say how many it has.
const COLUMNS: usize = 132;

/// What one request did, and when.
#[derive(Debug, Args)]
pub struct TraceCommand {
    /// The request's id (`x-request-id`), or its trace's (`x-trace-id`).
    id: String,
    /// As JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: At,
}

/// What an address remembers.
#[derive(Debug, Deserialize)]
struct Remembered {
    trace_id: String,
    spans: Vec<Span>,
}

/// Nobody remembers it.
enum NotFound {
    /// Everybody has been asked, and has answered.
    Nobody(String),
    /// Somebody has not.
    Problems,
}

impl TraceCommand {
    /// Prints its tree.
    pub fn run(&self) -> ExitCode {
        match self.found() {
            Ok((trace_id, spans)) if self.json => table::print_json(&json!({ "trace_id": trace_id, "spans": spans })),
            Ok((trace_id, spans)) => {
                let columns = ratatui::crossterm::terminal::size().map_or(COLUMNS, |(columns, _)| columns.into());
                let drawn = waterfall::draw(&trace_id, &spans, columns);
                let _ = stdout().write_all(drawn.as_bytes());
            }
            Err(not_found) => {
                if let NotFound::Nobody(why) = not_found {
                    let _ = writeln!(stderr(), "cloudach trace: {why}");
                }
                return ExitCode::FAILURE;
            }
        }
        ExitCode::SUCCESS
    }

    fn found(&self) -> Result<(String, Vec<Span>), NotFound> {
        let told = |error: AdminError| NotFound::Nobody(error.to_string());
        let token = self.at.token().map_err(told)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| told(AdminError::Runtime(error)))?;
        runtime.block_on(self.joined(token.as_deref()))
    }

    /// Routers and sidecars know a trace by its id only, which whoever knows the request tells.
    async fn joined(&self, token: Option<&str>) -> Result<(String, Vec<Span>), NotFound> {
        let mut told = self.ask(token, &self.id).await;
        let first = told.iter().flatten().next();
        let Some(trace_id) = first.map(|found| found.trace_id.clone()) else { return Err(self.why_not(&told)) };
        if trace_id != self.id.to_ascii_lowercase() && told.len() > 1 {
            told = self.ask(token, &trace_id).await;
        }
        for (url, answer) in self.at.urls().iter().zip(&told) {
            if let Some(error) = answer.as_ref().err().filter(|error| !matches!(error, AdminError::NotThere(_))) {
                complain("trace", url, error);
            }
        }
        let mut spans: Vec<Span> = told.into_iter().flatten().flat_map(|found| found.spans).collect();
        // Addresses of one process remember the same.
        spans.sort_by(|a, b| (a.start_us, &a.span_id).cmp(&(b.start_us, &b.span_id)));
        spans.dedup_by(|a, b| a.span_id == b.span_id);
        // A client may put several requests into one trace.
        let roots = roots_of_request(&spans, &self.id);
        let spans = if roots.is_empty() { spans } else { below(&spans, &roots) };
        Ok((trace_id, spans))
    }

    async fn ask(&self, token: Option<&str>, id: &str) -> Vec<Result<Remembered, AdminError>> {
        let answers = self.at.ask_all(token, &format!("/traces/{}", segment(id))).await;
        let read =
            |bytes: Vec<u8>| serde_json::from_slice(&bytes).map_err(|error| AdminError::Broken(error.to_string()));
        answers.into_iter().map(|answer| answer.and_then(read)).collect()
    }

    fn why_not(&self, told: &[Result<Remembered, AdminError>]) -> NotFound {
        let mut reasons = Vec::new();
        for (url, error) in self.at.urls().iter().zip(told.iter().filter_map(|answer| answer.as_ref().err())) {
            match error {
                AdminError::NotThere(why) if !reasons.contains(why) => reasons.push(why.clone()),
                AdminError::NotThere(_) => {}
                error => complain("trace", url, error),
            }
        }
        match reasons.is_empty() {
            true => NotFound::Problems,
            false => NotFound::Nobody(reasons.join("; ")),
        }
    }
}

/// A value as it stands in a line.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect(),
        value => value.to_string(),
    }
}
