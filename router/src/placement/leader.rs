//! Which router orders: of several, one.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

/// How this router comes to be the one that orders.
#[derive(Debug)]
pub enum Leader {
    /// It is the only one.
    Always {
        /// Higher than that of the router before, or sidecars refuse.
        epoch: u64,
    },
}

impl Leader {
    /// The only router. Its epoch is the time at its start, so that it rises with every start.
    pub fn always() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::Always { epoch: since.as_secs() }
    }

    /// The epoch to order with; `None` while another router leads.
    pub fn epoch(&self) -> watch::Receiver<Option<u64>> {
        match self {
            Self::Always { epoch } => watch::Sender::new(Some(*epoch)).subscribe(),
        }
    }
}
