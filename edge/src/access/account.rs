//! Whom an answer is for and how their limits stand: noted on a request's way in, read when its answer gets its headers.

use std::sync::Arc;

use parking_lot::Mutex;

use super::{caller::Caller, limits::Standing};

/// What is noted of one request. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Account(Arc<Mutex<Noted>>);

#[derive(Debug, Default)]
struct Noted {
    caller: Option<Arc<Caller>>,
    standing: Option<Standing>,
}

impl Account {
    /// The key is known.
    pub fn note_caller(&self, caller: Arc<Caller>) {
        self.0.lock().caller = Some(caller);
    }

    /// Something was taken from the key's limits: as they stood then is what the client is told.
    pub fn note_standing(&self, standing: Standing) {
        self.0.lock().standing = Some(standing);
    }

    /// Who asks, once the key was recognised.
    pub fn caller(&self) -> Option<Arc<Caller>> {
        self.0.lock().caller.clone()
    }

    /// How the limits stood, once something was taken from them.
    pub fn standing(&self) -> Option<Standing> {
        self.0.lock().standing
    }
}
