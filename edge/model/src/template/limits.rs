//! How much a template may do. A model's template is somebody else's program.

use minijinja::{Error, ErrorKind};

/// The longest template text: the largest in use have some 30 KB. It also bounds what a template can
/// build step by step without a loop.
pub(super) const TEMPLATE_BYTES: usize = 128 * 1024;

/// The longest single tag or expression, in words and signs: the engine walks what is read from it
/// recursively. The longest in use has about a hundred.
pub(super) const TAG_TOKENS: usize = 1200;

/// The most `{% elif %}` branches in one template: each is one more level to the engine.
pub(super) const BRANCHES: usize = 250;

/// The longest prompt, and the longest text on the way to one: four million tokens of English.
pub(super) const OUTPUT_BYTES: usize = 16 * 1024 * 1024;

/// What one rendering may spend: one for each instruction and for each 64 bytes it makes. A
/// conversation of 100,000 tokens needs some ten thousand; the bound is reached in well under a second
/// and at a few hundred MB.
pub(super) const FUEL: u64 = 5_000_000;

/// How deep macros and recursive loops may nest, in the engine's own measure.
pub(super) const RECURSION: usize = 250;

/// The marker, in an engine's error, of a text beyond [`OUTPUT_BYTES`].
#[derive(Debug, thiserror::Error)]
#[error("text too long")]
pub(super) struct TooLong;

pub(super) fn too_long() -> Error {
    Error::new(ErrorKind::InvalidOperation, "text too long").with_source(TooLong)
}
