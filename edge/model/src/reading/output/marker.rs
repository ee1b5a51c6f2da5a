//! Finds the markers of a format in text that comes in pieces.

/// What a piece of text has of some markers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// This marker begins there. Of several at one place it is the longest.
    Marker {
        at: usize,
        which: usize,
    },
    /// What begins there may become a marker, or a longer one.
    Maybe(usize),
    Nothing,
}

/// The first of the markers. `last`: no more text follows, so that nothing can become a marker.
///
/// Each byte costs one comparison for each marker, and where a marker begins its length.
pub(super) fn find(markers: &[&str], text: &str, last: bool) -> Found {
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        let mut found: Option<usize> = None;
        let mut maybe = false;
        for (which, marker) in markers.iter().enumerate() {
            if marker.as_bytes().first() != Some(byte) {
                continue;
            }
            let rest = &bytes[at..];
            if rest.starts_with(marker.as_bytes()) {
                if found.is_none_or(|longest| markers[longest].len() < marker.len()) {
                    found = Some(which);
                }
            } else if marker.as_bytes().starts_with(rest) {
                maybe = true;
            }
        }
        match found {
            _ if maybe && !last => return Found::Maybe(at),
            Some(which) => return Found::Marker { at, which },
            None => {}
        }
    }
    Found::Nothing
}

/// Where the text ends that is certain to be before any of the markers.
pub(super) fn certain(markers: &[&str], text: &str, last: bool) -> usize {
    match find(markers, text, last) {
        Found::Marker { at, .. } | Found::Maybe(at) => at,
        Found::Nothing => text.len(),
    }
}

/// Text that came and could not be understood yet.
#[derive(Debug, Clone, Default)]
pub(super) struct Pending(String);

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Gives what is pending and the text after it to be read; what was read leaves.
    ///
    /// `read` gives back how many bytes it has read. What it leaves is read again with the next piece, so it must not
    /// be long.
    pub(super) fn read(&mut self, text: &str, read: impl FnOnce(&str) -> usize) {
        if self.0.is_empty() {
            let length = read(text);
            self.0.push_str(&text[length..]);
            return;
        }
        let mut joined = std::mem::take(&mut self.0);
        joined.push_str(text);
        let length = read(&joined);
        joined.drain(..length);
        self.0 = joined;
    }
}
