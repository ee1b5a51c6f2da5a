//! Sets of numbers.

use std::rc::Rc;

use serde_json::{Number, Value, json};

use super::error::{SchemaError, below};

/// Beyond this, neighbouring integers are one and the same to engines, which count in 64-bit floats.
const EXACT: f64 = 9_007_199_254_740_992.0;
const EXACT_INTEGER: u64 = 1 << 53;

/// The largest `multipleOf`, in units of its last digit. Decoders keep a state per remainder: llguidance 1.7.6 takes
/// 0.07 s to read one number with 10,007 of them, 13 s with 1,000,003.
const MAX_COEFFICIENT: u64 = 10_007;

/// Numbers between two bounds.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Numbers {
    pub(super) kind: Kind,
    pub(super) low: Option<Bound>,
    pub(super) high: Option<Bound>,
    pub(super) step: Option<Step>,
    /// Where integers were left out.
    pub(super) negated: Option<Rc<str>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Any,
    Integer,
    /// All but integers. No engine has a word for it.
    Fraction,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bound {
    pub(super) value: f64,
    /// The value itself is outside.
    pub(super) open: bool,
}

/// Multiples of `coefficient` * 10^-`digits`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    coefficient: u64,
    digits: u32,
}

impl Numbers {
    pub(super) const ANY: Self = Self { kind: Kind::Any, low: None, high: None, step: None, negated: None };
    pub(super) const INTEGERS: Self = Self { kind: Kind::Integer, low: None, high: None, step: None, negated: None };

    pub(super) fn only(value: f64) -> Self {
        let bound = Some(Bound { value, open: false });
        let kind = if value.fract() == 0.0 { Kind::Integer } else { Kind::Any };
        Self { kind, low: bound, high: bound, step: None, negated: None }
    }

    pub(super) fn point(&self) -> Option<f64> {
        match (self.low, self.high) {
            (Some(low), Some(high)) if low.value == high.value => Some(low.value),
            _ => None,
        }
    }

    /// What is in both, if that is anything.
    pub(super) fn intersect(&self, other: &Self, path: &str) -> Result<Option<Self>, SchemaError> {
        let kind = match (self.kind, other.kind) {
            (Kind::Any, kind) | (kind, Kind::Any) => kind,
            (one, two) if one == two => one,
            _ => return Ok(None),
        };
        let step = match (self.step, other.step) {
            (Some(one), Some(two)) => Some(one.least_common_multiple(two, path)?),
            (step, None) | (None, step) => step,
        };
        let negated = self.negated.clone().or_else(|| other.negated.clone());
        Self { kind, step, negated, ..self.clone() }.within(other).settled(path)
    }

    /// These, but for what the bounds of others leave out.
    pub(super) fn within(self, bounds: &Self) -> Self {
        Self {
            low: tighter(self.low, bounds.low, |one, two| one > two),
            high: tighter(self.high, bounds.high, |one, two| one < two),
            ..self
        }
    }

    pub(super) fn with_step(self, step: Option<Step>) -> Self {
        Self { step, ..self }
    }

    /// Everything else, as alternatives.
    pub(super) fn complement(&self, path: &str) -> Result<Vec<Self>, SchemaError> {
        if self.step.is_some() {
            return Err(SchemaError::Unsupported {
                path: path.to_owned(),
                reason: "numbers that are no multiple cannot be told from others",
            });
        }
        let mut rest = Vec::new();
        if let Some(low) = self.low {
            rest.push(Self { high: Some(low.other_side()), ..Self::ANY });
        }
        if let Some(high) = self.high {
            rest.push(Self { low: Some(high.other_side()), ..Self::ANY });
        }
        match self.kind {
            Kind::Any => {}
            Kind::Integer => rest.push(Self { kind: Kind::Fraction, negated: Some(path.into()), ..self.clone() }),
            Kind::Fraction => rest.push(Self { kind: Kind::Integer, ..self.clone() }),
        }
        rest.iter().filter_map(|numbers| numbers.clone().settled(path).transpose()).collect()
    }

