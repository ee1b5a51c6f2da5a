//! What of a model's answer the client sees: without the white space and the text that only surround calls, up to a
//! stop string, and with one call if it wants no more.

use super::super::StopReader;
use super::Event;
use super::piece::Piece;
use super::space;

/// What a format does with text around calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Around {
    /// White space before a call is for the client.
    pub space_before: bool,
    pub after: After,
}

/// Text behind calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    Shown,
    /// Without the white space before it.
    Trimmed,
    /// Models that write like this ramble on, and the reference drops it.
    Hidden,
}

/// Shows one choice.
#[derive(Debug, Clone)]
pub(super) struct Visible {
    around: Around,
    stops: StopReader,
    one_call: bool,
    /// Text was shown since the begin or the last call.
    text: bool,
    calls: bool,
    /// A call has begun, and neither ended nor broken off.
    in_call: bool,
    /// A broken call has come since the last call: what follows belongs to it.
    broken: bool,
    /// White space that waits for what follows.
    space: String,
    /// White space before calls, that parts the text before them from what follows them.
    space_before: String,
    stopped: bool,
}

type Emit<'e> = &'e mut dyn FnMut(Event<'_>);

impl Visible {
    pub(super) fn new(around: Around, stops: StopReader, one_call: bool) -> Self {
        Self {
            around,
            stops,
            one_call,
            text: false,
            calls: false,
            in_call: false,
            broken: false,
            space: String::new(),
            space_before: String::new(),
            stopped: false,
        }
    }

    pub(super) fn has_stopped(&self) -> bool {
        self.stopped
    }

    /// The stop string that was met.
    pub(super) fn stop_met(&self) -> Option<&str> {
        self.stops.met()
    }

    /// Whether nothing waits for what follows.
    pub(super) fn rests(&self) -> bool {
        self.space.is_empty() && !self.stops.holds()
    }

    pub(super) fn is_in_call(&self) -> bool {
        self.in_call
    }

    pub(super) fn reasoning(&mut self, text: &str, emit: Emit<'_>) {
        if !self.stopped {
            emit(Event::Reasoning(text));
        }
    }

    pub(super) fn piece(&mut self, piece: Piece<'_>, emit: Emit<'_>) {
        if self.stopped {
            return;
        }
        self.in_call = matches!(piece, Piece::Begin(_) | Piece::Arguments(_));
        match piece {
            Piece::Text(_) if self.calls && !self.broken && self.around.after == After::Hidden => {}
            Piece::Text(text) => self.text(text, emit),
            Piece::Malformed(text) => {
                self.broken = true;
                self.text(text, emit);
            }
            Piece::NoCalls => self.begin_calls(emit),
            Piece::Begin(name) => {
                self.begin_calls(emit);
                if !self.stopped {
                    emit(Event::CallBegin { name });
                }
            }
            Piece::Arguments(text) => emit(Event::CallArguments(text)),
            Piece::End => {
                emit(Event::CallEnd);
                if self.one_call {
                    self.stopped = true;
                    emit(Event::Stopped);
                }
            }
        }
    }

    pub(super) fn finish(&mut self, emit: Emit<'_>) {
        if !self.calls && !self.stopped {
            let space = std::mem::take(&mut self.space);
            self.show(&space, emit);
        }
        self.give_held(emit);
    }

    fn text(&mut self, text: &str, emit: Emit<'_>) {
        for run in space::runs(text) {
            let solid = run.trim_end();
            // White space waits where a call would hide it.
            let waits = (!self.text && solid.is_empty()) || !self.around.space_before;
            let (shown, space) = if waits { run.split_at(solid.len()) } else { (run, "") };
            if !shown.is_empty() {
                let trimmed = self.calls && !self.text && self.around.after == After::Trimmed;
                let mut before = std::mem::take(if trimmed { &mut self.space_before } else { &mut self.space });
                self.show(&before, emit);
                // Empty, and with its room: white space comes with most tokens.
                before.clear();
                self.space = before;
                self.show(shown, emit);
                self.text = true;
            }
            space::hold(&mut self.space, space);
        }
    }

    fn begin_calls(&mut self, emit: Emit<'_>) {
        if self.text {
            self.space_before = std::mem::take(&mut self.space);
        }
        self.space.clear();
        self.text = false;
        self.calls = true;
        self.broken = false;
        self.give_held(emit);
    }

    fn show(&mut self, text: &str, emit: Emit<'_>) {
        if self.stopped || text.is_empty() {
            return;
        }
        let shown = self.stops.push(text);
        self.stopped = shown.stopped;
        if !shown.text.is_empty() {
            emit(Event::Text(shown.text));
        }
        if self.stopped {
            emit(Event::Stopped);
        }
    }

    /// Gives out what might have become a stop string.
    fn give_held(&mut self, emit: Emit<'_>) {
        if !self.stopped {
            let held = self.stops.finish();
            if !held.is_empty() {
                emit(Event::Text(held));
            }
        }
    }
}
