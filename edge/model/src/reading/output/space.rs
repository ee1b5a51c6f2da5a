//! White space that waits for what follows. What is too much of it says nothing, and is left out.

/// How many bytes of it may wait, but for the last sign.
const MOST: usize = 16 * 1024;

/// Keeps white space.
pub(super) fn hold(held: &mut String, space: &str) {
    let room = MOST.saturating_sub(held.len());
    // The last sign may go over: one that did not would leave room for a shorter one in the next piece.
    held.push_str(&space[..space.ceil_char_boundary(room)]);
}

/// The text in parts, so that white space at the begin, and any that may be too much, is a part of its own.
pub(super) fn runs(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let space = rest.len() - rest.trim_start().len();
        let end = match space {
            0 if rest.len() > MOST => rest.find(char::is_whitespace).unwrap_or(rest.len()),
            0 => rest.len(),
            space => space,
        };
        let run;
        (run, rest) = rest.split_at(end);
        (!run.is_empty()).then_some(run)
    })
}
