//! The serving end of a session, without I/O: frames go in, requests to start and to stop come out; events go in,
//! frames come out.

use std::{collections::hash_map::Entry, mem};

use bytes::BytesMut;
use foldhash::HashMap;
use prost::Message;

use super::{MESSAGE_BYTES, OPEN_REQUESTS, REQUEST_BYTES};
use crate::v1::{
    DownEvent, ErrorCode, Failed, GenerateEvent, GenerateRequest, Piece, SessionDown, SessionUp, Started,
    generate_event::Event, up_frame::Frame,
};

/// From this many waiting events on, deltas of the same request merge: the other end is not reading.
const MERGE_FROM: usize = 8 * 1024;

/// Events that room is kept for, about 100 bytes each.
const LIKELY: usize = 64;

/// What may wait for an other end that does not read, in bytes and without echoed prompts; beyond it the session is
/// broken off.
const PENDING_BYTES: usize = 64 * 1024 * 1024;

/// What echoed prompts that wait may occupy together, in bytes. They come at once, however well the other end reads:
/// one that finds no room fails its own request, and nobody else's.
const ECHOED_BYTES: usize = 64 * 1024 * 1024;

/// What half-arrived requests may occupy together, in bytes.
const ASSEMBLING_BYTES: usize = 4 * REQUEST_BYTES;

/// Of an answer that nobody looks at before it is complete, so many tokens are held at most.
const MOST_HELD: usize = 256;

/// What the serving end has to do.
#[derive(Debug)]
pub enum Action {
    /// Run this request.
    Start(u64, Box<GenerateRequest>),
    /// Its caller has gone: drop it.
    Stop(u64),
}

/// The other end broke the session's rules, or does not read. The session is over.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// Ids rise and are never used twice.
    #[error("request id {id} was used again or is not above {last_id}")]
    IdNotRising { id: u64, last_id: u64 },
    /// The pieces made no request.
    #[error("the pieces of request {0} are not a GenerateRequest")]
    BadPieces(u64),
    /// Events pile up.
    #[error("{0} bytes of events wait and the peer does not read")]
    NotReading(usize),
}

/// The serving end.
#[derive(Debug, Default)]
pub struct Callee {
    last_id: u64,
    /// Requests that run.
    open: HashMap<u64, Open>,
    /// Text of those that nobody looks at before they are complete.
    held: HashMap<u64, GenerateEvent>,
    assembling: HashMap<u64, BytesMut>,
    assembling_bytes: usize,
    pending: Vec<DownEvent>,
    /// Something of it is not to wait for company.
    urgent: bool,
    pending_bytes: usize,
    /// What of it is echoed prompts.
    echoed_bytes: usize,
    /// The length of `pending` at which deltas are merged next.
    merge_at: usize,
    drain: Drain,
}

/// A request that runs.
#[derive(Debug)]
struct Open {
    /// A part of its answer was passed on.
    begun: bool,
    /// Nobody looks at it before it is complete.
    whole: bool,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Drain {
    #[default]
    No,
    ToTell,
    Told,
}

impl Callee {
    /// Takes a message of the other end.
    pub fn receive(&mut self, message: SessionUp) -> Result<Vec<Action>, ProtocolError> {
        let mut actions = Vec::with_capacity(message.frames.len());
        for up in message.frames {
            match up.frame {
                Some(Frame::Open(request)) => {
                    self.claim(up.id)?;
                    actions.extend(self.start(up.id, request)?);
                }
                Some(Frame::Piece(piece)) => {
                    if let Some(request) = self.assemble(up.id, &piece)? {
                        actions.extend(self.start(up.id, Box::new(request))?);
                    }
                }
                Some(Frame::Cancel(_)) => {
                    self.forget_pieces(up.id);
                    if self.open.remove(&up.id).is_some() {
                        self.held.remove(&up.id);
                        actions.push(Action::Stop(up.id));
                    }
                }
                // A frame of a newer version.
                None => {}
            }
        }
        Ok(actions)
    }

