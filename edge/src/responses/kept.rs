//! A response as the store has it.

/// What is kept of it.
#[derive(Debug, Clone, Copy)]
pub struct Kept<'a> {
    /// What is known of it from the start.
    pub record: &'a [u8],
    /// What has happened since, as lines.
    pub log: &'a [u8],
    pub stage: Stage,
    /// Those that it goes on from: they are kept as long.
    pub ancestors: &'a [String],
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It begins: there is none of its name.
    Begun,
    /// It is over, and was kept since it began, unless somebody has removed it.
    Ended,
    /// It is over, and was not kept before.
    Whole,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub record: Vec<u8>,
    /// From where it was asked for.
    pub log: Vec<u8>,
    /// It is not over, and an edge is at it.
    pub is_running: bool,
}

/// What became of one that is in progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extended {
    Kept,
    /// Somebody wants it ended.
    Cancelled,
    /// Somebody has removed it.
    Gone,
}
