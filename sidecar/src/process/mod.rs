//! The engine's process, where the sidecar owns it: started, watched, started again after it died, and ended.

mod host_memory;
mod last_lines;

use std::{collections::BTreeMap, fs, os::unix::fs::FileTypeExt, process::ExitStatus, time::Duration};

use cloudach_proto::v1::DeathCause;
use cloudach_service::{address::Address, backoff::Backoff};
use parking_lot::Mutex;
use tokio::{
    io::AsyncWriteExt,
    process::ChildStdin,
    sync::{Notify, watch},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use self::last_lines::LastLines;
use crate::{
    config::EngineConfig,
    death::{Death, Exit},
    sidecar::Sidecar,
    supervise::{self, Watchdog},
};

/// Before an engine that died is started again. One that ran for five minutes was well.
const PAUSES: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60), Duration::from_secs(5 * 60));

/// What is waited for beyond the engine's grace: the watchdog collects what the engine left.
const WATCHDOG_GRACE: Duration = Duration::from_secs(5);

/// How long the last lines of a dead engine are waited for.
const LAST_LINES_WITHIN: Duration = Duration::from_millis(500);

/// The process, for those who want it started, ended or watched.
#[derive(Debug)]
pub(crate) struct EngineProcess {
    command: Mutex<Vec<String>>,
    /// Routers decide whether it is started again after it died.
    managed: bool,
    env: BTreeMap<String, String>,
    grace: Duration,
    /// A file that the engine of before may have left, on which a new one would fail.
    socket: Option<std::path::PathBuf>,
    /// Even while the process is wanted. It counts, so that an end and a start in quick succession are not overlooked.
    wanted: watch::Sender<u64>,
    status: watch::Sender<Status>,
    /// Why the process that runs is to be replaced, when it is.
    given_up: Mutex<Option<Death>>,
    given_up_now: Notify,
}

/// What the process is up to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Status {
    /// It is about to run.
    Starting,
    /// It is not wanted.
    Stopped,
    Running,
    /// It ended by itself, and why; it is started again after a while, or when a router says so.
    Died(Death),
}

/// How a process came to its end.
enum Outcome {
    Wished,
    Ended(Exit),
    GivenUp(Death),
}

/// How a run of the process ended.
enum Ending {
    Wished,
    Died(Death),
}

impl EngineProcess {
    /// The process that the configuration describes, if it does.
    pub(crate) fn new(config: &EngineConfig, managed: bool) -> Option<Self> {
        let socket = match &config.url.0 {
            Address::Unix(path) => Some(path.clone()),
            Address::Tcp(_) => None,
        };
        Some(Self {
            command: Mutex::new(config.command.clone()?),
            managed,
            env: config.env.clone(),
            grace: config.stop_grace,
            socket,
            wanted: watch::Sender::new(u64::from(managed)),
            status: watch::Sender::new(if managed { Status::Stopped } else { Status::Starting }),
            given_up: Mutex::default(),
            given_up_now: Notify::new(),
        })
    }

    /// What is started the next time.
    pub(crate) fn set_command(&self, command: Vec<String>) {
        *self.command.lock() = command;
    }

    pub(crate) fn set_wanted(&self, wanted: bool) {
        self.wanted.send_if_modified(|count| {
            let changed = is_wanted(*count) != wanted;
            *count += u64::from(changed);
            changed
        });
    }

    pub(crate) fn is_wanted(&self) -> bool {
        is_wanted(*self.wanted.borrow())
    }

