//! The processes whose parent this one is, also those that it did not start.

use std::{fs, process::id};

use rustix::process::Pid;

/// A child, and when it began: in the kernel's clock ticks since the machine started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Child {
    pub(super) pid: Pid,
    pub(super) began: u64,
}

/// What the processes below this one leave behind becomes this one's, so that it can be found.
#[cfg(target_os = "linux")]
pub(super) fn adopt_descendants() {
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
}

#[cfg(not(target_os = "linux"))]
pub(super) fn adopt_descendants() {}

/// All of them now; dead ones that nobody has waited for as well.
pub(super) fn children() -> Vec<Child> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let mine = id();
    processes
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok()?.parse().ok())
        .filter_map(|pid| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let (parent, began) = parent_and_beginning(&stat)?;
            (parent == mine).then_some(Child { pid: Pid::from_raw(pid)?, began })
        })
        .collect()
}

/// `pid (name) state parent ..`, and a name can hold anything.
fn parent_and_beginning(stat: &str) -> Option<(u32, u64)> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(1);
    let parent = fields.next()?.parse().ok()?;
    // The 22nd of all, and the 4th was the last one read.
    Some((parent, fields.nth(17)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_whatever_the_name() {
        let tail = "S 12 7 7 0 -1 4194560 100 0 0 0 1 2 3 4 20 0 1 0 98765 1000 200";
        for name in ["cat", "a) b", ") S 1 (", "VLLM::Engine Core"] {
            assert_eq!(parent_and_beginning(&format!("34 ({name}) {tail}")), Some((12, 98765)), "{name}");
        }
        for broken in ["", "34 (x)", "34 (x) S", "34 (x) S 12 7 7"] {
            assert_eq!(parent_and_beginning(broken), None, "{broken}");
        }
    }
}
