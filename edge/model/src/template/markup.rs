//! Texts marked as safe HTML, which in Python escape whatever is added to them.
//!
//! Chat templates have no use for it, yet some say `"..."|safe + name`, and their models were trained on
//! the escaped result. The engine's `+` only joins, so that in a tag with such a filter every `+` becomes
//! a filter that adds as Python does.

use minijinja::value::ValueKind;
use minijinja::{Environment, Error, ErrorKind, Value};

use super::filters::escape;
use super::python::check_length;

const FILTER: &str = "_plus";

/// The filters whose result is marked as safe.
const MARKING: [&str; 4] = ["safe", "e", "escape", "forceescape"];

/// Words that end an operand.
const BOUNDARIES: [&str; 14] =
    ["and", "or", "not", "in", "if", "else", "elif", "for", "set", "recursive", "call", "filter", "with", "macro"];

pub(super) fn add_to(environment: &mut Environment<'_>) {
    environment.add_filter(FILTER, plus);
}

/// Replaces each `+` in the code of one tag if the tag marks a text as safe.
pub(super) fn watch_additions(code: &str) -> Option<String> {
    let tokens = tokens(code);
    let marks = tokens.windows(2).any(|pair| pair[0] == "|" && MARKING.contains(&pair[1]));
    (marks && tokens.contains(&"+")).then(|| Rewriter::default().rewrite(code, &tokens))
}

/// Words, string literals and single signs, in order.
fn tokens(code: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '\'' | '"' => literal_length(rest, first),
            c if is_word(c) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        tokens.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    tokens
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn literal_length(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

/// Writes the code anew; the last of the levels is that of the innermost open bracket.
#[derive(Default)]
struct Rewriter {
    out: String,
    levels: Vec<Level>,
}

/// A sum in the making.
#[derive(Default)]
struct Level {
    /// Where its first operand starts.
    start: Option<usize>,
    /// Whether the operand being written is the argument of the filter.
    in_argument: bool,
}

impl Rewriter {
    fn rewrite(mut self, code: &str, tokens: &[&str]) -> String {
        self.levels.push(Level::default());
        let mut rest = code;
        let mut previous = "";
        for (index, token) in tokens.iter().copied().enumerate() {
            let at = rest.find(token).unwrap_or(0);
            self.out.push_str(&rest[..at]);
            rest = &rest[at + token.len()..];
            let after_operand = previous.ends_with(['\'', '"', ')', ']', '}'])
                || (previous.ends_with(is_word) && !BOUNDARIES.contains(&previous));
            // The signs of the tag itself: `{%`, `-%}`, `+}}`.
            let of_the_tag = matches!(token, "%" | "-" | "+") && (index == 1 || index + 3 >= tokens.len());
            if of_the_tag {
                self.end_sum();
                self.out.push_str(token);
            } else {
                self.token(token, previous, after_operand);
            }
            previous = token;
        }
        self.out.push_str(rest);
        self.out
    }

    fn token(&mut self, token: &str, previous: &str, binary: bool) {
        let tested = previous == "is";
        match token {
            "+" if binary => self.add(),
            "-" if binary => {
                self.end_argument();
                self.out.push('-');
            }
            "(" | "[" | "{" => {
                self.begin_operand();
                self.out.push_str(token);
                self.levels.push(Level::default());
            }
            ")" | "]" | "}" => {
                self.end_sum();
                if self.levels.len() > 1 {
                    self.levels.pop();
                }
                self.out.push_str(token);
            }
            "," | ":" | "=" | "<" | ">" | "!" => {
                self.end_sum();
                self.out.push_str(token);
            }
            word if BOUNDARIES.contains(&word) && !tested => {
                self.end_sum();
                self.out.push_str(word);
            }
            _ => {
                self.begin_operand();
                self.out.push_str(token);
            }
        }
    }

    fn add(&mut self) {
        self.end_argument();
        let start = self.level().start.unwrap_or(self.out.len());
        self.out.insert(start, '(');
        self.out.push_str(")|");
        self.out.push_str(FILTER);
        self.out.push('(');
        self.level().in_argument = true;
    }

    fn begin_operand(&mut self) {
        let end = self.out.len();
        self.level().start.get_or_insert(end);
    }

    fn end_argument(&mut self) {
        if std::mem::take(&mut self.level().in_argument) {
            self.out.push(')');
        }
    }

    fn end_sum(&mut self) {
        self.end_argument();
        self.level().start = None;
    }

    fn level(&mut self) -> &mut Level {
        if self.levels.is_empty() {
            self.levels.push(Level::default());
        }
        let last = self.levels.len() - 1;
        &mut self.levels[last]
    }
}

/// Python's `+`.
fn plus(left: &Value, right: &Value) -> Result<Value, Error> {
    if let (Some(a), Some(b)) = (left.as_str(), right.as_str()) {
        check_length(a.len().saturating_add(b.len()))?;
        return match (left.is_safe(), right.is_safe()) {
            (false, false) => Ok([a, b].concat().into()),
            _ => Ok(Value::from_safe_string(format!("{}{}", escape(left)?, escape(right)?))),
        };
    }
    let lists = [left, right].map(|value| matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable));
    if lists == [true, true] {
        return Ok(left.try_iter()?.chain(right.try_iter()?).collect::<Vec<_>>().into());
    }
    if left.is_number() && right.is_number() {
        if let (true, true) = (left.is_integer(), right.is_integer())
            && let Some(sum) = i128::try_from(left.clone())?.checked_add(i128::try_from(right.clone())?)
        {
            return Ok(sum.into());
        }
        return Ok((f64::try_from(left.clone())? + f64::try_from(right.clone())?).into());
    }
    let problem = format!("cannot add {} and {}", left.kind(), right.kind());
    Err(Error::new(ErrorKind::InvalidOperation, problem))
}

#[cfg(test)]
mod tests {
    use super::watch_additions;

    #[test]
    fn sums_in_marking_tags_are_filters() {
        let cases = [
            ("{{ 'a'|safe + b }}", Some("{{ ('a'|safe )|_plus( b )}}")),
            ("{{ a + b|e + c }}", Some("{{ ((a )|_plus( b|e ))|_plus( c )}}")),
            ("{% if x|e + y == z -%}", Some("{% if (x|e )|_plus( y )== z -%}")),
            (
                "{{ f(a|e + b, [c + '+']) - -d + 1 }}",
                Some("{{ (f((a|e )|_plus( b), [(c )|_plus( '+')]) - -d )|_plus( 1 )}}"),
            ),
            ("{%- if a % 2 + b|e -%}", Some("{%- if (a % 2 )|_plus( b|e )-%}")),
            ("{% set x = a|safe +%}", Some("{% set x = a|safe +%}")),
            ("{{ a + b }}", None),
            ("{{ a|safe }}", None),
        ];
        for (code, expected) in cases {
            assert_eq!(watch_additions(code).as_deref(), expected, "{code}");
        }
    }
}
