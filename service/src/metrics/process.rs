//! What every process is, and what it takes of its machine, by the names that Prometheus's own clients use.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge};

use super::{Exposition, Ratio};
use crate::{label_set, named};

/// The commit that this was built from, where the build says (the images' build argument `COMMIT`).
const COMMIT: &str = match option_env!("CLOUDACH_COMMIT") {
    Some(commit) if !commit.is_empty() => commit,
    _ => "unknown",
};

named! {
    struct Component(&'static str) = "`edge`, `router`, `sidecar`";
    struct Version(&'static str) = "of Cloudach";
    struct Commit(&'static str) = "that it was built from, or `unknown`";
}

label_set! {
    struct BuildLabels { component: Component, version: Version, commit: Commit }
}

/// What the kernel says of this process.
#[derive(Debug, Clone, Default)]
pub(super) struct Process {
    cpu: Counter<f64, AtomicU64>,
    resident: Gauge,
    addressed: Gauge,
    open: Gauge,
    most_open: Gauge,
    threads: Gauge,
    start: Ratio,
}

impl Process {
    /// Shows what this process is, and what it takes.
    pub(super) fn register(page: &mut Exposition, component: &'static str) {
        let build = Family::<BuildLabels, Gauge>::default();
        let labels = BuildLabels {
            component: Component(component),
            version: Version(env!("CARGO_PKG_VERSION")),
            commit: Commit(COMMIT),
        };
        build.get_or_create(&labels).set(1);
        page.add_as("cloudach_build_info".to_owned(), "1, with what this process was built from", &build);

        let this = Self::default();
        let mut add = |name: &str, help, gauge: &Gauge| {
            page.add_as(format!("process_{name}"), help, gauge);
        };
        add("resident_memory_bytes", "Memory that it has of the machine", &this.resident);
        add("virtual_memory_bytes", "Addresses that it has of the kernel", &this.addressed);
        add("open_fds", "Files and sockets that are open", &this.open);
        add("max_fds", "Files and sockets that may be open", &this.most_open);
        add("threads", "Its threads", &this.threads);
        page.add_as("process_cpu_seconds".to_owned(), "Time that it was computing, in all threads", &this.cpu);
        page.add_as("process_start_time_seconds".to_owned(), "When it began, since 1970", &this.start);
        this.start.set(begun().unwrap_or_else(now));
        page.look(move || drop(this.look()));
    }

    /// Where the kernel says nothing, what was there last stays.
    fn look(&self) -> procfs::ProcResult<()> {
        let own = procfs::process::Process::myself()?;
        let stat = own.stat()?;
        let ticks = stat.utime + stat.stime;
        #[expect(clippy::cast_precision_loss, reason = "exact for millions of years")]
        let seconds = ticks as f64 / procfs::ticks_per_second() as f64;
        self.cpu.inner().store(seconds.to_bits(), Ordering::Relaxed);
        self.resident.set(signed(stat.rss.saturating_mul(procfs::page_size())));
        self.addressed.set(signed(stat.vsize));
        self.threads.set(stat.num_threads);
        self.open.set(signed(own.fd_count()? as u64));
        if let procfs::process::LimitValue::Value(most) = own.limits()?.max_open_files.soft_limit {
            self.most_open.set(signed(most));
        }
        Ok(())
    }
}

/// In seconds since 1970, as the kernel has it.
fn begun() -> Option<f64> {
    let stat = procfs::process::Process::myself().ok()?.stat().ok()?;
    let booted = procfs::boot_time_secs().ok()?;
    #[expect(clippy::cast_precision_loss, reason = "exact for millions of years")]
    let begun = booted as f64 + stat.starttime as f64 / procfs::ticks_per_second() as f64;
    Some(begun)
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_seen() {
        let this = Process::default();
        this.look().unwrap();
        assert!(this.resident.get() > 100_000 && this.addressed.get() >= this.resident.get());
        assert!((3..=this.most_open.get()).contains(&this.open.get()));
        assert!(this.threads.get() > 0);
        let age = now() - begun().unwrap();
        assert!((-2.0..86_400.0).contains(&age), "{age}");
    }
}