    /// In one way of writing, unless it is empty.
    pub(super) fn settled(mut self, path: &str) -> Result<Option<Self>, SchemaError> {
        if self.kind == Kind::Integer {
            self.low = self.low.map(|low| low.integer(low.value.ceil(), 1.0));
            self.high = self.high.map(|high| high.integer(high.value.floor(), -1.0));
            self.step = match self.step {
                Some(step) => Some(step.least_common_multiple(Step::ONE, path)?).filter(|step| *step != Step::ONE),
                None => None,
            };
        }
        let (Some(low), Some(high)) = (self.low, self.high) else { return Ok(Some(self)) };
        if low.value > high.value || (low.value == high.value && (low.open || high.open)) {
            return Ok(None);
        }
        if self.point().is_some() {
            match (self.kind, low.value.fract() == 0.0) {
                (Kind::Fraction, true) | (Kind::Integer, false) => return Ok(None),
                (_, true) => self.kind = Kind::Integer,
                (_, false) => self.kind = Kind::Any,
            }
            if let Some(step) = self.step.take()
                && !step.divides(low.value)
            {
                return Ok(None);
            }
        } else if let (Kind::Integer, Some(step)) = (self.kind, self.step) {
            #[expect(clippy::cast_precision_loss, reason = "a step has 32 bits")]
            let step = step.coefficient as f64;
            if (high.value / step).floor() * step < low.value {
                return Ok(None);
            }
        }
        Ok(Some(self))
    }

    /// As a schema with one type.
    pub(super) fn write(&self, path: &str) -> Result<Value, SchemaError> {
        if let Some(point) = self.point() {
            return Ok(json!({"const": number(point)}));
        }
        let name = match self.kind {
            Kind::Any => "number",
            Kind::Integer => "integer",
            Kind::Fraction => {
                return Err(SchemaError::Unsupported {
                    path: self.negated.as_deref().unwrap_or(path).to_owned(),
                    reason: "numbers without the integers cannot be told from others",
                });
            }
        };
        let mut schema = serde_json::Map::from_iter([("type".to_owned(), name.into())]);
        for (bound, closed, open) in
            [(self.low, "minimum", "exclusiveMinimum"), (self.high, "maximum", "exclusiveMaximum")]
        {
            if let Some(bound) = bound {
                schema.insert(if bound.open { open } else { closed }.to_owned(), number(bound.value));
            }
        }
        if let Some(step) = self.step {
            schema.insert("multipleOf".to_owned(), step.write(&below(path, "multipleOf"))?);
        }
        Ok(schema.into())
    }
}

impl Bound {
    fn other_side(self) -> Self {
        Self { value: self.value, open: !self.open }
    }

    fn integer(self, rounded: f64, inwards: f64) -> Self {
        let value = if self.open && rounded == self.value { rounded + inwards } else { rounded };
        Self { value, open: false }
    }
}

impl Step {
    const ONE: Self = Self { coefficient: 1, digits: 0 };

    /// Reads the value of `multipleOf`.
    pub(super) fn read(value: &Number, path: &str) -> Result<Self, SchemaError> {
        if value.as_f64().is_none_or(|value| value <= 0.0) {
            return Err(SchemaError::Invalid { path: path.to_owned(), reason: "it must be greater than 0".into() });
        }
        decimal(&value.to_string())
            .and_then(|(coefficient, digits)| Some(Self { coefficient: u64::try_from(coefficient).ok()?, digits }))
            .filter(|step| step.digits > 0 || step.coefficient <= MAX_COEFFICIENT)
            .ok_or_else(|| too_precise(path))
    }

    fn least_common_multiple(self, other: Self, path: &str) -> Result<Self, SchemaError> {
        let digits = self.digits.max(other.digits);
        let scaled = |step: Self| 10u64.checked_pow(digits - step.digits)?.checked_mul(step.coefficient);
        let multiple = |one: u64, two: u64| (one / greatest_common_divisor(one, two)).checked_mul(two);
        let mut coefficient = scaled(self)
            .zip(scaled(other))
            .and_then(|(one, two)| multiple(one, two))
            .ok_or_else(|| too_precise(path))?;
        let mut digits = digits;
        while digits > 0 && coefficient.is_multiple_of(10) {
            coefficient /= 10;
            digits -= 1;
        }
        Ok(Self { coefficient, digits })
    }

