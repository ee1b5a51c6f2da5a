//! Random padding that hides how long the text of a chunk is from someone who
//! sees the sizes of encrypted records only.

use crate::ids::ALPHANUMERIC;

/// Text and padding together are a multiple of this, in bytes.
const BLOCK: usize = 16;

/// Draws the padding of one stream.
#[derive(Debug)]
pub(crate) struct Obfuscation {
    state: u64,
}

impl Obfuscation {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Appends the field, its comma included, for a chunk that carries so many bytes of text.
    pub(crate) fn write(&mut self, text: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(b",\"obfuscation\":\"");
        let padding = (BLOCK - text % BLOCK) % BLOCK;
        let mut random = self.draw();
        for _ in 0..padding {
            // Fifteen draws of one in 62 fit into 128 bits, and nearly without bias.
            out.push(ALPHANUMERIC[usize::try_from(random % 62).unwrap_or(0)]);
            random /= 62;
        }
        out.push(b'"');
    }

    /// Two steps of SplitMix64: padding must look random, and guards no secret.
    fn draw(&mut self) -> u128 {
        let mut step = || {
            self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = self.state;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        };
        u128::from(step()) << 64 | u128::from(step())
    }
}
