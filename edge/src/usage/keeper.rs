//! Keeps usage records: a bounded queue to one task that logs them and writes them to the spool, and one that gives them to the
//! store from there, again and again until it has them. No request waits for either.

use std::{
    fmt::Debug,
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use cloudach_service::stop::Running;
use tokio::{
    sync::{Notify, mpsc},
    time::{sleep, timeout},
};
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};
use tracing::{error, info, warn};

use super::{
    batch::Batch,
    config::UsageConfig,
    spool::{Lost, Spool, SpoolError},
};
use crate::{
    access::keys::hex,
    http::arrival::random,
    metrics::UsageMetrics,
    store::{Away, Store, config::StoreConfig},
};

/// Records that may wait to be written down: some seconds of a busy edge. Who comes when it is full writes himself.
const MOST_WAITING: usize = 32_768;

/// Records that are written at once.
const MOST_AT_ONCE: usize = 512;

/// Between two writes: who comes when none was for so long is written at once, and a busy edge does not change threads for
/// every record. What came within it is lost with an edge that is killed.
const PACE: Duration = Duration::from_millis(2);

/// Records that come within this time are given to the store together.
const GATHER: Duration = Duration::from_millis(200);

/// Between two tries while the store is away.
const PAUSE: Duration = Duration::from_millis(250);

/// How long the last records may take when the process ends.
const LAST: Duration = Duration::from_secs(2);

/// Bytes of a line, about.
const LINE: usize = 512;

/// What is kept of a request.
pub trait Keep: Debug + Send + 'static {
    /// Logs it, and appends its line, with its end. Called once, and off the network threads where these are not far ahead.
    fn tell(&self, lines: &mut Vec<u8>);
}

/// Takes records. Clones share it.
#[derive(Debug)]
pub struct Keeper<R>(Arc<Parts<R>>);

#[derive(Debug)]
struct Parts<R> {
    queue: mpsc::Sender<R>,
    spool: Arc<Spool>,
    written: Notify,
    /// Requests whose records are still to come.
    open: TaskTracker,
    /// The last record was lost.
    losing: AtomicBool,
    metrics: UsageMetrics,
}

/// The one record of a request that is still to come.
#[derive(Debug)]
pub struct Expected<R> {
    keeper: Keeper<R>,
    _open: TaskTrackerToken,
}

impl<R: Keep> Expected<R> {
    /// Here it is.
    pub fn keep(self, record: R) {
        let parts = &self.keeper.0;
        let (Err(mpsc::error::TrySendError::Full(record)) | Err(mpsc::error::TrySendError::Closed(record))) =
            parts.queue.try_send(record)
        else {
            return;
        };
        parts.keep_all(&[record], &mut Vec::new());
    }
}

impl<R> Clone for Keeper<R> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<R: Keep> Keeper<R> {
    /// Keeps records in `store`.
    ///
    /// # Errors
    /// The folder cannot be used.
    pub fn start(
        config: &UsageConfig,
        store_config: &StoreConfig,
        store: Store,
        metrics: UsageMetrics,
        running: &Running,
    ) -> Result<Self, SpoolError> {
        let beside = store_config.path.as_ref().map(|folder| folder.join("usage"));
        let folder = config.spool.clone().or(beside);
        let spool = Arc::new(Spool::open(folder.as_deref(), config.spool_bytes, segment_name)?);
        metrics.waiting.set(i64::try_from(spool.waiting()).unwrap_or(i64::MAX));
        metrics.room.set(i64::try_from(config.spool_bytes).unwrap_or(i64::MAX));
        let (queue, waiting) = mpsc::channel(MOST_WAITING);
        let keeper = Self(Arc::new(Parts {
            queue,
            spool,
            written: Notify::new(),
            open: TaskTracker::new(),
            losing: AtomicBool::new(false),
            metrics,
        }));
        let all_written = CancellationToken::new();
        let (writing, delivering) = (keeper.0.clone(), keeper.0.clone());
        running.background.spawn(write_all(writing, waiting, running.kill.clone(), all_written.clone()));
        running.background.spawn(deliver_all(delivering, store, config.clone(), all_written));
        Ok(keeper)
    }

    /// A request begins: its record will come.
    pub fn expect(&self) -> Expected<R> {
        Expected { keeper: self.clone(), _open: self.0.open.token() }
    }
}

impl<R: Keep> Parts<R> {
    /// Uses the room that there is in `lines`.
    fn keep_all(&self, records: &[R], lines: &mut Vec<u8>) {
        lines.clear();
        lines.reserve(records.len() * LINE);
        for record in records {
            record.tell(lines);
        }
        match self.spool.append(lines) {
            Ok(()) => self.written.notify_one(),
            Err(lost) => self.lose(&lost, records.len() as u64),
        }
        self.metrics.waiting.set(i64::try_from(self.spool.waiting()).unwrap_or(i64::MAX));
    }