    /// It is neither there nor about to be.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(*self.status.borrow(), Status::Stopped | Status::Died(_)) && (self.managed || !self.is_wanted())
    }

    pub(crate) fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// The process runs and is of no use: it is ended and started again.
    pub(crate) fn give_up(&self, reason: Death) {
        *self.given_up.lock() = Some(reason);
        self.given_up_now.notify_one();
    }

    /// Keeps the process running while it is wanted. Ends it and returns when `end` is cancelled.
    pub(crate) async fn run(&self, sidecar: &Sidecar, end: &CancellationToken) {
        let mut wanted = self.wanted.subscribe();
        let mut backoff = PAUSES;
        while !end.is_cancelled() {
            let count = *wanted.borrow_and_update();
            if !is_wanted(count) {
                self.status.send_replace(Status::Stopped);
                tokio::select! {
                    _ = wanted.changed() => {}
                    () = end.cancelled() => {}
                }
                continue;
            }
            let begun = Instant::now();
            let stop = async {
                tokio::select! {
                    _ = wanted.wait_for(|now| *now != count) => {}
                    () = end.cancelled() => {}
                }
            };
            let Ending::Died(death) = self.run_once(sidecar, stop).await else { continue };
            sidecar.metrics.count_death(death.cause);
            sidecar.states.died(death.cause);
            let (cause, reason) = (crate::death::name(death.cause), &death.detail);
            if self.managed {
                error!(replica = sidecar.replica, cause, reason, "the engine died");
                // Nobody wants it, until a router does again.
                self.set_wanted(false);
                self.status.send_replace(Status::Died(death));
                tokio::select! {
                    _ = wanted.wait_for(|count| is_wanted(*count)) => continue,
                    () = end.cancelled() => return,
                }
            }
            let pause = backoff.next(begun.elapsed());
            error!(replica = sidecar.replica, cause, reason, ?pause, "the engine died");
            let detail = format!("{reason}; started again in {pause:?}");
            self.status.send_replace(Status::Died(Death::new(death.cause, detail)));
            tokio::select! {
                () = sleep(pause) => {}
                _ = wanted.changed() => {}
                () = end.cancelled() => return,
            }
            sidecar.metrics.engine_restarts.inc();
        }
    }

    async fn run_once(&self, sidecar: &Sidecar, stop: impl Future<Output = ()>) -> Ending {
        self.status.send_replace(Status::Starting);
        self.remove_stale_socket();
        let killed_before = host_memory::killed_so_far();
        let mut watchdog = match self.start() {
            Ok(watchdog) => watchdog,
            Err(death) => return Ending::Died(death),
        };
        info!(replica = sidecar.replica, command = ?self.command.lock(), "engine started");
        self.given_up.lock().take();
        self.status.send_replace(Status::Running);

        let lines = LastLines::default();
        let (stdin, stdout, stderr) = watchdog.pipes();
        let mut reading = std::pin::pin!(async {
            tokio::join!(lines.read(stdout, &sidecar.replica), lines.read(stderr, &sidecar.replica));
        });
        let mut read = false;
        let ending = {
            let mut ending = std::pin::pin!(self.ending(&mut watchdog, stdin, stop));
            loop {
                tokio::select! {
                    ending = &mut ending => break ending,
                    () = &mut reading, if !read => read = true,
                }
            }
        };
        // What the engine left holds its memory, and its outputs open.
        watchdog.sweep(&sidecar.replica).await;
        if !read {
            let _ = timeout(LAST_LINES_WITHIN, reading).await;
        }
        let fault = || sidecar.gpus.fault();
        let words = || sidecar.engine.cause_of_death(lines.kept().iter().map(String::as_str));
        match ending {
            Outcome::Wished => Ending::Wished,
            Outcome::Ended(exit) => {
                let memory_ran_out = host_memory::killed_so_far() > killed_before;
                Ending::Died(Death::of(exit, words(), memory_ran_out).on(fault()))
            }
            Outcome::GivenUp(death) if death.cause == DeathCause::NotReady => {
                Ending::Died(Death::new(death.cause, last_said(death.detail, words())))
            }
            Outcome::GivenUp(death) => Ending::Died(death.on(fault())),
        }
    }

    fn start(&self) -> Result<Watchdog, Death> {
        let started = supervise::start(&self.command.lock(), &self.env, self.grace);
        started.map_err(|error| {
            Death::new(DeathCause::Watchdog, format!("the engine's watchdog cannot be started: {error}"))
        })
    }

    /// Waits for the end, or brings it about.
    async fn ending(
        &self,
        watchdog: &mut Watchdog,
        stdin: Option<ChildStdin>,
        stop: impl Future<Output = ()>,
    ) -> Outcome {
        tokio::select! {
            ended = watchdog.wait() => how(ended),
            () = stop => {
                self.end(watchdog, stdin).await;
                Outcome::Wished
            }
            death = self.given_up() => {
                if death.cause == DeathCause::Hung {
                    Self::kill(watchdog, stdin).await;
                } else {
                    self.end(watchdog, stdin).await;
                }
                Outcome::GivenUp(death)
            }
        }
    }

    /// Waits until the process is given up. What was said about the one before is forgotten by now.
    async fn given_up(&self) -> Death {
        loop {
            self.given_up_now.notified().await;
            if let Some(reason) = self.given_up.lock().take() {
                return reason;
            }
        }
    }

    /// Lets the watchdog end the engine, and waits until it has.
    async fn end(&self, watchdog: &mut Watchdog, stdin: Option<ChildStdin>) {
        if let Some(mut stdin) = stdin {
            let _ = stdin.write_all(supervise::END).await;
            match timeout(self.grace + WATCHDOG_GRACE, watchdog.wait()).await {
                Ok(_) => return,
                Err(_) => warn!("the engine does not end; it is killed"),
            }
        }
        watchdog.kill().await;
    }

    /// Has the engine killed: what hangs does nothing with the time that it is given.
    async fn kill(watchdog: &mut Watchdog, stdin: Option<ChildStdin>) {
        drop(stdin);
        if timeout(WATCHDOG_GRACE, watchdog.wait()).await.is_err() {
            watchdog.kill().await;
        }
    }

    /// vLLM leaves its socket's file behind, and fails when it finds it.
    fn remove_stale_socket(&self) {
        let Some(path) = &self.socket else { return };
        if fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket())
            && let Err(error) = fs::remove_file(path)
        {
            warn!(path = %path.display(), %error, "the old socket cannot be removed");
        }
    }
}

fn is_wanted(count: u64) -> bool {
    count.is_multiple_of(2)
}

/// How the watchdog says that the engine ended: its exit code, or 128 and the signal.
fn how(ended: std::io::Result<ExitStatus>) -> Outcome {
    match ended {
        Ok(status) => match status.code() {
            Some(code) if code > 128 => Outcome::Ended(Exit::Signal(code - 128)),
            Some(code) => Outcome::Ended(Exit::Code(code)),
            None => {
                let detail = format!("the engine's watchdog ended with {status}");
                Outcome::GivenUp(Death::new(DeathCause::Watchdog, detail))
            }
        },
        Err(error) => {
            let detail = format!("the engine cannot be waited for: {error}");
            Outcome::GivenUp(Death::new(DeathCause::Watchdog, detail))
        }
    }
}

fn last_said(how: String, words: Option<Death>) -> String {
    match words {
        Some(words) => format!("{how}: {}", words.detail),
        None => how,
    }
}
