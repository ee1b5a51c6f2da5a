//! What is known of a response before the model says anything: how it is called, what was asked, and with what.

use serde::{Deserialize, Serialize};

use crate::ids;
use crate::responses::echo::Echo;
use crate::responses::item::Item;

/// See above. Kept as JSON where the response is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// See [`ids::response`].
    pub id: String,
    /// Seconds since 1970.
    pub created: u64,
    /// The name the client used.
    pub model: String,
    /// What the padding of its events is drawn from. `None`: they have none.
    pub padding: Option<u64>,
    /// The responses that it goes on from, the first one first.
    pub ancestors: Vec<String>,
    /// What was put in by this request.
    pub input: Vec<Item>,
    pub(crate) echo: Echo,
}

impl Record {
    /// The response that it goes on from.
    pub fn previous(&self) -> Option<&str> {
        self.echo.previous_response_id.as_deref()
    }

    /// The conversation that it is of.
    pub fn conversation(&self) -> Option<&str> {
        self.echo.conversation.as_deref()
    }

    /// Whether it was made without anybody waiting for it.
    pub fn is_background(&self) -> bool {
        self.echo.background
    }

    /// Whether it is to be kept.
    pub fn is_stored(&self) -> bool {
        self.echo.store
    }

    /// Names what the client has not named.
    pub(crate) fn name_input(&mut self) {
        // Behind those of all output.
        const FIRST: u32 = 1 << 31;
        for (number, item) in (FIRST..).zip(&mut self.input) {
            if item.id().is_empty() {
                let name = ids::response_item(item.prefix(), &self.id, number);
                item.rename(name);
            }
        }
    }
}
