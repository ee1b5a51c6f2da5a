//! Why a llama.cpp server died, found in its last lines. No I/O.

use super::super::call::brief;

/// What tells a cause, the more telling first.
const CAUSES: [&str; 6] = [
    "out of memory",
    "failed to allocate",
    "couldn't bind HTTP server socket",
    "failed to open GGUF file",
    "error loading model",
    "error: ",
];

/// Looks for the cause of death, oldest line first.
pub(in crate::engine) fn cause<'a>(lines: impl DoubleEndedIterator<Item = &'a str> + Clone) -> Option<String> {
    let telling = CAUSES.iter().find_map(|cause| lines.clone().find(|line| line.contains(cause)));
    telling.or_else(|| lines.clone().rfind(|line| !line.trim().is_empty())).map(brief)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_found() {
        let bind = "couldn't bind HTTP server socket, hostname: 127.0.0.1, port: 8081";
        assert_eq!(cause(["loading", bind, "exiting"].into_iter()).as_deref(), Some(bind));
        assert_eq!(
            cause(["a", "exiting due to model loading error", ""].into_iter()).as_deref(),
            Some("exiting due to model loading error")
        );
        assert_eq!(cause([].into_iter()), None);
    }
}
