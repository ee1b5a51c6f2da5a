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
pub fn print(titles: impl IntoIterator<Item = impl Into<String>>, rows: &[impl AsRef<[String]>]) {
    let _ = stdout().lock().write_all(text_of(titles, rows).as_bytes());
}

/// The same as a text.
pub fn text_of(titles: impl IntoIterator<Item = impl Into<String>>, rows: &[impl AsRef<[String]>]) -> String {
    let titles: Vec<String> = titles.into_iter().map(Into::into).collect();
    let mut widths: Vec<usize> = titles.iter().map(String::len).collect();
    for row in rows {
        for (width, text) in widths.iter_mut().zip(row.as_ref()) {
            *width = (*width).max(text.chars().count());
        }
    }
    let mut out = String::new();
    for row in std::iter::once(titles.as_slice()).chain(rows.iter().map(AsRef::as_ref)) {
        let line: Vec<String> = row.iter().zip(&widths).map(|(text, width)| format!("{text:width$}")).collect();
        out += line.join("  ").trim_end();
        out.push('\n');
    }
    out
}

/// A document, indented.
pub fn print_json(value: &Value) {
    let _ = writeln!(stdout(), "{value:#}");
}

/// A text of a document.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
