//! Whether the kernel ends processes for want of memory: it counts them, and tells nobody else.

use std::fs;

/// How many processes it has ended so far, where this process can see that: in its own control group, else on the whole
/// machine.
pub(super) fn killed_so_far() -> u64 {
    let of_group = group().and_then(|group| {
        let files = [
            format!("/sys/fs/cgroup{group}/memory.events"),
            format!("/sys/fs/cgroup/memory{group}/memory.oom_control"),
        ];
        files.iter().find_map(|file| count(&fs::read_to_string(file).ok()?))
    });
    of_group.or_else(|| count(&fs::read_to_string("/proc/vmstat").ok()?)).unwrap_or(0)
}

/// Of the lines `name number` the one of this number.
fn count(page: &str) -> Option<u64> {
    page.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

/// Where this process's control group lies, as its memory is counted.
fn group() -> Option<String> {
    group_in(&fs::read_to_string("/proc/self/cgroup").ok()?)
}

fn group_in(page: &str) -> Option<String> {
    let fields = |line: &str| {
        let mut fields = line.splitn(3, ':').skip(1);
        Some((fields.next()?.to_owned(), fields.next()?.trim_end_matches('/').to_owned()))
    };
    let mut groups = page.lines().filter_map(fields);
    let is_memory = |(controllers, _): &(String, String)| {
        controllers.is_empty() || controllers.split(',').any(|controller| controller == "memory")
    };
    groups.find(is_memory).map(|(_, group)| group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_pages_are_read() {
        assert_eq!(count("low 0\nhigh 3\noom 2\noom_kill 7\noom_group_kill 1\n"), Some(7));
        assert_eq!(count("oom_kill_disable 0\nunder_oom 0\noom_kill 4"), Some(4));
        assert_eq!(count("oom_kill x"), None);
        assert_eq!(group_in("0::/\n").as_deref(), Some(""));
        assert_eq!(group_in("12:cpu,cpuacct:/a\n4:memory:/docker/b\n").as_deref(), Some("/docker/b"));
        assert_eq!(group_in("junk\n"), None);
    }
}
