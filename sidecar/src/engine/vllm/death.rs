//! Why a vLLM process died, found in its last lines. No I/O.
//!
//! The last lines of vLLM only say that "Engine core initialization failed. See root cause above": the cause stands
//! further up, under a prefix with the process's name.

use super::super::call::brief;

/// What tells a cause, the more telling first.
const CAUSES: [&str; 11] = [
    "CUDA out of memory",
    "OutOfMemoryError",
    "Free memory on device",
    "No available memory for the cache blocks",
    "KV cache is needed, which is larger than the available",
    "Address already in use",
    "No common block size",
    "CUDA error",
    "PackageNotFoundError",
    "unrecognized arguments",
    "does not appear to have a file named",
];

/// Looks for the cause of death, oldest line first.
pub(in crate::engine) fn cause<'a>(lines: impl DoubleEndedIterator<Item = &'a str> + Clone) -> Option<String> {
    let telling = CAUSES.iter().find_map(|cause| lines.clone().find(|line| line.contains(cause)));
    // Otherwise what the first exception says, which stands at the beginning of the last line of its trace.
    let exception = || lines.clone().find(|line| is_exception(line));
    telling.or_else(exception).or_else(|| lines.clone().rfind(|line| !line.trim().is_empty())).map(message)
}

/// `ValueError: ..`, after whatever prefixes.
fn is_exception(line: &str) -> bool {
    let Some((head, _)) = message_of(line).split_once(": ") else { return false };
    let name = head.rsplit('.').next().unwrap_or(head);
    (name.ends_with("Error") || name.ends_with("Exception"))
        && name.chars().all(char::is_alphanumeric)
        && !line.contains("See root cause above")
}

fn message(line: &str) -> String {
    brief(message_of(line))
}

/// The line without `(EngineCore pid=12) ERROR 01-02 03:04:05 [core.py:123] `.
fn message_of(line: &str) -> &str {
    let line = match line.strip_prefix('(').and_then(|line| line.split_once(") ")) {
        Some((process, rest)) if process.contains("pid=") => rest,
        _ => line,
    };
    match line.split_once("] ") {
        Some((head, rest))
            if head.starts_with("ERROR ") || head.starts_with("WARNING ") || head.starts_with("INFO ") =>
        {
            rest
        }
        _ => line,
    }
    .trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_found() {
        let cases: [(&[&str], &str); 5] = [
            (
                &[
                    "INFO 01-02 03:04:05 [api_server.py:1] starting",
                    "(EngineCore pid=12) ERROR 01-02 03:04:05 [core.py:9] Traceback (most recent call last):",
                    "(EngineCore pid=12) ERROR 01-02 03:04:05 [core.py:9] ValueError: Free memory on device cuda:0 (1/80 GiB) on startup is less",
                    "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {'EngineCore': 1}",
                ],
                "ValueError: Free memory on device cuda:0 (1/80 GiB) on startup is less",
            ),
            (
                &[
                    "Traceback",
                    "(EngineCore pid=9) ValueError: No common block size for 16 (CPU_ATTN: [MultipleOf(32)])",
                    "x",
                ],
                "ValueError: No common block size for 16 (CPU_ATTN: [MultipleOf(32)])",
            ),
            (&["a", "OSError: [Errno 98] Address already in use"], "OSError: [Errno 98] Address already in use"),
            (
                &[
                    "huggingface_hub.errors.RepositoryNotFoundError: 404",
                    "RuntimeError: Engine core initialization failed. See root cause above.",
                ],
                "huggingface_hub.errors.RepositoryNotFoundError: 404",
            ),
            (&["exec failed", "  "], "exec failed"),
        ];
        for (lines, expected) in cases {
            assert_eq!(cause(lines.iter().copied()).as_deref(), Some(expected));
        }
        assert_eq!(cause([].into_iter()), None);
    }
}
