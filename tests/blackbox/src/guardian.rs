//! Ends what a fleet has started, however the test ends: also when the test process is killed, or when a fleet lives
//! in a static, which Rust never drops.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

/// Reads lines until the test process is gone, each holding all process groups that run then, ends those of the last
/// line, and removes the fleet's folder.
const SCRIPT: &str = r#"
while read -r line; do groups=$line; done
for group in $groups; do kill -KILL "-$group" 2>/dev/null; done
rm -rf -- "$1"
"#;

/// A process that outlives this one by the time it takes to clean up.
#[derive(Debug)]
pub struct Guardian {
    process: Child,
    lines: Option<ChildStdin>,
}

impl Guardian {
    /// Begins to watch over the processes whose files are in `folder`.
    pub fn over(folder: &Path) -> Self {
        let mut process = Command::new("sh")
            .args(["-c", SCRIPT, "guardian"])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            // A Ctrl-C in the terminal is for the tests only.
            .process_group(0)
            .spawn()
            .expect("every Unix has a shell");
        let lines = process.stdin.take();
        Self { process, lines }
    }

    /// Says which process groups there are now.
    pub fn groups(&mut self, groups: impl Iterator<Item = u32>) {
        let line = groups.map(|group| group.to_string()).collect::<Vec<_>>().join(" ");
        if let Some(lines) = &mut self.lines {
            writeln!(lines, "{line}").expect("the guardian reads");
        }
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        drop(self.lines.take());
        // It ends as soon as it has cleaned up, and how it ends changes nothing.
        let _ = self.process.wait();
    }
}
