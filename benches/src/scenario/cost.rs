//! What requests cost each of the gateway's services.

use std::{ops::AddAssign, time::Duration};

use anyhow::Result;

use crate::{figure::Note, process::Process, rig::Rig};

/// Processor time since this was made, by service: that of several processes together.
#[derive(Debug)]
pub struct Meter(Vec<(&'static str, Duration)>);

impl Meter {
    pub fn start(rig: &Rig) -> Result<Self> {
        Ok(Self(by_service(rig, Process::cpu)?))
    }

    /// Processor time of each service since.
    pub fn used(&self, rig: &Rig) -> Result<Vec<(&'static str, Duration)>> {
        let since = by_service(rig, Process::cpu)?.into_iter().zip(&self.0);
        Ok(since.map(|((name, after), (_, before))| (name, after.saturating_sub(*before))).collect())
    }

    /// Notes what each of so many took.
    pub fn note(&self, rig: &Rig, note: &mut Note<'_>, what: &str, count: f64) -> Result<()> {
        let each = |time: Duration| time.as_secs_f64() * 1e6 / count.max(1.0);
        let used = self.used(rig)?;
        note.figure(&format!("processor time of {what}"), "us", each(used.iter().map(|(_, used)| used).sum()));
        for (service, used) in used {
            note.figure(&format!("of it in the {service}"), "us", each(used));
        }
        Ok(())
    }
}

/// A figure of each service: that of several processes together.
pub fn by_service<T: AddAssign>(rig: &Rig, figure: impl Fn(&Process) -> Result<T>) -> Result<Vec<(&'static str, T)>> {
    let mut all: Vec<(&'static str, T)> = Vec::new();
    for process in &rig.gateway {
        let one = figure(process)?;
        match all.iter_mut().find(|(name, _)| *name == process.name) {
            Some((_, sum)) => *sum += one,
            None => all.push((process.name, one)),
        }
    }
    Ok(all)
}
