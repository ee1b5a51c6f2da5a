//! What has to change in a template's source before the engine here may compile it.
//!
//! Some things Jinja2 reads otherwise: line ends, the escapes of Python's string literals, sums of texts
//! marked as safe (see [`super::markup`]), and `{% generation %}` blocks, which mark the assistant's words
//! for training and are no more than a scope when rendering. And what could exhaust the stack is bounded:
//! long expressions are refused, assigned values are watched (see [`super::nesting`]). No line moves.

use super::{CompileError, limits, markup, nesting};

/// The source in the engine's dialect.
pub(super) fn translate(source: &str) -> Result<String, CompileError> {
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let mut out = String::with_capacity(source.len());
    let mut branches = 0;
    let mut rest = source.as_str();
    while let Some(at) = next_tag(rest) {
        out.push_str(&rest[..at]);
        let tag = &rest[at..];
        rest = self::tag(&mut out, tag)?;
        branches += usize::from(name(tag) == Some("elif"));
        if branches > limits::BRANCHES {
            return Err(too_complex(&out, "too many `elif` branches"));
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// Where the next tag, expression or comment begins.
fn next_tag(text: &str) -> Option<usize> {
    text.match_indices('{').map(|(at, _)| at).find(|at| text[at + 1..].starts_with(['%', '{', '#']))
}

fn too_complex(so_far: &str, message: &'static str) -> CompileError {
    CompileError::TooComplex { line: so_far.matches('\n').count() + 1, message }
}

/// Copies the tag, expression, comment or raw block at the start of the text, and returns what follows.
fn tag<'a>(out: &mut String, text: &'a str) -> Result<&'a str, CompileError> {
    if text.starts_with("{#") {
        return Ok(copy(out, text, text.find("#}").map_or(text.len(), |at| at + 2)));
    }
    let start = out.len();
    match name(text) {
        Some("raw") => {
            let (raw, rest) = text.split_at(raw_end(text));
            let end = raw.find("%}").unwrap_or(raw.len());
            out.push_str(&raw[..end]);
            // Jinja2 keeps the line end behind it.
            if raw[end..].starts_with("%}\n") && !out.ends_with(['-', '+']) {
                out.push('+');
            }
            out.push_str(&raw[end..]);
            Ok(rest)
        }
        Some("generation") => {
            let rest = code(out, text)?;
            replace_last(out, "generation", "with");
            Ok(rest)
        }
        Some("endgeneration") => {
            let rest = code(out, text)?;
            replace_last(out, "endgeneration", "endwith");
            Ok(rest)
        }
        tag => {
            let rest = code(out, text)?;
            if let Some(watched) = markup::watch_additions(&out[start..]) {
                out.truncate(start);
                out.push_str(&watched);
            }
            if tag == Some("set") {
                watch_assignment(out, start);
            }
            Ok(rest)
        }
    }
}

/// Passes the value of the `{% set target = value %}` that the text ends in through the filter for its
/// kind of target. A block of text that is assigned needs no watching.
fn watch_assignment(out: &mut String, start: usize) {
    let Some(equals) = out[start..].find(['=', '|']).map(|at| start + at) else { return };
    let Some(inner) = out.strip_suffix("%}").map(|inner| inner.trim_end_matches(['-', '+']).len()) else { return };
    if out[equals..].starts_with('|') || inner <= equals {
        return;
    }
    let filter = if out[start..equals].contains('.') { nesting::MEMBER } else { nesting::VARIABLE };
    out.insert_str(inner, &format!(")|{filter} "));
    out.insert(equals + 1, '(');
}

fn copy<'a>(out: &mut String, text: &'a str, end: usize) -> &'a str {
    out.push_str(&text[..end]);
    &text[end..]
}

fn replace_last(out: &mut String, from: &str, to: &str) {
    if let Some(at) = out.rfind(from) {
        out.replace_range(at..at + from.len(), to);
    }
}

/// The word right after `{%`.
fn name(tag: &str) -> Option<&str> {
    let inner = tag.strip_prefix("{%")?.trim_start_matches(['-', '+']).trim_start();
    inner.split(|c: char| !c.is_alphanumeric() && c != '_').next()
}

/// Where the `{% endraw %}` begins that ends the raw block at the start of the text.
fn raw_end(text: &str) -> usize {
    let mut at = 2;
    while let Some(found) = text[at..].find("{%") {
        at += found;
        if name(&text[at..]) == Some("endraw") {
            return at;
        }
        at += 2;
    }
    text.len()
}

