//! The tokens of an encoding, as the build wrote them (`build.rs`). They are read where they are in the program's file: nothing is
//! loaded, and memory is taken for the pages that were looked at, which the system can take back.

use super::slot::{EMPTY, Place};

/// All tokens of an encoding.
#[derive(Debug)]
pub(super) struct Vocabulary {
    /// Of one token after the other, by id.
    bytes: &'static [u8],
    /// Where those of each end: little-endian, 4 bytes each.
    ends: &'static [u8],
    /// From bytes to ids (see [`Place`]): little-endian, 4 bytes each.
    slots: &'static [u8],
    /// Bytes of the longest token.
    longest: usize,
}

macro_rules! vocabulary {
    ($name:literal) => {
        Vocabulary {
            bytes: include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".bytes")),
            ends: include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".ends")),
            slots: include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".slots")),
            longest: include!(concat!(env!("OUT_DIR"), "/", $name, ".longest")),
        }
    };
}

pub(super) static O200K_BASE: Vocabulary = vocabulary!("o200k_base");
pub(super) static CL100K_BASE: Vocabulary = vocabulary!("cl100k_base");

impl Vocabulary {
    /// The token of exactly these bytes. Special tokens are none.
    pub(super) fn id(&self, bytes: &[u8]) -> Option<u32> {
        if bytes.len() > self.longest {
            return None;
        }
        let place = Place::of(bytes, self.slots.len() / 4);
        for at in place.probes() {
            let slot = number(self.slots, at)?;
            if slot == EMPTY {
                return None;
            }
            if let Some(id) = place.id(slot)
                && self.bytes(id) == Some(bytes)
            {
                return Some(id);
            }
        }
        None
    }

    /// The bytes of a token, which may be a special one. None: no token has this id.
    pub(super) fn bytes(&self, id: u32) -> Option<&'static [u8]> {
        let id = id as usize;
        let begin = match id.checked_sub(1) {
            Some(before) => number(self.ends, before)?,
            None => 0,
        };
        let bytes = self.bytes.get(begin as usize..number(self.ends, id)? as usize)?;
        (!bytes.is_empty()).then_some(bytes)
    }
}

fn number(numbers: &[u8], at: usize) -> Option<u32> {
    let (numbers, []) = numbers.as_chunks() else { return None };
    numbers.get(at).map(|bytes| u32::from_le_bytes(*bytes))
}
