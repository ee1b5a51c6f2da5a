//! Requests that wait until a replica has room: bounded, for a bounded time, and in a fair order. Who would wait too long
//! is told so at once, and when to come back.

mod drain;
mod fair;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use cloudach_proto::v1::{ErrorCode, Failed};
use parking_lot::Mutex;
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

pub use self::fair::Class;
use self::{
    drain::Drain,
    fair::{Fair, Ticket},
};
use crate::{
    config,
    picker::{Picker, Placed, Wanted},
};

/// The least that a client is told to wait.
const LEAST_WAIT: Duration = Duration::from_secs(1);

/// Who was let in by what the queue does on the average is not sent away for its being a little slower now, after having
/// waited in vain: the longest wait is so many times the one that is promised.
const PATIENCE: u32 = 2;

/// A queue for each model of the catalogue.
#[derive(Debug)]
pub struct Queues {
    by_model: ArcSwap<HashMap<String, Arc<Queue>>>,
    /// Those that somebody waits in: room is made with every request that ends, and there may be thousands of models.
    waited_in: Mutex<Vec<Arc<Queue>>>,
    picker: Arc<Picker>,
    config: config::Queue,
}

#[derive(Debug)]
struct Queue {
    waiting: Mutex<Waiting>,
    /// Its model is no longer in the catalogue.
    is_past: AtomicBool,
}

#[derive(Debug)]
struct Waiting {
    fair: Fair<Wish>,
    drain: Drain,
    /// The queue is among those that somebody waits in.
    is_listed: bool,
}

/// A request that waits, and where its place is told.
#[derive(Debug)]
struct Wish {
    wanted: Arc<Wanted>,
    grant: oneshot::Sender<Placed>,
}

