//! The methods of Python's `str`.

use minijinja::value::{Kwargs, Rest, Tuple, ValueKind, from_args};
use minijinja::{Error, ErrorKind, Value};

use super::{check_length, formats};

pub(in super::super) fn call_method(text: &str, name: &str, args: &[Value]) -> Result<Value, Error> {
    if let Some(result) = without_arguments(text, name) {
        let () = from_args(args)?;
        return Ok(result);
    }
    match name {
        "strip" => strip(text, args, true, true),
        "lstrip" => strip(text, args, true, false),
        "rstrip" => strip(text, args, false, true),
        "startswith" => has_affix(text, args, name, |text, prefix| text.starts_with(prefix)),
        "endswith" => has_affix(text, args, name, |text, suffix| text.ends_with(suffix)),
        "removeprefix" => {
            let (prefix,): (&str,) = from_args(args)?;
            Ok(text.strip_prefix(prefix).unwrap_or(text).into())
        }
        "removesuffix" => {
            let (suffix,): (&str,) = from_args(args)?;
            Ok(text.strip_suffix(suffix).unwrap_or(text).into())
        }
        "replace" => replace(text, args),
        "split" => split(text, args),
        "rsplit" => rsplit(text, args),
        "splitlines" => splitlines(text, args),
        "partition" => {
            let (separator,): (&str,) = from_args(args)?;
            let parts = text.split_once(non_empty(separator)?);
            Ok(triple(parts.map_or([text, "", ""], |(head, tail)| [head, separator, tail])))
        }
        "rpartition" => {
            let (separator,): (&str,) = from_args(args)?;
            let parts = text.rsplit_once(non_empty(separator)?);
            Ok(triple(parts.map_or(["", "", text], |(head, tail)| [head, separator, tail])))
        }
        "join" => join(text, args),
        "find" => search(text, args).map(|(_, found)| position(found)),
        "rfind" => rsearch(text, args).map(position),
        "index" => required(search(text, args)?.1),
        "rindex" => required(rsearch(text, args)?),
        "count" => {
            let (wanted, start, end): (&str, Option<i64>, Option<i64>) = from_args(args)?;
            let window = window(text, start, end);
            let empty = window.text.chars().count() + 1;
            Ok(Value::from(if wanted.is_empty() { empty } else { window.text.matches(wanted).count() }))
        }
        "center" | "ljust" | "rjust" => justify(text, name, args),
        "zfill" => zfill(text, args),
        "expandtabs" => expandtabs(text, args),
        "format" => formats::format_text(text, args),
        _ => Err(ErrorKind::UnknownMethod.into()),
    }
}

fn without_arguments(text: &str, name: &str) -> Option<Value> {
    let all = |test: fn(char) -> bool| Value::from(!text.is_empty() && text.chars().all(test));
    Some(match name {
        "lower" | "casefold" => text.to_lowercase().into(),
        "upper" => text.to_uppercase().into(),
        "capitalize" => capitalize(text).into(),
        "title" => title(text).into(),
        "swapcase" => swapcase(text).into(),
        "isspace" => all(is_space),
        "isdigit" | "isdecimal" => all(|c| c.is_ascii_digit() || (c.is_numeric() && !c.is_alphabetic())),
        "isnumeric" => all(char::is_numeric),
        "isalpha" => all(char::is_alphabetic),
        "isalnum" => all(char::is_alphanumeric),
        "isascii" => text.is_ascii().into(),
        "islower" => (text.chars().any(char::is_lowercase) && !text.chars().any(char::is_uppercase)).into(),
        "isupper" => (text.chars().any(char::is_uppercase) && !text.chars().any(char::is_lowercase)).into(),
        "istitle" => (text.chars().any(char::is_alphabetic) && title(text) == text).into(),
        "isidentifier" => is_identifier(text).into(),
        _ => return None,
    })
}

/// What Python's `str` methods take for white space: the Unicode class and the four ASCII separators.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}')
}

fn is_identifier(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|first| first == '_' || first.is_alphabetic())
        && chars.all(|c| c == '_' || c.is_alphanumeric())
}

fn capitalize(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(chars.as_str().to_lowercase().chars()).collect())
}

fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_word = false;
    for c in text.chars() {
        if in_word {
            out.extend(c.to_lowercase());
        } else {
            out.extend(c.to_uppercase());
        }
        in_word = c.is_alphabetic();
    }
    out
}

fn swapcase(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_uppercase() {
            out.extend(c.to_lowercase());
        } else {
            out.extend(c.to_uppercase());
        }
    }
    out
}

