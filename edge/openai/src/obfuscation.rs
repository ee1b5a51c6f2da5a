//! Random padding that hides how long the text of a chunk is from someone who
//! sees the sizes of encrypted records only.

use crate::ids::ALPHANUMERIC;

/// All chunks have one length modulo this, in bytes.
const BLOCK: usize = 16;
/// What is left over in each of OpenAI's chunks, from `data:` to the last brace, as recorded.
const REMAINDER: usize = 7;
/// The field without its padding, and the brace that closes the chunk.
const FRAME: usize = r#","obfuscation":""}"#.len();

/// Draws the padding of one stream.
#[derive(Debug)]
pub(crate) struct Obfuscation {
    state: u64,
}

impl Obfuscation {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Appends the field, its comma included, as the last one of a chunk that began at `start`.
    pub(crate) fn write(&mut self, start: usize, out: &mut Vec<u8>) {
        let padding = (REMAINDER + BLOCK - (out.len() - start + FRAME) % BLOCK) % BLOCK;
        out.extend_from_slice(b",\"obfuscation\":\"");
        let mut random = self.draw();
        for _ in 0..padding {
            // Six bits are one in 64; what is beyond the 62 begins anew, which is bias enough for nobody to use.
            out.push(ALPHANUMERIC[usize::from(random.to_le_bytes()[0] & 63) % ALPHANUMERIC.len()]);
            random >>= 6;
        }
        out.push(b'"');
    }

    /// Passes over the padding of a chunk that is not written.
    pub(crate) fn skip(&mut self) {
        self.draw();
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