impl Queues {
    /// Empty ones for these models.
    pub fn new<'a>(models: impl Iterator<Item = &'a str>, picker: Arc<Picker>, config: config::Queue) -> Self {
        let queues = Self { by_model: ArcSwap::default(), waited_in: Mutex::default(), picker, config };
        queues.follow(models);
        queues
    }

    /// The models are these now. Who waits goes on waiting.
    pub fn follow<'a>(&self, models: impl Iterator<Item = &'a str>) {
        let before = self.by_model.load_full();
        let now = Instant::now();
        let new = || Queue {
            waiting: Mutex::new(Waiting {
                fair: Fair::new(self.config.most),
                drain: Drain::new(now),
                is_listed: false,
            }),
            is_past: AtomicBool::new(false),
        };
        let queue = |model: &str| (model.to_owned(), before.get(model).cloned().unwrap_or_else(|| Arc::new(new())));
        let mut by_model: HashMap<_, _> = models.map(queue).collect();
        by_model.values().for_each(|queue| queue.is_past.store(false, Ordering::Relaxed));
        // That of a model which is no more is kept until it is empty, and once more: someone may be about to come.
        for (model, queue) in before.iter().filter(|(model, _)| !by_model.contains_key(*model)).collect::<Vec<_>>() {
            let was_past = queue.is_past.swap(true, Ordering::Relaxed);
            if !was_past || queue.waiting.lock().fair.len() > 0 {
                by_model.insert(model.clone(), queue.clone());
            }
        }
        self.by_model.store(Arc::new(by_model));
    }

    /// Finds a place for a request, now or when there is room.
    ///
    /// # Errors
    /// The queue is full, the wait would be too long, or it was.
    pub async fn place(&self, wanted: &Arc<Wanted>, deadline: Instant) -> Result<Placed, Failed> {
        let Some(queue) = self.by_model.load().get(&*wanted.model).cloned() else {
            return self.picker.with_room(wanted).ok_or_else(|| overloaded(LEAST_WAIT));
        };
        let (_leaving, granted) = match self.come(&queue, wanted)? {
            Coming::Placed(placed) => return Ok(placed),
            Coming::Waits(leaving, granted) => (leaving, granted),
        };
        let until = deadline.min(Instant::now() + self.config.wait * PATIENCE);
        match timeout_at(until, granted).await {
            Ok(Ok(placed)) => Ok(placed),
            Ok(Err(_)) | Err(_) => Err(overloaded(queue.expected_wait().unwrap_or(self.config.wait))),
        }
    }

    fn come<'a>(&self, queue: &'a Arc<Queue>, wanted: &Arc<Wanted>) -> Result<Coming<'a>, Failed> {
        let now = Instant::now();
        let mut waiting = queue.waiting.lock();
        if waiting.fair.is_empty_before(wanted.class)
            && let Some(placed) = self.picker.with_room(wanted)
        {
            waiting.drain.serve(now);
            return Ok(Coming::Placed(placed));
        }
        let ahead = waiting.fair.ahead_of(wanted.class, &wanted.tenant) + 1;
        if let Some(wait) = waiting.drain.wait(ahead, now).filter(|wait| *wait > self.config.wait) {
            return Err(overloaded(wait));
        }
        let (grant, granted) = oneshot::channel();
        let wish = Wish { wanted: wanted.clone(), grant };
        match waiting.fair.push(wanted.class, &wanted.tenant, wanted.cost(), wish) {
            // Whoever made room for it hears so by losing the grant.
            Ok((ticket, _pushed_out)) => {
                if !std::mem::replace(&mut waiting.is_listed, true) {
                    self.waited_in.lock().push(queue.clone());
                    // Room that was made since it was looked for was not offered to this queue.
                    self.picker.look_again();
                }
                Ok(Coming::Waits(Leaving { queue, ticket }, granted))
            }
            Err(fair::Full) => Err(overloaded(waiting.drain.wait(ahead, now).unwrap_or(self.config.wait))),
        }
    }

    /// Gives places to those who wait, for as long as this runs.
    pub async fn serve(&self) {
        loop {
            self.picker.room_made().await;
            let queues = self.waited_in.lock().clone();
            queues.iter().for_each(|queue| self.serve_one(queue));
        }
    }

    fn serve_one(&self, queue: &Arc<Queue>) {
        let mut waiting = queue.waiting.lock();
        while let Some((wish, placed)) = waiting.fair.next(|wish| self.picker.with_room(&wish.wanted)) {
            waiting.drain.serve(Instant::now());
            // Who has left in this moment gives its place back, which makes room again.
            drop(wish.grant.send(placed));
        }
        if waiting.fair.len() == 0 {
            waiting.is_listed = false;
            self.waited_in.lock().retain(|listed| !Arc::ptr_eq(listed, queue));
        }
    }

    /// The longest that a request waits for a model that is brought about.
    pub fn longest_wake(&self) -> Duration {
        self.config.wake
    }

    /// How many wait for this model.
    pub fn waiting_for(&self, model: &str) -> usize {
        self.by_model.load().get(model).map_or(0, |queue| queue.waiting.lock().fair.len())
    }

    /// How many wait, over all models.
    pub fn waiting(&self) -> usize {
        self.by_model.load().values().map(|queue| queue.waiting.lock().fair.len()).sum()
    }
}

impl Queue {
    fn expected_wait(&self) -> Option<Duration> {
        let mut waiting = self.waiting.lock();
        let ahead = waiting.fair.len() + 1;
        waiting.drain.wait(ahead, Instant::now())
    }
}

enum Coming<'a> {
    Placed(Placed),
    Waits(Leaving<'a>, oneshot::Receiver<Placed>),
}

/// Takes a request out of its queue when it waits no more.
struct Leaving<'a> {
    queue: &'a Queue,
    ticket: Ticket,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.queue.waiting.lock().fair.leave(&self.ticket);
    }
}

fn overloaded(wait: Duration) -> Failed {
    let wait = wait.max(LEAST_WAIT);
    Failed {
        retry_after_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
        ..Failed::retryable(ErrorCode::Overloaded, "every replica of the model is busy, and its queue is too long")
    }
}
