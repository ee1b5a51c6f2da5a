//! The asking end of a session, without I/O: requests and cancels go in, frames come out; frames go in, events come
//! out.

use std::{collections::VecDeque, mem};

use bytes::Bytes;
use foldhash::HashMap;
use prost::Message;

use super::{MESSAGE_BYTES, OPEN_REQUESTS, PIECE_BYTES, REQUEST_BYTES};
use crate::v1::{Cancel, GenerateEvent, GenerateRequest, Piece, SessionDown, SessionUp, UpFrame, up_frame::Frame};

/// Why a session does not take a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The other end takes nothing new.
    #[error("the peer is stopping and takes nothing new")]
    Draining,
    /// The stream to the other end is gone.
    #[error("the session is broken")]
    Broken,
    /// [`OPEN_REQUESTS`] are open.
    #[error("too many requests are open on this session")]
    Full,
    /// The request is larger than [`REQUEST_BYTES`].
    #[error("the request of {0} bytes is larger than the {REQUEST_BYTES} bytes a session carries")]
    TooLarge(usize),
}

/// The asking end. `T` is whatever the user of this type wants to find again when an event arrives.
#[derive(Debug)]
pub struct Caller<T> {
    last_id: u64,
    open: HashMap<u64, T>,
    outgoing: VecDeque<Outgoing>,
    draining: bool,
    broken: bool,
}

#[derive(Debug)]
enum Outgoing {
    /// And how many bytes it takes.
    Whole(u64, Box<GenerateRequest>, usize),
    Pieces(u64, Bytes),
    Cancel(u64),
}

impl<T> Default for Caller<T> {
    fn default() -> Self {
        Self { last_id: 0, open: HashMap::default(), outgoing: VecDeque::new(), draining: false, broken: false }
    }
}

impl<T> Caller<T> {
    /// Opens a request and returns its id, which this session never uses again.
    pub fn open(&mut self, request: impl Into<Box<GenerateRequest>>, owner: T) -> Result<u64, Refused> {
        self.takes_requests()?;
        let request = request.into();
        let size = request.encoded_len();
        if size > REQUEST_BYTES {
            return Err(Refused::TooLarge(size));
        }
        self.last_id += 1;
        let id = self.last_id;
        self.outgoing.push_back(if size <= PIECE_BYTES {
            Outgoing::Whole(id, request, size)
        } else {
            Outgoing::Pieces(id, request.encode_to_vec().into())
        });
        self.open.insert(id, owner);
        Ok(id)
    }

    /// Whether a request could be opened now.
    pub fn takes_requests(&self) -> Result<(), Refused> {
        if self.broken {
            Err(Refused::Broken)
        } else if self.draining {
            Err(Refused::Draining)
        } else if self.open.len() >= OPEN_REQUESTS {
            Err(Refused::Full)
        } else {
            Ok(())
        }
    }

    /// Gives a request up. Does nothing when it has ended already.
    pub fn cancel(&mut self, id: u64) {
        if self.open.remove(&id).is_none() {
            return;
        }
        let mut never_sent = false;
        let mut partly_sent = false;
        self.outgoing.retain(|waiting| match waiting {
            Outgoing::Whole(waiting, ..) if *waiting == id => {
                never_sent = true;
                false
            }
            Outgoing::Pieces(waiting, _) if *waiting == id => {
                partly_sent = true;
                false
            }
            _ => true,
        });
        if !never_sent || partly_sent {
            self.outgoing.push_back(Outgoing::Cancel(id));
        }
    }

    /// The next message to send, if anything waits.
    pub fn transmit(&mut self) -> Option<SessionUp> {
        let mut frames = Vec::new();
        let mut bytes = 0;
        // Pieces go to the back of the queue, so each waiting request gets its turn in every message at most once.
        for _ in 0..self.outgoing.len() {
            if bytes >= MESSAGE_BYTES {
                break;
            }
            let Some(next) = self.outgoing.pop_front() else { break };
            let (id, frame) = match next {
                Outgoing::Whole(id, request, size) => {
                    bytes += size;
                    (id, Frame::Open(request))
                }
                Outgoing::Pieces(id, mut rest) => {
                    let data = rest.split_to(PIECE_BYTES.min(rest.len()));
                    bytes += data.len();
                    let last = rest.is_empty();
                    if !last {
                        self.outgoing.push_back(Outgoing::Pieces(id, rest));
                    }
                    (id, Frame::Piece(Piece { data, last }))
                }
                Outgoing::Cancel(id) => (id, Frame::Cancel(Cancel {})),
            };
            frames.push(UpFrame { id, frame: Some(frame) });
        }
        (!frames.is_empty()).then_some(SessionUp { frames })
    }

    /// Takes a message of the other end and hands each event to its owner. Events of requests that were given up
    /// meanwhile are dropped.
    pub fn receive(&mut self, message: SessionDown, mut deliver: impl FnMut(&mut T, GenerateEvent) -> Delivery) {
        self.draining |= message.draining;
        for down in message.events {
            let Some(event) = down.event else { continue };
            let Some(owner) = self.open.get_mut(&down.id) else { continue };
            let last = event.is_last();
            let delivery = deliver(owner, event);
            if last {
                self.open.remove(&down.id);
            } else if delivery == Delivery::GiveUp {
                self.cancel(down.id);
            }
        }
    }

    /// The stream is gone: returns the owners of all requests that were open. Nothing can be opened any more.
    pub fn break_off(&mut self) -> impl Iterator<Item = T> + use<T> {
        self.broken = true;
        self.outgoing.clear();
        mem::take(&mut self.open).into_values()
    }

    /// A new stream to the other end is there. Ids go on rising, so that a late cancel of a request of the old stream
    /// cannot meet one of the new.
    pub fn reconnect(&mut self) {
        self.broken = false;
        self.draining = false;
    }

    /// Whether the other end waits for this one to leave, and nothing is left to do.
    pub fn is_drained(&self) -> bool {
        self.draining && self.open.is_empty() && self.outgoing.is_empty()
    }

    /// How many requests are open.
    pub fn open_requests(&self) -> usize {
        self.open.len()
    }

    /// Whether [`Caller::transmit`] has something to give.
    pub fn has_outgoing(&self) -> bool {
        !self.outgoing.is_empty()
    }
}

/// What became of an event that was handed to its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// It was taken.
    Taken,
    /// The owner is too far behind: the request is to be cancelled.
    GiveUp,
}
