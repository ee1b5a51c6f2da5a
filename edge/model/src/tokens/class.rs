//! What encodings' patterns tell characters apart by.

/// Characters in a block of the table that the build writes.
pub const BLOCK: usize = 128;

/// A class of characters, or several: each bit is one, and each character is in one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Class(u8);

impl Class {
    /// Letters that begin a name (`Lu`, `Lt`).
    pub const UPPER: Self = Self(1);
    pub const LOWER: Self = Self(1 << 1);
    /// Letters of scripts that have no cases, and modifiers (`Lo`, `Lm`).
    pub const OTHER_LETTER: Self = Self(1 << 2);
    pub const MARK: Self = Self(1 << 3);
    pub const NUMBER: Self = Self(1 << 4);
    /// White space, without [`Class::NEWLINE`].
    pub const SPACE: Self = Self(1 << 5);
    /// `\r` and `\n`.
    pub const NEWLINE: Self = Self(1 << 6);
    /// Punctuation, symbols, controls and what has no meaning.
    pub const REST: Self = Self(1 << 7);

    /// These, and those of `other`.
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether it is one of `others`.
    pub const fn is(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }

    pub const fn bits(self) -> u8 {
        self.0
    }

    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }
}
