//! A response that is made in this edge: its log as it grows, and who follows it.

use std::{sync::Arc, time::Duration};

use cloudach_openai::responses::Record;
use parking_lot::Mutex;
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

/// See above.
#[derive(Debug)]
pub struct Live {
    record: Record,
    log: Mutex<Vec<u8>>,
    progress: watch::Sender<Progress>,
    followers: watch::Sender<usize>,
    cancel: CancellationToken,
}

/// How far it has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the log.
    pub bytes: usize,
    /// Nothing follows.
    pub is_over: bool,
}

/// Somebody who follows it, for as long as this is not dropped.
#[derive(Debug)]
pub struct Follower(pub Arc<Live>);

impl Live {
    pub fn new(record: Record) -> Self {
        Self {
            record,
            log: Mutex::default(),
            progress: watch::Sender::new(Progress::default()),
            followers: watch::Sender::new(0),
            cancel: CancellationToken::new(),
        }
    }

    /// What is known of it from the start.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// All that has happened.
    pub fn log(&self) -> Vec<u8> {
        self.log.lock().clone()
    }

    /// What has happened behind so many bytes.
    pub fn log_behind(&self, bytes: usize) -> Vec<u8> {
        self.log.lock().get(bytes..).unwrap_or_default().to_vec()
    }

    /// More has happened.
    pub fn extend(&self, more: &[u8], is_over: bool) {
        let bytes = {
            let mut log = self.log.lock();
            log.extend_from_slice(more);
            log.len()
        };
        self.progress.send_replace(Progress { bytes, is_over });
    }

    /// How far it has come, from now on.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Somebody follows it.
    pub fn follow(self: &Arc<Self>) -> Follower {
        self.followers.send_modify(|followers| *followers += 1);
        Follower(self.clone())
    }

    /// Waits until nobody has followed it for so long.
    pub async fn deserted(&self, linger: Duration) {
        let mut followers = self.followers.subscribe();
        loop {
            // The sender is in this response.
            let _ = followers.wait_for(|followers| *followers == 0).await;
            tokio::select! {
                () = sleep(linger) => return,
                _ = followers.wait_for(|followers| *followers > 0) => {}
            }
        }
    }

    /// Ends it.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    /// Waits until somebody wants it ended.
    pub async fn cancelled(&self) {
        self.cancel.cancelled().await;
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.followers.send_modify(|followers| *followers -= 1);
    }
}
