//! Spans on their way to the collector: gathered, sent together, and sent again for a while where it does not take them.

use std::{mem, time::Duration};

use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use tokio::{
    sync::mpsc::Receiver,
    time::{Instant, sleep_until, timeout, timeout_at},
};
use tracing::{info, warn};

use super::{TraceMetrics, metrics::Fate};

/// The waits between two calls for the same spans: the first, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// How spans are sent.
#[derive(Debug)]
pub(super) struct Queue {
    pub batch: usize,
    pub every: Duration,
    pub timeout: Duration,
    pub retry_for: Duration,
    pub metrics: TraceMetrics,
}

impl Queue {
    /// Sends what comes by `spans` until `stopping` is over, and then what is there, within one time-out.
    pub async fn run(
        self,
        mut spans: Receiver<SpanData>,
        exporter: impl SpanExporter,
        stopping: impl Future<Output = ()>,
    ) {
        let mut batch = Vec::new();
        let sending = async {
            let mut away = false;
            while self.gather(&mut spans, &mut batch).await {
                self.send(&exporter, &mut batch, &mut away).await;
            }
        };
        tokio::select! {
            () = sending => return,
            () = stopping => {}
        }
        let until = Instant::now() + self.timeout;
        loop {
            // What was being sent may arrive twice rather than never.
            while batch.len() < self.batch {
                let Ok(span) = spans.try_recv() else { break };
                batch.push(span);
            }
            if batch.is_empty() {
                return;
            }
            let fate = match timeout_at(until, exporter.export(batch.clone())).await {
                Ok(Ok(())) => Fate::Sent,
                Ok(Err(_)) | Err(_) => Fate::GivenUp,
            };
            self.metrics.count(fate, batch.len());
            batch.clear();
        }
    }

    /// Waits for spans, and a little for more of them. False: none will come any more.
    async fn gather(&self, spans: &mut Receiver<SpanData>, batch: &mut Vec<SpanData>) -> bool {
        if spans.recv_many(batch, self.batch).await == 0 {
            return false;
        }
        let until = Instant::now() + self.every;
        while batch.len() < self.batch {
            match timeout_at(until, spans.recv_many(batch, self.batch - batch.len())).await {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
        true
    }

    /// Sends a batch, again and again for a while. `away`: the collector takes nothing, and the log says so.
    async fn send(&self, exporter: &impl SpanExporter, batch: &mut Vec<SpanData>, away: &mut bool) {
        let until = Instant::now() + self.retry_for;
        let mut pause = BACKOFF.0;
        loop {
            let reason = match timeout(self.timeout, exporter.export(batch.clone())).await {
                Ok(Ok(())) => {
                    if mem::take(away) {
                        info!("the collector takes spans again");
                    }
                    self.metrics.count(Fate::Sent, batch.len());
                    break;
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no answer within {:?}", self.timeout),
            };
            if !mem::replace(away, true) {
                warn!(reason, "the collector takes no spans: they wait, and what finds no room is dropped");
            }
            let next = Instant::now() + pause;
            if next >= until {
                self.metrics.count(Fate::GivenUp, batch.len());
                break;
            }
            sleep_until(next).await;
            pause = (pause * 2).min(BACKOFF.1);
        }
        batch.clear();
    }
}
