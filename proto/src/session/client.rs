//! The asking half: keeps a few sessions to one peer open and gives out event streams that cancel when dropped.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use cloudach_service::backoff::Backoff;
use futures_util::Stream;
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, mpsc, watch},
    time::{Instant, sleep},
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::transport::Channel;
use tracing::{debug, info};

use super::{Backlog, Caller, Refused, caller::Delivery};
use crate::v1::{ErrorCode, Failed, GenerateEvent, GenerateRequest, inference_client::InferenceClient};

/// Sessions per pair of processes: enough that one core's worth of frames is not the limit, few enough that an
/// engine step's tokens still share messages.
const SESSIONS: usize = 2;

/// Requests share a session in groups of so many, because what leaves together costs less: the second one is used when the first
/// has so many, and from there on both fill.
const COMPANY: usize = 256;

/// Messages handed to tonic ahead of the network. What waits behind them still merges and can still be cancelled.
const MESSAGES_AHEAD: usize = 2;

/// Between attempts to reach a peer. A session that held for five seconds was well.
const PAUSES: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2), Duration::from_secs(5));

/// A process that serves Inference, and the sessions to it. They are opened at once and again whenever they break,
/// until this is dropped or everything ends.
#[derive(Debug)]
pub struct Peer {
    sessions: Vec<Arc<Session>>,
    channel: Channel,
    /// Rises whenever a session connects or breaks.
    changes: watch::Receiver<u64>,
    stop: CancellationToken,
}

impl Peer {
    /// Connects by channels that `dial` gives until `kill`, with the tasks owned by `tasks`.
    pub fn connect(dial: impl Fn() -> Channel, tasks: &TaskTracker, kill: &CancellationToken) -> Self {
        let stop = kill.child_token();
        let (changed, changes) = watch::channel(0);
        let sessions = (0..SESSIONS).map(|_| {
            let session = Arc::new(Session::default());
            let channel = dial();
            let (stop, kept, changed) = (stop.clone(), session.clone(), changed.clone());
            tasks.spawn(async move {
                stop.run_until_cancelled(keep_open(channel, &kept, &changed)).await;
                kept.break_off("the way to the replica was closed");
            });
            session
        });
        Self { sessions: sessions.collect(), channel: dial(), changes, stop }
    }

    /// Starts a generation on the session with the fewest open requests, in steps of [`COMPANY`].
    ///
    /// # Errors
    /// Why none of the sessions takes a request now.
    pub fn generate(&self, request: impl Into<Box<GenerateRequest>>) -> Result<Events, Refused> {
        let takes = |session: &&Arc<Session>| session.caller.lock().takes_requests();
        let session = self
            .sessions
            .iter()
            .filter(|session| takes(session).is_ok())
            .min_by_key(|session| session.caller.lock().open_requests() / COMPANY)
            .or(self.sessions.first())
            .ok_or(Refused::Broken)?;
        let inbox = Arc::new(Mutex::new(Inbox::default()));
        let id = session.caller.lock().open(request, inbox.clone())?;
        session.outgoing.notify_one();
        Ok(Events { id, inbox, session: session.clone(), ended: false })
    }

    /// Whether a request could be started now; why not otherwise.
    ///
    /// # Errors
    /// The first session's reason, when no session takes a request.
    pub fn takes_requests(&self) -> Result<(), Refused> {
        let mut reason = Ok(());
        for session in &self.sessions {
            let takes = session.caller.lock().takes_requests();
            if takes.is_ok() {
                return Ok(());
            }
            reason = reason.and(takes);
        }
        reason
    }

    /// Whether a session to it is open.
    pub fn is_connected(&self) -> bool {
        self.takes_requests() != Err(Refused::Broken)
    }

    /// How many requests are open towards this peer.
    pub fn open_requests(&self) -> usize {
        self.sessions.iter().map(|session| session.caller.lock().open_requests()).sum()
    }

    /// A watch that changes whenever a session connects or breaks.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }

