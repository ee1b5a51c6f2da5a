//! Where a JSON object ends, without a look at what it says.

/// A place inside of an object: how deep, and whether inside of a string there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Nesting {
    depth: usize,
    string: Option<JsonString>,
}

impl Nesting {
    /// Before the object's first brace.
    pub(super) const OUTSIDE: Self = Self { depth: 0, string: None };

    /// The place after this byte; nowhere if the object ends with it.
    pub(super) fn after(self, byte: u8) -> Option<Self> {
        let Self { depth, string } = self;
        match (string, byte) {
            (Some(string), _) => Some(Self { depth, string: string.after(byte) }),
            (None, b'"') => Some(Self { depth, string: Some(JsonString::OPEN) }),
            (None, b'{' | b'[') => Some(Self { depth: depth + 1, string }),
            (None, b'}' | b']') if depth <= 1 => None,
            (None, b'}' | b']') => Some(Self { depth: depth - 1, string }),
            (None, _) => Some(self),
        }
    }
}

/// A place inside of a JSON string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct JsonString {
    escaped: bool,
}

impl JsonString {
    /// After its first quote.
    pub(super) const OPEN: Self = Self { escaped: false };

    /// The place after this byte; nowhere if the string ends with it.
    pub(super) fn after(self, byte: u8) -> Option<Self> {
        match byte {
            b'"' if !self.escaped => None,
            _ => Some(Self { escaped: !self.escaped && byte == b'\\' }),
        }
    }
}
