//! Other processes of this machine, as `/proc` tells of them.

use std::fs;

/// Those that live and run this program with this argument.
pub fn running(program: &str, argument: &str) -> Vec<u32> {
    living(|id| {
        let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        let mut words = line.split(|byte| *byte == 0);
        let is_program = words.next().is_some_and(|word| word.ends_with(program.as_bytes()));
        is_program && words.any(|word| word == argument.as_bytes())
    })
}

/// Those that live and belong to this process group.
pub fn in_group(group: u32) -> Vec<u32> {
    living(|id| group_of(id) == Some(group))
}

/// The process group of a process; `None` when it has ended.
pub fn group_of(id: u32) -> Option<u32> {
    stat(id)?.split(' ').nth(2)?.parse().ok()
}

fn living(wanted: impl Fn(u32) -> bool) -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("Linux has /proc");
    let ids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    ids.filter(|id| wanted(*id) && stat(*id).is_some_and(|stat| !stat.starts_with('Z'))).collect()
}

/// State, parent, group and so on: what stands behind the name, which may hold anything.
fn stat(id: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    Some(stat.rsplit_once(") ")?.1.to_owned())
}