fn strip(text: &str, args: &[Value], start: bool, end: bool) -> Result<Value, Error> {
    let (set,): (Option<&str>,) = from_args(args)?;
    let strips = |c: char| set.map_or_else(|| is_space(c), |set| set.contains(c));
    let text = if start { text.trim_start_matches(strips) } else { text };
    let text = if end { text.trim_end_matches(strips) } else { text };
    Ok(text.into())
}

fn has_affix(text: &str, args: &[Value], name: &str, test: fn(&str, &str) -> bool) -> Result<Value, Error> {
    let (affix, start, end): (&Value, Option<i64>, Option<i64>) = from_args(args)?;
    let text = window(text, start, end).text;
    if let Some(affix) = affix.as_str() {
        return Ok(test(text, affix).into());
    }
    if affix.kind() == ValueKind::Seq {
        return Ok(affix.try_iter()?.any(|affix| affix.as_str().is_some_and(|affix| test(text, affix))).into());
    }
    let problem = format!("{name} first arg must be str or a tuple of str, not {}", affix.kind());
    Err(Error::new(ErrorKind::InvalidOperation, problem))
}

fn replace(text: &str, args: &[Value]) -> Result<Value, Error> {
    let (old, new, count): (&str, &str, Option<i64>) = from_args(args)?;
    let limit = count.and_then(|count| usize::try_from(count).ok()).unwrap_or(usize::MAX);
    let found = if old.is_empty() { text.chars().count() + 1 } else { text.matches(old).count() };
    check_length(text.len().saturating_add(found.min(limit).saturating_mul(new.len())))?;
    Ok(text.replacen(old, new, limit).into())
}

fn split(text: &str, args: &[Value]) -> Result<Value, Error> {
    let (separator, limit) = split_arguments(args)?;
    let parts: Vec<Value> = match separator {
        Some(separator) => text.splitn(limit.saturating_add(1), &separator).map(Value::from).collect(),
        None => {
            let mut parts = Vec::new();
            let mut rest = text.trim_start_matches(is_space);
            while !rest.is_empty() {
                let end = if parts.len() < limit { rest.find(is_space).unwrap_or(rest.len()) } else { rest.len() };
                parts.push(Value::from(&rest[..end]));
                rest = rest[end..].trim_start_matches(is_space);
            }
            parts
        }
    };
    Ok(parts.into())
}

fn rsplit(text: &str, args: &[Value]) -> Result<Value, Error> {
    let (separator, limit) = split_arguments(args)?;
    let mut parts: Vec<Value> = match separator {
        Some(separator) => text.rsplitn(limit.saturating_add(1), &separator).map(Value::from).collect(),
        None => {
            let mut parts = Vec::new();
            let mut rest = text.trim_end_matches(is_space);
            while !rest.is_empty() {
                let last_space = rest.char_indices().rev().find(|(_, c)| is_space(*c));
                let start = match last_space {
                    Some((at, c)) if parts.len() < limit => at + c.len_utf8(),
                    _ => 0,
                };
                parts.push(Value::from(&rest[start..]));
                rest = rest[..start].trim_end_matches(is_space);
            }
            parts
        }
    };
    parts.reverse();
    Ok(parts.into())
}

/// The separator (none means runs of white space) and how often to split at most.
fn split_arguments(args: &[Value]) -> Result<(Option<String>, usize), Error> {
    let (positional, kwargs): (Rest<Value>, Kwargs) = from_args(args)?;
    let argument = |index: usize, name: &str| -> Result<Option<Value>, Error> {
        positional.get(index).map_or_else(|| kwargs.get(name), |value| Ok(Some(value.clone())))
    };
    let separator = argument(0, "sep")?.filter(|value| !value.is_none());
    let limit = argument(1, "maxsplit")?.and_then(|value| value.as_i64()).unwrap_or(-1);
    kwargs.assert_all_used()?;
    let separator = match separator {
        None => None,
        Some(value) => match value.as_str() {
            Some(text) => Some(non_empty(text)?.to_owned()),
            None => return Err(Error::new(ErrorKind::InvalidOperation, "separator must be str or None")),
        },
    };
    Ok((separator, usize::try_from(limit).unwrap_or(usize::MAX)))
}

fn non_empty(separator: &str) -> Result<&str, Error> {
    if separator.is_empty() { Err(Error::new(ErrorKind::InvalidOperation, "empty separator")) } else { Ok(separator) }
}

fn splitlines(text: &str, args: &[Value]) -> Result<Value, Error> {
    let (positional, kwargs): (Option<bool>, Kwargs) = from_args(args)?;
    let keep_ends = positional.or(kwargs.get("keepends")?).unwrap_or(false);
    kwargs.assert_all_used()?;
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some((at, end)) = rest.char_indices().find(|(_, c)| is_line_end(*c)) {
        let width = if rest[at..].starts_with("\r\n") { 2 } else { end.len_utf8() };
        lines.push(Value::from(&rest[..if keep_ends { at + width } else { at }]));
        rest = &rest[at + width..];
    }
    if !rest.is_empty() {
        lines.push(Value::from(rest));
    }
    Ok(lines.into())
}

