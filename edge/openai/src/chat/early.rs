//! What comes of a choice before those before it have begun.
//!
//! SDKs file choices by the order in which they first see them (openai-python raises `IndexError` where choice 1 comes
//! before choice 0), so a choice waits until the ones before it have begun.

use crate::finish::FinishReason;
use crate::logprobs::TokenLogprob;
use crate::piece::{CallPiece, Piece};

/// In the order in which it came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Early(Vec<Item>);

/// One thing that came.
#[derive(Debug, Clone)]
pub(crate) enum Item {
    Text(String, Vec<TokenLogprob>),
    Reasoning(String),
    Begin { id: String, name: String },
    Arguments(String),
    Finish(FinishReason),
}

impl Early {
    pub(crate) fn push(&mut self, piece: &Piece<'_>) {
        if let Some(Item::Text(text, logprobs)) = self.0.last_mut() {
            text.push_str(piece.text);
            logprobs.extend_from_slice(piece.logprobs);
        } else {
            self.0.push(Item::Text(piece.text.to_owned(), piece.logprobs.to_vec()));
        }
    }

    pub(crate) fn reasoning(&mut self, more: &str) {
        if let Some(Item::Reasoning(text)) = self.0.last_mut() {
            text.push_str(more);
        } else {
            self.0.push(Item::Reasoning(more.to_owned()));
        }
    }

    pub(crate) fn call(&mut self, piece: &CallPiece<'_>) {
        match (piece, self.0.last_mut()) {
            (CallPiece::Begin { id, name }, _) => {
                self.0.push(Item::Begin { id: (*id).to_owned(), name: (*name).to_owned() });
            }
            (CallPiece::Arguments(more), Some(Item::Arguments(text))) => text.push_str(more),
            (CallPiece::Arguments(text), _) => self.0.push(Item::Arguments((*text).to_owned())),
        }
    }

    pub(crate) fn finish(&mut self, reason: FinishReason) {
        self.0.push(Item::Finish(reason));
    }

    pub(crate) fn take(&mut self) -> Vec<Item> {
        std::mem::take(&mut self.0)
    }
}