    fn lose(&self, why: &Lost, count: u64) {
        // One line for an outage, not one for each request.
        if !self.losing.swap(true, Ordering::Relaxed) {
            error!(%why, "usage records are lost");
        }
        self.metrics.lost.inc_by(count);
    }
}

/// Writes down what comes until the process ends and the last request has told what it used.
async fn write_all<R: Keep>(
    parts: Arc<Parts<R>>,
    mut queue: mpsc::Receiver<R>,
    kill: CancellationToken,
    all_written: CancellationToken,
) {
    let last_came = async {
        kill.cancelled().await;
        parts.open.close();
        // Who is later than that writes himself.
        let _ = timeout(LAST, parts.open.wait()).await;
    };
    tokio::pin!(last_came);
    let (mut records, mut lines) = (Vec::new(), Vec::new());
    let mut is_closed = false;
    loop {
        tokio::select! {
            count = queue.recv_many(&mut records, MOST_AT_ONCE) => {
                if count == 0 {
                    break;
                }
                let (writing, coming) = (parts.clone(), mem::take(&mut records));
                let mut room = mem::take(&mut lines);
                // The disk may be slow.
                let write = move || {
                    writing.keep_all(&coming, &mut room);
                    (coming, room)
                };
                let Ok(written) = tokio::task::spawn_blocking(write).await else { break };
                (records, lines) = written;
                records.clear();
                if !is_closed {
                    sleep(PACE).await;
                }
            }
            () = &mut last_came, if !is_closed => {
                is_closed = true;
                queue.close();
            }
        }
    }
    all_written.cancel();
}

/// Gives the store what is in the spool, until it has everything that was written, or does not take it in time.
async fn deliver_all<R: Keep>(parts: Arc<Parts<R>>, store: Store, config: UsageConfig, all_written: CancellationToken) {
    let end = async {
        all_written.cancelled().await;
        sleep(LAST).await;
    };
    tokio::select! {
        () = deliver(&parts, &store, &config, &all_written) => {}
        () = end => {}
    }
    let waiting = parts.spool.waiting();
    if waiting > 0 {
        warn!(bytes = waiting, "usage waits in the spool for the next start");
        if let Err(error) = sync(&parts).await {
            error!(%error, "the spool of usage cannot be made durable");
        }
    }
}

async fn deliver<R: Keep>(parts: &Arc<Parts<R>>, store: &Store, config: &UsageConfig, all_written: &CancellationToken) {
    let mut is_away = false;
    loop {
        let reading = parts.clone();
        let read = move || {
            let next = reading.spool.next()?;
            Ok(next.map(|lines| Batch::of(lines.segment, lines.from, &lines.bytes)))
        };
        let read: std::io::Result<Option<Batch>> =
            tokio::task::spawn_blocking(read).await.unwrap_or_else(|gone| Err(gone.into()));
        match read {
            Ok(Some(batch)) => match store.append_usage(&Arc::new(batch), config).await {
                Ok(given) => took(parts, &given, &mut is_away),
                Err(away) => {
                    refused(parts, &away, &mut is_away);
                    if let Err(error) = sync(parts).await {
                        error!(%error, "the spool of usage cannot be made durable");
                    }
                    sleep(PAUSE).await;
                }
            },
            Ok(None) if all_written.is_cancelled() => return,
            Ok(None) => {
                tokio::select! {
                    () = async { parts.written.notified().await; sleep(GATHER).await } => {}
                    () = all_written.cancelled() => {}
                }
            }
            Err(error) => {
                error!(%error, "the spool of usage cannot be read");
                sleep(PAUSE).await;
            }
        }
    }
}

/// What the store says of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    pub segment: String,
    /// Up to where it has the segment.
    pub to: u64,
    /// Records that it has from this batch.
    pub records: u64,
    pub unreadable: u64,
}

fn took<R: Keep>(parts: &Parts<R>, given: &Given, is_away: &mut bool) {
    parts.spool.delivered(&given.segment, given.to);
    parts.metrics.waiting.set(i64::try_from(parts.spool.waiting()).unwrap_or(i64::MAX));
    parts.metrics.kept.inc_by(given.records);
    parts.metrics.lost.inc_by(given.unreadable);
    parts.losing.store(false, Ordering::Relaxed);
    parts.metrics.away.set(0);
    if std::mem::take(is_away) {
        info!("usage is given to the store again");
    }
}

fn refused<R: Keep>(parts: &Parts<R>, away: &Away, is_away: &mut bool) {
    parts.metrics.away.set(1);
    if !std::mem::replace(is_away, true) {
        warn!(%away, "usage waits in the spool");
    }
}

async fn sync<R: Keep>(parts: &Arc<Parts<R>>) -> std::io::Result<()> {
    let parts = parts.clone();
    tokio::task::spawn_blocking(move || parts.spool.sync()).await.unwrap_or_else(|gone| Err(gone.into()))
}

/// Sorts by age, and is never given twice.
fn segment_name() -> String {
    let ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    format!("{ms:014}-{}", hex(&random::<8>()))
}