fn is_line_end(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn triple(parts: [&str; 3]) -> Value {
    Value::from(Tuple::from(parts.map(Value::from)))
}

fn join(separator: &str, args: &[Value]) -> Result<Value, Error> {
    let (items,): (&Value,) = from_args(args)?;
    let mut out = String::new();
    for (index, item) in items.try_iter()?.enumerate() {
        let Some(item) = item.as_str() else {
            let problem = format!("sequence item {index}: expected str instance, {} found", item.kind());
            return Err(Error::new(ErrorKind::InvalidOperation, problem));
        };
        check_length(out.len().saturating_add(separator.len()).saturating_add(item.len()))?;
        if index > 0 {
            out.push_str(separator);
        }
        out.push_str(item);
    }
    Ok(out.into())
}

/// The part of a text between two Python indices, and how many characters stand before it.
struct Window<'a> {
    text: &'a str,
    before: usize,
}

fn window(text: &str, start: Option<i64>, end: Option<i64>) -> Window<'_> {
    if start.is_none() && end.is_none() {
        return Window { text, before: 0 };
    }
    let length = text.chars().count();
    let clamp = |index: i64| {
        let distance = usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX);
        if index < 0 { length.saturating_sub(distance) } else { distance.min(length) }
    };
    let start = start.map_or(0, clamp);
    let end = end.map_or(length, clamp).max(start);
    let byte = |index: usize| text.char_indices().nth(index).map_or(text.len(), |(at, _)| at);
    Window { text: &text[byte(start)..byte(end)], before: start }
}

fn search<'a>(text: &'a str, args: &[Value]) -> Result<(Window<'a>, Option<usize>), Error> {
    let (wanted, start, end): (&str, Option<i64>, Option<i64>) = from_args(args)?;
    let window = window(text, start, end);
    let found = window.text.find(wanted).map(|at| window.before + window.text[..at].chars().count());
    Ok((window, found))
}

fn rsearch(text: &str, args: &[Value]) -> Result<Option<usize>, Error> {
    let (wanted, start, end): (&str, Option<i64>, Option<i64>) = from_args(args)?;
    let window = window(text, start, end);
    Ok(window.text.rfind(wanted).map(|at| window.before + window.text[..at].chars().count()))
}

fn position(found: Option<usize>) -> Value {
    found.map_or(Value::from(-1), Value::from)
}

fn required(found: Option<usize>) -> Result<Value, Error> {
    found.map(Value::from).ok_or_else(|| Error::new(ErrorKind::InvalidOperation, "substring not found"))
}

fn justify(text: &str, name: &str, args: &[Value]) -> Result<Value, Error> {
    let (width, fill): (i64, Option<char>) = from_args(args)?;
    let width = usize::try_from(width).unwrap_or(0);
    let missing = width.saturating_sub(text.chars().count());
    check_length(missing.saturating_mul(4).saturating_add(text.len()))?;
    let left = match name {
        "ljust" => 0,
        "rjust" => missing,
        // Python puts the odd one to the left where the width is odd.
        _ => missing / 2 + (missing & width & 1),
    };
    let fill = |count: usize| fill.unwrap_or(' ').to_string().repeat(count);
    Ok(format!("{}{text}{}", fill(left), fill(missing - left)).into())
}

fn zfill(text: &str, args: &[Value]) -> Result<Value, Error> {
    let (width,): (i64,) = from_args(args)?;
    let missing = usize::try_from(width).unwrap_or(0).saturating_sub(text.chars().count());
    check_length(missing.saturating_add(text.len()))?;
    let (sign, digits) = text.split_at(usize::from(text.starts_with(['+', '-'])));
    Ok(format!("{sign}{}{digits}", "0".repeat(missing)).into())
}

fn expandtabs(text: &str, args: &[Value]) -> Result<Value, Error> {
    let (size,): (Option<i64>,) = from_args(args)?;
    let size = usize::try_from(size.unwrap_or(8)).unwrap_or(0);
    let mut out = String::with_capacity(text.len());
    let mut column = 0;
    for c in text.chars() {
        match c {
            '\t' => {
                let width = if size == 0 { 0 } else { size - column % size };
                check_length(out.len().saturating_add(width))?;
                out.push_str(&" ".repeat(width));
                column += width;
            }
            '\n' | '\r' => {
                out.push(c);
                column = 0;
            }
            c => {
                out.push(c);
                column += 1;
            }
        }
    }
    Ok(out.into())
}
