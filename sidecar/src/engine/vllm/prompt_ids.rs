//! The ids of a prompt, which the first chunk repeats where those of the answer are asked for. No I/O.

use memchr::{memchr, memchr_iter, memmem};

/// A chunk without the ids of a long prompt, and how many there were. They come to hundreds of kilobytes, of which nothing but their
/// number is of use, and commas are counted faster than numbers are read. None: it has none, few, or what is none.
pub(super) fn cut(chunk: &[u8]) -> Option<(Vec<u8>, usize)> {
    const LONG: usize = 8 * 1024;
    const KEY: &[u8] = b"\"prompt_token_ids\":[";
    if chunk.len() < LONG {
        return None;
    }
    let begins = memmem::find(chunk, KEY)? + KEY.len();
    let ends = begins + memchr(b']', &chunk[begins..])?;
    let ids = &chunk[begins..ends];
    // A group at a time and each to its end, so that the compiler looks at many bytes at once.
    let is_of_list = |byte: &u8| byte.is_ascii_digit() | (*byte == b',');
    let are_numbers = ids.chunks(64).all(|group| group.iter().fold(true, |all, byte| all & is_of_list(byte)))
        && ids.first() != Some(&b',')
        && ids.last().is_some_and(u8::is_ascii_digit)
        && memmem::find(ids, b",,").is_none();
    are_numbers.then(|| ([&chunk[..begins], &chunk[ends..]].concat(), memchr_iter(b',', ids).count() + 1))
}
