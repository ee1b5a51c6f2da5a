//! Calls of functions in a history, and what the functions answered. They bear no
//! ids; templates know only calls that do, so each call and its answer get one.

use std::collections::HashSet;

/// Gives out the ids of one history, in the order of its messages.
#[derive(Debug, Default)]
pub(crate) struct FunctionTurns {
    given: HashSet<String>,
    /// The last call, while nothing has answered it.
    unanswered: Option<String>,
}

impl FunctionTurns {
    /// The id of the next call.
    pub(crate) fn call(&mut self) -> String {
        let id = self.next();
        self.unanswered = Some(id.clone());
        id
    }

    /// The id that the next answer refers to. An answer without a call, which OpenAI takes, gets one of its own.
    pub(crate) fn answer(&mut self) -> String {
        match self.unanswered.take() {
            Some(id) => id,
            None => self.next(),
        }
    }

    /// Whether an id was given here.
    pub(crate) fn gave(&self, id: &str) -> bool {
        self.given.contains(id)
    }

    /// As long as OpenAI's own, and the same for the same history: a prompt stays cacheable.
    fn next(&mut self) -> String {
        let id = format!("call_{:024}", self.given.len());
        self.given.insert(id.clone());
        id
    }
}
