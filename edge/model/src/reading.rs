//! The reading step: an engine's raw text becomes what the client may see.
//!
//! Text arrives in pieces that are cut anywhere. A [`Reader`] gives out with each piece what has become
//! certain and holds back nothing else, so that all pieces together say the same for every cut. What it
//! holds is bounded, its work is linear in the text, and no text makes it fail: what it cannot
//! understand is text.

mod calls;
mod forced;
mod held_tokens;
mod nesting;
mod output;
mod relocate;
mod stop;

pub use calls::CallsReader;
pub use forced::{Forced, Function, Unenforceable, answer_or_calls};
pub use held_tokens::HeldTokens;
pub use output::{Functions, Output, OutputReader, ReasoningFormat, ToolFormat, UnknownFormat, detect, marks};
pub use stop::{Shown, StopReader};

/// What a piece of an engine's text turned out to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// Text for the client; never empty.
    Text(&'a str),
    /// What the model thinks before it answers; never empty.
    Reasoning(&'a str),
    /// The model calls a function. What follows, up to the next beginning, is of this call.
    CallBegin { name: &'a str },
    /// The next piece of the call's arguments, as the model wrote them; never empty.
    CallArguments(&'a str),
    /// The call is complete. It does not come when the engine ended inside of the call.
    CallEnd,
    /// The answer ends here, whatever the engine still says: at a stop string, or with the only call that is wanted.
    Stopped,
}

/// Reads one choice. A clone that has read nothing yet serves for another choice of the same request.
///
/// Stop strings are about text that the client sees and not about the notation of calls (checklist C21): an engine that
/// is forced to call must not be given stop strings either.
#[derive(Debug, Clone)]
pub enum Reader {
    /// All text is for the client.
    Plain,
    /// Text that ends before a stop string.
    Stops(Box<StopReader>),
    /// Calls that the engine was forced to make.
    Calls(Box<CallsReader>),
    /// What the model wrote on its own accord.
    Output(Box<OutputReader>),
}

impl Reader {
    /// For an answer in plain text. `keep`: the stop text stays in the answer.
    pub fn of_text(stops: &[String], keep: bool) -> Self {
        if stops.is_empty() { Self::Plain } else { Self::Stops(StopReader::new(stops, keep).into()) }
    }

    /// For an engine that was given [`Forced::constraint`]. The stop strings are about what it writes in place of calls.
    pub fn of_calls(forced: &Forced<'_>, stops: &[String], keep: bool) -> Self {
        Self::Calls(CallsReader::new(forced, StopReader::new(stops, keep)).into())
    }

    /// For a model that writes calls or reasoning in a format of its own.
    pub fn of_output(output: &Output<'_>) -> Self {
        Self::Output(Box::new(OutputReader::new(output)))
    }

    /// Reads the next piece.
    pub fn push(&mut self, text: &str, emit: &mut impl FnMut(Event<'_>)) {
        match self {
            Self::Plain if text.is_empty() => {}
            Self::Plain => emit(Event::Text(text)),
            Self::Stops(reader) => reader.tell(text, emit),
            Self::Calls(reader) => reader.push(text, emit),
            Self::Output(reader) => reader.push(text, emit),
        }
    }

    /// The stop string at which the answer ended, if it did.
    pub fn stop_met(&self) -> Option<&str> {
        match self {
            Self::Plain => None,
            Self::Stops(reader) => reader.met(),
            Self::Calls(reader) => reader.stop_met(),
            Self::Output(reader) => reader.stop_met(),
        }
    }

    /// The engine has ended: what was held for the sake of more is given out.
    pub fn finish(&mut self, emit: &mut impl FnMut(Event<'_>)) {
        match self {
            Self::Plain => {}
            Self::Stops(reader) => reader.tell_rest(emit),
            Self::Calls(reader) => reader.finish(emit),
            Self::Output(reader) => reader.finish(emit),
        }
    }
}
