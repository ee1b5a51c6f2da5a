//! What a reader of calls tells.

/// A part of the text that is no reasoning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// Text outside of calls.
    Text(&'a str),
    /// Text that began like a call and is none.
    Malformed(&'a str),
    /// A place for calls without any.
    NoCalls,
    Begin(&'a str),
    Arguments(&'a str),
    End,
}

/// Where pieces go.
pub(super) type Emit<'e> = &'e mut dyn FnMut(Piece<'_>);
