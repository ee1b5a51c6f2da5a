//! Embedding vectors that are a pure function of the input: unit length, and the same on every engine.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::answer::mix;

/// A vector of length one.
pub(crate) fn vector(input: &[u32], dimensions: u32) -> Vec<f32> {
    let key = input.iter().fold(0, |key, &id| mix(key ^ u64::from(id)));
    let raw: Vec<f32> = (0..dimensions)
        .map(|dimension| {
            let draw = u16::try_from(mix(key ^ (u64::from(dimension) << 40)) >> 48).expect("16 bits are left");
            f32::from(draw) / 32_767.5 - 1.0
        })
        .collect();
    let length = raw.iter().map(|x| x * x).sum::<f32>().sqrt();
    raw.into_iter().map(|x| x / length).collect()
}

/// The vector's little-endian bytes in base64, as OpenAI's clients ask for it.
pub(crate) fn base64(vector: &[f32]) -> String {
    let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
    STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_unit_length_and_differ() {
        let one = vector(&[1, 2], 384);
        assert!((one.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-4);
        assert_eq!(one, vector(&[1, 2], 384));
        assert_ne!(one, vector(&[2, 1], 384));
        assert_eq!(base64(&[1.0, -2.0]), "AACAPwAAAMA=");
    }
}