    /// Takes an event of a running request, which may have to stop for it. Events of requests that have ended or were
    /// given up are dropped.
    pub fn push(&mut self, id: u64, event: GenerateEvent) -> Result<Option<Action>, ProtocolError> {
        let Some(open) = self.open.get_mut(&id) else { return Ok(None) };
        if is_text(&event) {
            // Its first text is waited for.
            let is_first = !mem::replace(&mut open.begun, true);
            self.urgent |= is_first;
            if open.whole && !is_first {
                return self.hold(id, event).map(|()| None);
            }
        }
        if let Some(held) = self.held.remove(&id) {
            self.queue(id, held)?;
        }
        if self.echoed_bytes + echoed(&event) > ECHOED_BYTES {
            self.open.remove(&id);
            let failed = Failed::retryable(ErrorCode::Overloaded, "too many long prompts are echoed at once");
            self.queue(id, failed.into())?;
            return Ok(Some(Action::Stop(id)));
        }
        if event.is_last() {
            self.open.remove(&id);
        }
        self.queue(id, event)?;
        Ok(None)
    }

    /// The request's stream ended. One that did not say how is failed here, so that no caller waits for ever.
    pub fn ended(&mut self, id: u64) -> Result<(), ProtocolError> {
        if !self.open.contains_key(&id) {
            return Ok(());
        }
        let failed = Failed::retryable(ErrorCode::Internal, "the generation ended without a result");
        self.push(id, failed.into()).map(drop)
    }

    /// Tells the other end to send nothing new. What it sent before it was told is still taken.
    pub fn drain(&mut self) {
        if self.drain == Drain::No {
            self.drain = Drain::ToTell;
        }
    }

    /// Whether there is nothing left to do on a draining session, unless something is on its way.
    pub fn is_drained(&self) -> bool {
        self.drain == Drain::Told && self.open.is_empty() && self.assembling.is_empty() && self.pending.is_empty()
    }

    /// Whether [`Callee::transmit`] has something to give.
    pub fn has_pending(&self) -> bool {
        !self.pending.is_empty() || self.drain == Drain::ToTell
    }

    /// Whether what waits should leave at once. More text of answers that have begun may wait a little for that of others.
    pub fn is_urgent(&self) -> bool {
        self.urgent || self.drain == Drain::ToTell
    }

    /// The next message to send: everything that waits, up to [`MESSAGE_BYTES`].
    pub fn transmit(&mut self) -> Option<SessionDown> {
        if !self.has_pending() {
            return None;
        }
        if self.drain == Drain::ToTell {
            self.drain = Drain::Told;
        }
        let events = if self.pending_bytes <= MESSAGE_BYTES {
            self.pending_bytes = 0;
            self.echoed_bytes = 0;
            self.urgent = false;
            mem::take(&mut self.pending)
        } else {
            self.take_one_message()
        };
        self.merge_at = 0;
        Some(SessionDown { events, draining: self.drain != Drain::No })
    }

    /// Whether text is held that nobody waits for.
    pub fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// It was held for long enough.
    pub fn release(&mut self) -> Result<(), ProtocolError> {
        mem::take(&mut self.held).into_iter().try_for_each(|(id, text)| self.queue(id, text))
    }

    /// How many requests are open.
    pub fn open_requests(&self) -> usize {
        self.open.len()
    }

    fn hold(&mut self, id: u64, text: GenerateEvent) -> Result<(), ProtocolError> {
        let tokens = |event: &GenerateEvent| match &event.event {
            Some(Event::Delta(delta)) => delta.token_ids.len(),
            _ => 0,
        };
        match self.held.entry(id) {
            Entry::Vacant(none) => {
                none.insert(text);
            }
            Entry::Occupied(mut held) => {
                // Text and text are always put together.
                let _ = held.get_mut().merge(text);
                if tokens(held.get()) >= MOST_HELD {
                    let held = held.remove();
                    self.queue(id, held)?;
                }
            }
        }
        Ok(())
    }

    fn claim(&mut self, id: u64) -> Result<(), ProtocolError> {
        if id <= self.last_id {
            let last_id = self.last_id;
            return Err(ProtocolError::IdNotRising { id, last_id });
        }
        self.last_id = id;
        Ok(())
    }

    fn start(&mut self, id: u64, request: Box<GenerateRequest>) -> Result<Option<Action>, ProtocolError> {
        if self.open.len() >= OPEN_REQUESTS {
            let refusal = Failed::retryable(ErrorCode::Overloaded, "too many requests are open on this session");
            self.queue(id, refusal.into())?;
            return Ok(None);
        }
        self.open.insert(id, Open { begun: false, whole: request.whole });
        Ok(Some(Action::Start(id, request)))
    }

