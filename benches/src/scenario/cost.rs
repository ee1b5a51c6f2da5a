//! What requests cost each of the gateway's services.

use std::time::Duration;

use anyhow::Result;

use crate::{figure::Note, rig::Rig};

/// Processor time since this was made, by service: that of several processes together.
#[derive(Debug)]
pub struct Meter(Vec<(&'static str, Duration)>);

impl Meter {
    pub fn start(rig: &Rig) -> Result<Self> {
        Ok(Self(by_service(rig)?))
    }

    /// Processor time of each service since.
    pub fn used(&self, rig: &Rig) -> Result<Vec<(&'static str, Duration)>> {
        let since = by_service(rig)?.into_iter().zip(&self.0);
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

fn by_service(rig: &Rig) -> Result<Vec<(&'static str, Duration)>> {
    let mut times: Vec<(&'static str, Duration)> = Vec::new();
    for process in &rig.gateway {
        let cpu = process.cpu()?;
        match times.iter_mut().find(|(name, _)| *name == process.name) {
            Some((_, time)) => *time += cpu,
            None => times.push((process.name, cpu)),
        }
    }
    Ok(times)
}