    /// A client for unary calls to the same peer.
    pub fn unary(&self) -> InferenceClient<Channel> {
        InferenceClient::new(self.channel.clone())
            .max_decoding_message_size(crate::MAX_MESSAGE_BYTES)
            .max_encoding_message_size(crate::MAX_MESSAGE_BYTES)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The events of one generation. Dropping it cancels the generation.
#[derive(Debug)]
pub struct Events {
    id: u64,
    inbox: Arc<Mutex<Inbox>>,
    session: Arc<Session>,
    ended: bool,
}

impl Stream for Events {
    type Item = GenerateEvent;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<GenerateEvent>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let mut inbox = self.inbox.lock();
        let Some(event) = inbox.backlog.pop() else {
            match &mut inbox.reader {
                Some(reader) => reader.clone_from(context.waker()),
                none => *none = Some(context.waker().clone()),
            }
            return Poll::Pending;
        };
        drop(inbox);
        self.ended = event.is_last();
        Poll::Ready(Some(event))
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        if !self.ended {
            self.session.caller.lock().cancel(self.id);
            self.session.outgoing.notify_one();
        }
    }
}

#[derive(Debug, Default)]
struct Inbox {
    backlog: Backlog,
    reader: Option<Waker>,
}

impl Inbox {
    fn deliver(&mut self, event: GenerateEvent) -> Delivery {
        let taken = self.backlog.push(event);
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        if taken { Delivery::Taken } else { Delivery::GiveUp }
    }
}

#[derive(Debug)]
struct Session {
    caller: Mutex<Caller<Arc<Mutex<Inbox>>>>,
    outgoing: Notify,
}

impl Default for Session {
    /// Broken until it is connected, so that nothing queues for a peer that is not there.
    fn default() -> Self {
        let mut caller = Caller::default();
        caller.break_off().for_each(drop);
        Self { caller: Mutex::new(caller), outgoing: Notify::new() }
    }
}

impl Session {
    /// Whether it was open until now.
    fn break_off(&self, why: &str) -> bool {
        let mut caller = self.caller.lock();
        let was_open = caller.takes_requests() != Err(Refused::Broken);
        let owners: Vec<_> = caller.break_off().collect();
        drop(caller);
        for inbox in owners {
            let failed = Failed::retryable(ErrorCode::ReplicaLost, why);
            inbox.lock().deliver(failed.into());
        }
        was_open
    }
}

async fn keep_open(channel: Channel, session: &Session, changed: &watch::Sender<u64>) {
    let mut backoff = PAUSES;
    loop {
        let begun = Instant::now();
        match run(channel.clone(), session, changed).await {
            Ok(()) => debug!("session ended by the peer"),
            Err(error) => debug!(%error, "session broke"),
        }
        if session.break_off("the connection to the replica broke") {
            changed.send_modify(|revision| *revision += 1);
        }
        sleep(backoff.next_drawn(begun.elapsed(), random())).await;
    }
}

/// A draw from 0 to 1, so that all who have lost a peer do not come back to it in step.
fn random() -> f64 {
    // Without randomness they do: a pity, not a failure.
    f64::from(getrandom::u32().unwrap_or(u32::MAX)) / f64::from(u32::MAX)
}

/// Carries one session from its opening to its end.
async fn run(channel: Channel, session: &Session, changed: &watch::Sender<u64>) -> Result<(), tonic::Status> {
    let (up, messages) = mpsc::channel(MESSAGES_AHEAD);
    let mut client = InferenceClient::new(channel)
        .max_decoding_message_size(crate::MAX_MESSAGE_BYTES)
        .max_encoding_message_size(crate::MAX_MESSAGE_BYTES);
    let mut down = client.session(ReceiverStream::new(messages)).await?.into_inner();

    session.caller.lock().reconnect();
    changed.send_modify(|revision| *revision += 1);
    info!("session open");

    let mut waiting = false;
    loop {
        tokio::select! {
            message = down.message() => match message? {
                Some(message) => session.caller.lock().receive(message, |inbox, event| inbox.lock().deliver(event)),
                None => return Ok(()),
            },
            permit = up.reserve(), if waiting => {
                let Ok(permit) = permit else { return Ok(()) };
                let mut caller = session.caller.lock();
                if let Some(message) = caller.transmit() {
                    permit.send(message);
                }
                waiting = caller.has_outgoing();
            }
            () = session.outgoing.notified(), if !waiting => waiting = true,
        }
        let caller = session.caller.lock();
        if caller.is_drained() {
            return Ok(());
        }
        // Giving up on a slow reader while receiving makes a cancel to send.
        waiting = waiting || caller.has_outgoing();
    }
}