    fn assemble(&mut self, id: u64, piece: &Piece) -> Result<Option<GenerateRequest>, ProtocolError> {
        if !self.assembling.contains_key(&id) {
            if id <= self.last_id {
                // Refused below for its size: the rest of its pieces was on the way.
                return Ok(None);
            }
            self.claim(id)?;
            self.assembling.insert(id, BytesMut::new());
        }
        let Some(held) = self.assembling.get_mut(&id) else { return Ok(None) };
        held.extend_from_slice(&piece.data);
        self.assembling_bytes += piece.data.len();
        let too_many = self.assembling_bytes > ASSEMBLING_BYTES || self.assembling.len() > OPEN_REQUESTS;
        if too_many || self.assembling.get(&id).is_some_and(|held| held.len() > REQUEST_BYTES) {
            self.forget_pieces(id);
            let failed = Failed::retryable(ErrorCode::Overloaded, "too many large requests arrive at once");
            self.queue(id, failed.into())?;
            return Ok(None);
        }
        if !piece.last {
            return Ok(None);
        }
        let whole = self.forget_pieces(id).unwrap_or_default();
        GenerateRequest::decode(whole.freeze()).map(Some).map_err(|_| ProtocolError::BadPieces(id))
    }

    fn forget_pieces(&mut self, id: u64) -> Option<BytesMut> {
        let held = self.assembling.remove(&id)?;
        self.assembling_bytes -= held.len();
        Some(held)
    }

    fn queue(&mut self, id: u64, event: GenerateEvent) -> Result<(), ProtocolError> {
        self.urgent |= !is_text(&event);
        self.pending_bytes += event.weight();
        self.echoed_bytes += echoed(&event);
        self.pending.push(DownEvent { id, event: Some(event) });
        if self.pending.len() >= self.merge_at.max(MERGE_FROM) {
            self.merge_pending();
        }
        if self.pending_bytes.saturating_sub(self.echoed_bytes) > PENDING_BYTES {
            return Err(ProtocolError::NotReading(self.pending_bytes));
        }
        Ok(())
    }

    /// Leaves at most a start, one delta and an ending per request. Runs when the other end does not read.
    fn merge_pending(&mut self) {
        let mut last_of: HashMap<u64, usize> = HashMap::default();
        let mut merged: Vec<DownEvent> = Vec::new();
        for mut down in mem::take(&mut self.pending) {
            if let Some(&index) = last_of.get(&down.id)
                && let Some(held) = &mut merged[index].event
                && let Some(event) = down.event.take()
            {
                match held.merge(event) {
                    None => continue,
                    Some(separate) => down.event = Some(separate),
                }
            }
            last_of.insert(down.id, merged.len());
            merged.push(down);
        }
        self.pending = merged;
        self.pending_bytes =
            self.pending.iter().filter_map(|down| down.event.as_ref()).map(GenerateEvent::weight).sum();
        // Merging again only after as many more have come keeps the work per event constant.
        self.merge_at = self.pending.len() * 2;
    }

    fn take_one_message(&mut self) -> Vec<DownEvent> {
        let mut bytes = 0;
        let fits = self.pending.iter().take_while(|down| {
            let before = bytes;
            bytes += down.event.as_ref().map_or(0, GenerateEvent::weight);
            before < MESSAGE_BYTES
        });
        let count = fits.count();
        let mut rest = self.pending.split_off(count);
        // As many are likely to come next.
        rest.reserve(count.min(LIKELY));
        let events = mem::replace(&mut self.pending, rest);
        let taken: usize = events.iter().filter_map(|down| down.event.as_ref()).map(GenerateEvent::weight).sum();
        self.pending_bytes = self.pending_bytes.saturating_sub(taken);
        let echoes: usize = events.iter().filter_map(|down| down.event.as_ref()).map(echoed).sum();
        self.echoed_bytes = self.echoed_bytes.saturating_sub(echoes);
        events
    }
}

fn is_text(event: &GenerateEvent) -> bool {
    matches!(event.event, Some(Event::Delta(_)))
}

/// About how many bytes of the event are an echoed prompt.
fn echoed(event: &GenerateEvent) -> usize {
    match &event.event {
        Some(Event::Started(Started { prompt: Some(prompt), .. })) => prompt.weight(),
        _ => 0,
    }
}
