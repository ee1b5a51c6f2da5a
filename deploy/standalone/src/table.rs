//! What the admin API answers, for people.

use std::io::{Write, stdout};

use hyper::Method;
use serde_json::Value;

use crate::admin::{AdminAt, AdminError, segment};

/// Asks for a list, page by page.
pub fn each_page(admin: &AdminAt, path: &str, query: &str, mut with: impl FnMut(&Value)) -> Result<(), AdminError> {
    let mut after = String::new();
    loop {
        let page = admin.ask(Method::GET, &format!("{path}?limit=100&after={}{query}", segment(&after)), None)?;
        page["data"].as_array().into_iter().flatten().for_each(&mut with);
        match (page["has_more"].as_bool(), page["last_id"].as_str()) {
            (Some(true), Some(last)) => last.clone_into(&mut after),
            _ => return Ok(()),
        }
    }
}

/// Columns as wide as what is in them.
pub fn print<const N: usize>(titles: [&str; N], rows: &[[String; N]]) {
    let mut widths = titles.map(str::len);
    for row in rows {
        for (width, text) in widths.iter_mut().zip(row) {
            *width = (*width).max(text.chars().count());
        }
    }
    let mut out = stdout().lock();
    let titles = titles.map(str::to_owned);
    for row in std::iter::once(&titles).chain(rows) {
        let line: Vec<String> = row.iter().zip(widths).map(|(text, width)| format!("{text:width$}")).collect();
        let _ = writeln!(out, "{}", line.join("  ").trim_end());
    }
}

/// A document, indented.
pub fn print_json(value: &Value) {
    let _ = writeln!(stdout(), "{value:#}");
}

/// A text of a document.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