/// Copies code up to and with its end mark, translating the string literals in it.
fn code<'a>(out: &mut String, text: &'a str) -> Result<&'a str, CompileError> {
    let end_mark = if text.starts_with("{%") { "%}" } else { "}}" };
    let mut at = 0;
    let mut depth = 0_usize;
    let mut tokens = 0;
    let mut in_word = false;
    while let Some(c) = text[at..].chars().next() {
        // A `}}` may also close two dict literals.
        if depth == 0 && at >= 2 && text[at..].starts_with(end_mark) {
            out.push_str(end_mark);
            return Ok(&text[at + end_mark.len()..]);
        }
        let word = c.is_alphanumeric() || c == '_';
        let continues_word = word && in_word;
        tokens += usize::from(!c.is_whitespace() && !continues_word);
        in_word = word;
        if tokens > limits::TAG_TOKENS {
            return Err(too_complex(out, "an expression is too long"));
        }
        match c {
            '\'' | '"' => {
                at += literal(out, &text[at..], c);
                continue;
            }
            '{' if at >= 2 => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        out.push(c);
        at += c.len_utf8();
    }
    Ok("")
}

/// Copies the string literal at the start of the text and returns its length.
fn literal(out: &mut String, text: &str, quote: char) -> usize {
    out.push(quote);
    let mut dropped_lines = 0;
    let mut at = 1;
    while let Some(c) = text[at..].chars().next() {
        at += c.len_utf8();
        if c == quote {
            out.push(quote);
            break;
        }
        if c == '\\' {
            at += escape(out, &text[at..], &mut dropped_lines);
        } else {
            out.push(c);
        }
    }
    // A literal that is continued on the next line loses the line end; the lines after it keep their number.
    out.extend(std::iter::repeat_n('\n', dropped_lines));
    at
}

/// Copies an escape, given from behind its backslash, and returns the length of what it took.
fn escape(out: &mut String, text: &str, dropped_lines: &mut usize) -> usize {
    let Some(c) = text.chars().next() else {
        out.push('\\');
        return 0;
    };
    match c {
        '\n' => *dropped_lines += 1,
        'a' => out.push_str("\\x07"),
        'v' => out.push_str("\\x0b"),
        '/' => out.push_str("\\\\/"),
        'U' => match text.get(1..9).and_then(|digits| u32::from_str_radix(digits, 16).ok()).and_then(char::from_u32) {
            Some(c) => {
                out.push(c);
                return 9;
            }
            None => out.push_str("\\U"),
        },
        c => out.extend(['\\', c]),
    }
    c.len_utf8()
}

#[cfg(test)]
mod tests {
    use super::translate;

    #[test]
    fn only_real_tags_change() {
        let cases = [
            ("{% generation %}x{%- endgeneration -%}", "{% with %}x{%- endwith -%}"),
            ("{%-generation-%}\n{% endgeneration %}", "{%-with-%}\n{% endwith %}"),
            ("{# {% generation %} #}", "{# {% generation %} #}"),
            ("{{ '{% generation %}' }}", "{{ '{% generation %}' }}"),
            (r"{{ 'it\'s }} {% generation %}' }}", r"{{ 'it\'s }} {% generation %}' }}"),
            ("{% raw %}{% generation %}{% endraw %}", "{% raw %}{% generation %}{% endraw %}"),
            ("{% raw %}\n{{ x }}{% endraw %}", "{% raw +%}\n{{ x }}{% endraw %}"),
            ("{% raw {% endraw %}", "{% raw {% endraw %}"),
            ("{%- raw -%}\nx{% endraw %}", "{%- raw -%}\nx{% endraw %}"),
            ("{% if add_generation_prompt %}", "{% if add_generation_prompt %}"),
            ("{% generation", "{% with"),
            ("generation {{", "generation {{"),
        ];
        for (source, expected) in cases {
            assert_eq!(translate(source).unwrap(), expected);
        }
    }

    #[test]
    fn assignments_are_watched() {
        let cases = [
            ("{%- set x = 1 -%}", "{%- set x =( 1 )|_bounded_variable -%}"),
            ("{% set a, b = 1, 2 %}", "{% set a, b =( 1, 2 )|_bounded_variable %}"),
            ("{% set ns.x='a=b' == y%}", "{% set ns.x=('a=b' == y)|_bounded_member %}"),
            ("{% set x %}={% endset %}", "{% set x %}={% endset %}"),
            ("{% set x | f(a=1) %}", "{% set x | f(a=1) %}"),
            ("{% set x =", "{% set x ="),
            ("{% settle x = 1 %}", "{% settle x = 1 %}"),
        ];
        for (source, expected) in cases {
            assert_eq!(translate(source).unwrap(), expected);
        }
    }

    #[test]
    fn string_literals_are_those_of_python() {
        let cases = [
            (r"{{ '\n\t\\\'\x41\u00e9\101' }}", r"{{ '\n\t\\\'\x41\u00e9\101' }}"),
            (r"{{ '\/ \a \v \U0001F600 \q' }}", "{{ '\\\\/ \\x07 \\x0b 😀 \\q' }}"),
            ("{{ 'one\\\ntwo' }}|", "{{ 'onetwo'\n }}|"),
            ("{{ {'a': {'b': 1}} }} '\\/'", "{{ {'a': {'b': 1}} }} '\\/'"),
            ("{{ 'open \\", "{{ 'open \\"),
            ("a\r\nb\rc", "a\nb\nc"),
        ];
        for (source, expected) in cases {
            assert_eq!(translate(source).unwrap(), expected);
        }
    }
}
