//! One process: started, and asked what it has used.

use std::{
    fs::{self, File},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result};
use rustix::{
    param::{clock_ticks_per_second, page_size},
    process::{Pid, Signal, kill_process},
};

/// A child. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    pub name: &'static str,
    child: Child,
}

impl Process {
    /// Starts a program with what it logs going to a file of `folder`.
    pub fn start(name: &'static str, number: usize, command: &mut Command, folder: &Path) -> Result<Self> {
        let log = File::create(folder.join(format!("{name}-{number}.log")))?;
        let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn();
        Ok(Self { name, child: child.with_context(|| format!("{name} cannot be started: {command:?}"))? })
    }

    /// Processor time since its start, by all its threads, of the system's included. To 10 ms.
    pub fn cpu(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name, in brackets, may hold anything.
        let fields = stat.rsplit_once(") ").context("the system tells nothing of a process")?.1;
        let ticks: u64 = fields.split(' ').skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
        Ok(Duration::from_millis(ticks * 1000 / clock_ticks_per_second()))
    }

    /// Memory that is really there, in KiB.
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    pub fn resident(&self) -> Result<f64> {
        let pages = fs::read_to_string(format!("/proc/{}/statm", self.child.id()))?;
        let resident: u64 = pages.split(' ').nth(1).context("no resident size")?.parse()?;
        Ok((resident * page_size() as u64) as f64 / 1024.0)
    }

    /// How many sockets it has open. Files come and go as it writes records down.
    pub fn sockets(&self) -> Result<usize> {
        let open = fs::read_dir(format!("/proc/{}/fd", self.child.id()))?.flatten();
        let leads = open.filter_map(|one| fs::read_link(one.path()).ok());
        Ok(leads.filter(|to| to.as_os_str().as_encoded_bytes().starts_with(b"socket:")).count())
    }

    /// Asks it to stop, and waits for it.
    pub fn stop(mut self) -> Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let status = self.child.wait()?;
        anyhow::ensure!(status.success(), "{} ended with {status}", self.name);
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
