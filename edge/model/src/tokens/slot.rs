//! How the table from bytes to token ids is laid out: open addressing, a slot of four bytes for each token, which says most of
//! what it takes to see that other bytes are not meant.

use std::hash::Hasher;

use rustc_hash::FxHasher;

/// A slot that no token has.
pub const EMPTY: u32 = u32::MAX;

/// Bits of a slot that are the token's id; those above are of the hash.
const ID_BITS: u32 = 18;

/// All ids are below. The greatest of all is [`EMPTY`]'s.
pub const IDS: u32 = (1 << ID_BITS) - 1;

/// Where the slot of some bytes is looked for, and what it begins with.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    first: usize,
    slots: usize,
    tag: u32,
}

impl Place {
    /// In a table of so many slots, which are a power of two.
    #[expect(clippy::cast_possible_truncation, reason = "of a hash, any bits will do")]
    pub fn of(bytes: &[u8], slots: usize) -> Self {
        let mut hash = FxHasher::default();
        hash.write(bytes);
        let hash = hash.finish();
        Self { first: hash as usize & (slots - 1), slots, tag: (hash >> (32 + ID_BITS)) as u32 }
    }

    /// The slots in which the token may be, in order. It is in none behind one that is empty.
    pub fn probes(self) -> impl Iterator<Item = usize> {
        (0..self.slots).map(move |step| (self.first + step) & (self.slots - 1))
    }

    /// What is in the slot of the token of this id.
    pub fn slot(self, id: u32) -> u32 {
        self.tag << ID_BITS | id
    }

    /// The id in a slot, where the slot may be that of these bytes.
    pub fn id(self, slot: u32) -> Option<u32> {
        (slot >> ID_BITS == self.tag).then_some(slot & IDS)
    }
}
