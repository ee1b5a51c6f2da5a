//! The serving half: runs the requests of one session and sends their events, batched.

use std::{mem, sync::Arc, time::Duration};

use foldhash::HashMap;
use futures_util::{FutureExt, stream::BoxStream};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until},
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Status, Streaming};
use tracing::warn;

use super::{Action, Callee, ProtocolError};
use crate::{
    together::{Key, Together},
    v1::{ErrorCode, Failed, GenerateEvent, GenerateRequest, SessionDown, SessionUp},
};

/// Messages handed to tonic ahead of the network. What waits behind them still merges.
const MESSAGES_AHEAD: usize = 2;

/// How long a peer that was told to leave may take to do so: what it has sent before is still on its way.
const LEAVE_WITHIN: Duration = Duration::from_secs(1);

/// How many events are gathered before a message is sent: keeps one turn of the loop short.
const EVENTS_A_TURN: usize = 4096;

/// Text of answers that have begun waits for so long after the last message, for that of others to leave with it: the engine's
/// step gives all of them their tokens within about this time. Timers have steps of a millisecond, so it is up to two.
const GATHER: Duration = Duration::from_millis(1);

/// Text of answers that nobody looks at before they are complete waits for so long: fifty tokens a second make two or three messages
/// of each twenty, and those of all such answers leave in the same ones. As much has to be generated anew when a replica is lost.
const HOLD: Duration = Duration::from_millis(50);

/// The events of one generation, as whoever runs it makes them. Dropping it ends the work.
pub type EventStream = BoxStream<'static, GenerateEvent>;

/// Runs generations: the router's relay, the sidecar's engine.
pub trait Generate: Send + Sync + 'static {
    /// Starts `request`. The stream ends after its `Finished` or `Failed`.
    fn generate(self: Arc<Self>, request: Box<GenerateRequest>) -> EventStream;
}

/// How a server half stops.
#[derive(Debug, Clone, Default)]
pub struct Stopping {
    /// Tell the peers to send nothing new, let what runs finish.
    pub drain: CancellationToken,
    /// Give back what still runs, so that the peers let others go on with it.
    pub hand_over: CancellationToken,
    /// End now.
    pub kill: CancellationToken,
}

/// The answer to `Inference.Session`.
pub type Down = ReceiverStream<Result<SessionDown, Status>>;

/// Serves one session on a task of its own, owned by `tasks`.
pub fn serve(up: Streaming<SessionUp>, runs: Arc<impl Generate>, tasks: &TaskTracker, stopping: Stopping) -> Down {
    let (down, messages) = mpsc::channel(MESSAGES_AHEAD);
    tasks.spawn(async move {
        let kill = stopping.kill.clone();
        let serving = run(up, runs, down.clone(), stopping.drain, stopping.hand_over);
        tokio::select! {
            // The peer has gone: everything it asked for is dropped here.
            () = down.closed() => {}
            () = kill.cancelled() => {}
            ended = serving => if let Err(error) = ended {
                warn!(%error, "session broken off");
                let _ = down.try_send(Err(Status::aborted(error.to_string())));
            }
        }
    });
    ReceiverStream::new(messages)
}

async fn run(
    mut up: Streaming<SessionUp>,
    runs: Arc<impl Generate>,
    down: mpsc::Sender<Result<SessionDown, Status>>,
    drain: CancellationToken,
    hand_over: CancellationToken,
) -> Result<(), ProtocolError> {
    let mut callee = Callee::default();
    let mut running = Running::default();
    let (mut draining, mut handed_over) = (false, false);
    // Until when what is not urgent is gathered. Its timer is set only while something waits for it: one that is set for every
    // message wakes the thread once more for each.
    let mut until = Instant::now();
    let gathered = sleep_until(until);
    tokio::pin!(gathered);
    // The same for what is held, which is let go of together.
    let mut holds = false;
    let held = sleep(HOLD);
    tokio::pin!(held);
    loop {
        if callee.holds() && !mem::replace(&mut holds, true) {
            held.as_mut().reset(Instant::now() + HOLD);
        }
        let leaves = callee.has_pending() && (callee.is_urgent() || until <= Instant::now());
        let waits = callee.has_pending() && !leaves;
        if waits && gathered.deadline() != until {
            gathered.as_mut().reset(until);
        }
        tokio::select! {
            message = up.message() => {
                // A peer that has closed or broken its side asks for nothing any more.
                let Ok(Some(message)) = message else { return Ok(()) };
                for action in callee.receive(message)? {
                    match action {
                        Action::Start(id, request) => running.start(id, runs.clone().generate(request)),
                        Action::Stop(id) => running.stop(id),
                    }
                }
            }
            Some(event) = running.next(), if !running.is_empty() => {
                running.take(event, &mut callee)?;
                // What else is ready belongs to the same engine step and leaves in the same message.
                for _ in 0..EVENTS_A_TURN {
                    let Some(Some(event)) = running.next().now_or_never() else { break };
                    running.take(event, &mut callee)?;
                }
            }
            permit = down.reserve(), if leaves => {
                let Ok(permit) = permit else { return Ok(()) };
                if let Some(message) = callee.transmit() {
                    permit.send(Ok(message));
                    until = Instant::now() + GATHER;
                }
            }
            () = &mut gathered, if waits => {}
            () = &mut held, if holds => {
                holds = false;
                callee.release()?;
            }
            () = drain.cancelled(), if !draining => {
                draining = true;
                callee.drain();
            }
            () = hand_over.cancelled(), if !handed_over => {
                handed_over = true;
                running.hand_over(&mut callee)?;
            }
            () = sleep(LEAVE_WITHIN), if callee.is_drained() => return Ok(()),
        }
    }
}

/// An event, or the end, of one of the streams.
type Happened = (Key, Option<GenerateEvent>);

/// The generations of one session, read together: dropping one ends its work.
#[derive(Default)]
struct Running {
    streams: Together<EventStream>,
    keys: HashMap<u64, Key>,
    /// The requests, by key.
    ids: Vec<u64>,
}

impl Running {
    fn start(&mut self, id: u64, events: EventStream) {
        let key = self.streams.push(events);
        self.keys.insert(id, key);
        match self.ids.get_mut(key as usize) {
            Some(before) => *before = id,
            None => self.ids.push(id),
        }
    }

    fn stop(&mut self, id: u64) {
        if let Some(key) = self.keys.remove(&id) {
            self.streams.remove(key);
        }
    }

    /// Ends all of them here; whoever asked may go on elsewhere.
    fn hand_over(&mut self, callee: &mut Callee) -> Result<(), ProtocolError> {
        for id in self.keys.keys().copied().collect::<Vec<_>>() {
            let failed = Failed::retryable(ErrorCode::ShuttingDown, "this process is stopping");
            self.tell(id, failed.into(), callee)?;
            self.stop(id);
        }
        Ok(())
    }

    async fn next(&mut self) -> Option<Happened> {
        self.streams.next().await
    }

    fn take(&mut self, (key, event): Happened, callee: &mut Callee) -> Result<(), ProtocolError> {
        let Some(&id) = self.ids.get(key as usize) else { return Ok(()) };
        match event {
            Some(event) => self.tell(id, event, callee),
            None => {
                self.keys.remove(&id);
                callee.ended(id)
            }
        }
    }

    fn tell(&mut self, id: u64, event: GenerateEvent, callee: &mut Callee) -> Result<(), ProtocolError> {
        if let Some(Action::Stop(id)) = callee.push(id, event)? {
            self.stop(id);
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }
}
