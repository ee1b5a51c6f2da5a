//! Whom an answer is for and how their limits stand: noted on a request's way in, read when its answer gets its headers.

use std::sync::Arc;

use cloudach_service::trace::Trace;
use parking_lot::Mutex;

use super::{caller::Caller, limits::Standing};

/// What is noted of one request. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Account {
    noted: Arc<Mutex<Noted>>,
    trace: Trace,
}

#[derive(Debug, Default)]
struct Noted {
    caller: Option<Arc<Caller>>,
    standing: Option<Standing>,
    /// It was let in and is not counted yet.
    uncounted: bool,
    /// A record is made of it.
    recorded: bool,
}

impl Account {
    /// Of a request whose steps are this trace's.
    pub fn new(trace: Trace) -> Self {
        Self { noted: Arc::default(), trace }
    }

    /// The request's trace.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// The key is known.
    pub fn note_caller(&self, caller: Arc<Caller>) {
        self.noted.lock().caller = Some(caller);
    }

    /// The request has a place and is to be counted.
    pub fn note_admitted(&self) {
        self.noted.lock().uncounted = true;
    }

    /// The request is counted with what it reserves.
    pub fn note_counted(&self) {
        self.noted.lock().uncounted = false;
    }

    /// A record of it is made, whatever becomes of it.
    pub fn note_recorded(&self) {
        self.noted.lock().recorded = true;
    }

    /// None is made any more.
    pub fn note_unrecorded(&self) {
        self.noted.lock().recorded = false;
    }

    /// Whether one is.
    pub fn is_recorded(&self) -> bool {
        self.noted.lock().recorded
    }

    /// Whose request it is, where it was let in and came to its end uncounted: it was refused for what it is.
    pub fn take_uncounted(&self) -> Option<Arc<Caller>> {
        let mut noted = self.noted.lock();
        std::mem::take(&mut noted.uncounted).then(|| noted.caller.clone()).flatten()
    }

    /// Something was taken from the key's limits: as they stood then is what the client is told.
    pub fn note_standing(&self, standing: Standing) {
        self.noted.lock().standing = Some(standing);
    }

    /// Who asks, once the key was recognised.
    pub fn caller(&self) -> Option<Arc<Caller>> {
        self.noted.lock().caller.clone()
    }

    /// How the limits stood, once something was taken from them.
    pub fn standing(&self) -> Option<Standing> {
        self.noted.lock().standing
    }
}
