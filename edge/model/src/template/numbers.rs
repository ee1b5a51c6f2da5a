//! Jinja2's filters that make numbers.

use minijinja::value::{Kwargs, Rest};
use minijinja::{Environment, Error, Value};

use super::arguments::arguments;
use super::value::number;

pub(super) fn add_to(environment: &mut Environment<'_>) {
    environment.add_filter("int", int);
    environment.add_filter("float", float);
    environment.add_filter("round", round);
    environment.add_filter("abs", abs);
}

/// `value|int(default=0, base=10)`: what is no number is the default; a text may also be a float.
fn int(value: &Value, placed: Rest<Value>, named: Kwargs) -> Result<Value, Error> {
    let [default, base] = arguments(["default", "base"], &placed, &named)?;
    let base = base.map_or(Ok(10), u32::try_from)?;
    let parsed = match value.as_str().map(str::trim) {
        Some(text) => integer(text, base).map(Value::from).or_else(|| truncated(text.parse().ok()?)),
        None => {
            let value = number(value);
            i128::try_from(value.clone()).ok().map(Value::from).or_else(|| truncated(value.try_into().ok()?))
        }
    };
    Ok(parsed.or(default).unwrap_or_else(|| Value::from(0)))
}

/// A text as Python's `int(text, base)` reads it. Base 0 is what the prefix says.
fn integer(text: &str, base: u32) -> Option<i128> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let prefixes = [("0x", 16), ("0o", 8), ("0b", 2)];
    let lower = digits.to_ascii_lowercase();
    let prefixed = prefixes.iter().find(|(prefix, of)| (base == *of || base == 0) && lower.starts_with(prefix));
    let (digits, base) = match prefixed {
        Some((prefix, base)) => (&lower[prefix.len()..], *base),
        None => (lower.as_str(), if base == 0 { 10 } else { base }),
    };
    let odd = digits.starts_with(['_', '+', '-']) || digits.ends_with('_') || digits.contains("__");
    if odd || !(2..=36).contains(&base) {
        return None;
    }
    i128::from_str_radix(&format!("{sign}{}", digits.replace('_', "")), base).ok()
}

fn truncated(float: f64) -> Option<Value> {
    /// The engine's integers end here.
    const MOST: f64 = 1e38;
    #[expect(clippy::cast_possible_truncation, reason = "within the range, and truncation is what int() does")]
    (float.abs() <= MOST).then(|| Value::from(float as i128))
}

/// `value|float(default=0.0)`
fn float(value: &Value, placed: Rest<Value>, named: Kwargs) -> Result<Value, Error> {
    let [default] = arguments(["default"], &placed, &named)?;
    let parsed = match value.as_str() {
        Some(text) => text.trim().parse::<f64>().ok(),
        None => number(value).try_into().ok(),
    };
    Ok(parsed.map(Value::from).or(default).unwrap_or_else(|| Value::from(0.0)))
}

/// `number|round(precision=0, method="common")`: a float, but for an integer that is rounded as usual.
fn round(value: &Value, placed: Rest<Value>, named: Kwargs) -> Result<Value, Error> {
    let [precision, method] = arguments(["precision", "method"], &placed, &named)?;
    let precision = precision.map(i32::try_from).transpose()?;
    let method = method.as_ref().and_then(Value::as_str);
    let common = method.is_none_or(|method| method == "common");
    let value = number(value);
    let value = if common || !value.is_integer() { value } else { f64::try_from(value)?.into() };
    minijinja::filters::round(value, precision, method, Kwargs::from_iter::<[(&str, Value); 0]>([]))
}

/// `number|abs`
fn abs(value: &Value) -> Result<Value, Error> {
    minijinja::filters::abs(number(value))
}