    fn divides(self, value: f64) -> bool {
        let Some((coefficient, digits)) = decimal(&value.to_string()) else { return false };
        let all = self.digits.max(digits);
        let scaled = |number: i128, digits: u32| 10i128.checked_pow(all - digits)?.checked_mul(number);
        match (scaled(coefficient, digits), scaled(self.coefficient.into(), self.digits)) {
            (Some(value), Some(step)) => value % step == 0,
            _ => false,
        }
    }

    fn write(self, path: &str) -> Result<Value, SchemaError> {
        if self.digits == 0 && self.coefficient <= MAX_COEFFICIENT {
            return Ok(self.coefficient.into());
        }
        #[expect(clippy::cast_precision_loss, reason = "what was lost shows when the engine's reading is compared")]
        let value = self.coefficient as f64 / 10f64.powi(i32::try_from(self.digits).unwrap_or(i32::MAX));
        if self.coefficient <= MAX_COEFFICIENT && as_engines_read(value) == Some((self.coefficient, self.digits)) {
            return Ok(json!(value));
        }
        Err(too_precise(path))
    }
}

/// A number that schemas compare others with.
pub(super) fn exact(number: &Number, path: &str) -> Result<f64, SchemaError> {
    // An integer may have lost digits on its way to a float.
    let integer = number.as_i64().map(i64::unsigned_abs).or(number.as_u64());
    match number.as_f64() {
        Some(value) if value.abs() <= EXACT && integer.is_none_or(|integer| integer <= EXACT_INTEGER) => Ok(value),
        _ => Err(SchemaError::Unsupported {
            path: path.to_owned(),
            reason: "numbers beyond 9007199254740992 (2^53) are not told apart",
        }),
    }
}

/// llguidance multiplies by ten until no fraction is left, in 64-bit floats, and keeps 32 bits.
fn as_engines_read(mut value: f64) -> Option<(u64, u32)> {
    let mut digits = 0;
    while value.fract() != 0.0 {
        value *= 10.0;
        digits += 1;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an integer within 32 bits")]
    (value <= f64::from(u32::MAX)).then_some((value as u64, digits))
}

/// The digits of a number, without trailing zeros, and how many are behind the point.
fn decimal(text: &str) -> Option<(i128, u32)> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut coefficient: i128 = format!("{whole}{fraction}").parse().ok()?;
    let mut digits = i32::try_from(fraction.len()).ok()? - exponent;
    while digits > 0 && coefficient % 10 == 0 && coefficient != 0 {
        coefficient /= 10;
        digits -= 1;
    }
    while digits < 0 {
        coefficient = coefficient.checked_mul(10)?;
        digits += 1;
    }
    Some((coefficient, u32::try_from(digits).ok()?))
}

fn too_precise(path: &str) -> SchemaError {
    SchemaError::Unsupported { path: path.to_owned(), reason: "this `multipleOf` has too many digits" }
}

fn tighter(one: Option<Bound>, two: Option<Bound>, is_tighter: fn(f64, f64) -> bool) -> Option<Bound> {
    match (one, two) {
        (Some(one), Some(two)) if one.value == two.value => Some(Bound { open: one.open || two.open, ..one }),
        (Some(one), Some(two)) => Some(if is_tighter(one.value, two.value) { one } else { two }),
        (bound, None) | (None, bound) => bound,
    }
}

fn greatest_common_divisor(one: u64, two: u64) -> u64 {
    if two == 0 { one } else { greatest_common_divisor(two, one % two) }
}

/// Integers are written as such.
#[expect(clippy::cast_possible_truncation, reason = "an integer within 2^53")]
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() <= EXACT { (value as i64).into() } else { value.into() }
}
