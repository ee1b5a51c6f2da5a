//! How an answer is headed: ids and times come in from outside.

/// What is the same in every chunk of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// See [`crate::ids`].
    pub id: String,
    /// Seconds since 1970.
    pub created: u64,
    /// The name the client used.
    pub model: String,
    /// Random; what the padding of obfuscated streams is drawn from.
    pub seed: u64,
}
