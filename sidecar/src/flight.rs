//! The requests that are in the engine or on their way into it, counted by guards.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use cloudach_proto::v1::{ErrorCode, Failed, GenerateEvent, generate_event::Event};
use tokio::{sync::watch, time::Instant};

use crate::metrics::{Metrics, Outcome, Tokens};

/// Counts the open requests up to a bound.
#[derive(Debug)]
pub(crate) struct Flights {
    most: usize,
    open: watch::Sender<usize>,
    /// Counts what comes from the engine.
    heard: AtomicU64,
    metrics: Arc<Metrics>,
}

/// One open request: counted until this is dropped. A request that did not end by itself is counted as abandoned.
#[derive(Debug)]
pub(crate) struct Flight {
    flights: Arc<Flights>,
    begun: Instant,
    first_token: Option<Instant>,
    outcome: Outcome,
}

impl Flights {
    pub(crate) fn new(most: usize, metrics: Arc<Metrics>) -> Self {
        Self { most, open: watch::Sender::new(0), heard: AtomicU64::new(0), metrics }
    }

    pub(crate) fn begin(self: &Arc<Self>) -> Result<Flight, Failed> {
        let taken = self.open.send_if_modified(|open| {
            let room = *open < self.most;
            *open += usize::from(room);
            room
        });
        if !taken {
            self.metrics.count(Outcome::Refused);
            return Err(Failed::retryable(ErrorCode::Overloaded, "too many requests are open at this replica"));
        }
        self.metrics.requests_running.inc();
        Ok(Flight { flights: self.clone(), begun: Instant::now(), first_token: None, outcome: Outcome::Abandoned })
    }

    /// Rises with everything that comes from the engine.
    pub(crate) fn heard(&self) -> u64 {
        self.heard.load(Ordering::Relaxed)
    }

    /// How many are open; changes can be waited for.
    pub(crate) fn open(&self) -> watch::Receiver<usize> {
        self.open.subscribe()
    }
}

impl Flight {
    /// Takes note of what the event says about this request.
    pub(crate) fn note(&mut self, event: &GenerateEvent) {
        let metrics = &self.flights.metrics;
        if let Some(Event::Finished(_) | Event::Delta(_)) = &event.event {
            self.flights.heard.fetch_add(1, Ordering::Relaxed);
        }
        match &event.event {
            Some(Event::Finished(finished)) => {
                self.outcome = Outcome::Finished;
                let usage = finished.usage.unwrap_or_default();
                metrics.add_tokens(Tokens::Prompt, usage.prompt_tokens);
                metrics.add_tokens(Tokens::Cached, usage.cached_tokens);
                if let Some(first) = self.first_token {
                    metrics.finished(first.elapsed(), usage.completion_tokens);
                }
            }
            Some(Event::Failed(failed)) => self.outcome = Outcome::of(failed),
            // Counted as they come: what is generated for a caller who leaves is generated all the same.
            Some(Event::Delta(delta)) => {
                metrics.generated(delta.token_ids.len() as u64);
                if self.first_token.is_none() {
                    let now = Instant::now();
                    metrics.first_token.observe(now.duration_since(self.begun).as_secs_f64());
                    self.first_token = Some(now);
                }
            }
            Some(Event::Started(_) | Event::Waiting(_)) | None => {}
        }
    }

    /// The outcome of a request that has no events.
    pub(crate) fn end(mut self, failed: Option<&Failed>) {
        if failed.is_none() {
            self.flights.heard.fetch_add(1, Ordering::Relaxed);
        }
        self.outcome = failed.map_or(Outcome::Finished, Outcome::of);
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.flights.open.send_modify(|open| *open -= 1);
        self.flights.metrics.requests_running.dec();
        self.flights.metrics.count(self.outcome);
        self.flights.metrics.request_seconds.observe(self.begun.elapsed().as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flights_are_bounded_and_given_back() {
        let flights = Arc::new(Flights::new(1, Arc::default()));
        let first = flights.begin().unwrap();
        assert_eq!(flights.begin().unwrap_err().code(), ErrorCode::Overloaded);
        assert_eq!(*flights.open().borrow(), 1);
        drop(first);
        assert_eq!(*flights.open().borrow(), 0);
        flights.begin().unwrap();
    }
}
