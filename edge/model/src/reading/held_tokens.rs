//! Tokens that wait together with their text.

use std::collections::VecDeque;

/// What is known of each token (its log-probability) waits until the token's text is shown, and goes
/// with the text if that is never shown.
///
/// It holds as many tokens as the text that waits has, and those without text that stand at its end.
#[derive(Debug, Clone)]
pub struct HeldTokens<T> {
    /// Each with the place of its first byte in the text.
    waiting: VecDeque<(usize, T)>,
    /// Bytes of text that came so far.
    read: usize,
    /// Bytes of text that were shown so far.
    shown: usize,
}

impl<T> HeldTokens<T> {
    pub fn new() -> Self {
        Self { waiting: VecDeque::new(), read: 0, shown: 0 }
    }

    /// Takes the tokens of a piece of `text` bytes, each with its own number of bytes. The numbers need
    /// not add up, as an engine may hold back a part of a character: no token begins outside of its
    /// piece.
    pub fn push(&mut self, text: usize, tokens: impl IntoIterator<Item = (T, usize)>) {
        let mut offset = 0;
        for (token, bytes) in tokens {
            self.waiting.push_back((self.read + offset, token));
            offset = text.min(offset.saturating_add(bytes));
        }
        self.read += text;
    }

    /// So many more bytes of text are shown: gives the tokens that begin before their end.
    pub fn release(&mut self, text: usize) -> impl Iterator<Item = T> {
        self.shown += text;
        let shown = self.shown;
        std::iter::from_fn(move || {
            let (_, token) = self.waiting.pop_front_if(|(begin, _)| *begin < shown)?;
            Some(token)
        })
    }

    /// The engine has ended for a reason of its own: gives all that are left. After a stop string, what
    /// is left begins in the stop string or behind it, and is to be dropped.
    pub fn finish(&mut self) -> impl Iterator<Item = T> {
        self.waiting.drain(..).map(|(_, token)| token)
    }
}

impl<T> Default for HeldTokens<T> {
    fn default() -> Self {
        Self::new()
    }
}
