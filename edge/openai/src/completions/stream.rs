//! A streamed text answer: `text_completion` events.

use crate::completions::columns::Columns;
use crate::finish::FinishReason;
use crate::head::Head;
use crate::json;
use crate::logprobs::TokenLogprob;
use crate::piece::Piece;
use crate::stream::StreamOptions;
use crate::usage::Usage;

#[derive(Debug)]
pub(crate) struct Stream {
    /// From `data: ` to the comma behind `created`.
    prefix: Vec<u8>,
    /// From the brace that closes the choice to the end of the event.
    suffix: Vec<u8>,
    /// The model's name as JSON.
    model: Vec<u8>,
    include_usage: bool,
    logprobs: Option<Logprobs>,
    last: Option<Last>,
}

#[derive(Debug)]
struct Logprobs {
    top: u8,
    /// Where each choice's next token stands in its text.
    offsets: Vec<u64>,
    /// Kept for its memory.
    columns: Columns,
}

/// How tokens become rows: those of a prompt differ in the first.
type Rows = fn(&mut Columns, &[TokenLogprob], u8, &mut u64);

/// The chunk written last, by its place in the caller's buffer.
#[derive(Debug)]
struct Last {
    choice: u32,
    /// Where its finish reason begins.
    reason: usize,
    end: usize,
}

impl Stream {
    pub(crate) fn new(head: &Head, logprobs: Option<u8>, options: StreamOptions, choices: u32) -> Self {
        let mut prefix = b"data: {\"id\":".to_vec();
        json::write(&mut prefix, &head.id);
        prefix.extend_from_slice(b",\"object\":\"text_completion\",\"created\":");
        json::write(&mut prefix, &head.created);
        prefix.push(b',');
        let mut model = Vec::new();
        json::write(&mut model, &head.model);
        let mut suffix = b"}],\"model\":".to_vec();
        suffix.extend_from_slice(&model);
        if options.include_usage {
            suffix.extend_from_slice(b",\"usage\":null");
        }
        suffix.extend_from_slice(b"}\n\n");
        let logprobs = logprobs.map(|top| Logprobs {
            top,
            offsets: (0..choices).map(|_| 0).collect(),
            columns: Columns::default(),
        });
        Self { prefix, suffix, model, include_usage: options.include_usage, logprobs, last: None }
    }

    pub(crate) fn text(&mut self, choice: u32, piece: &Piece<'_>, out: &mut Vec<u8>) {
        self.chunk(choice, piece, Columns::push, None, out);
    }

    pub(crate) fn prompt(&mut self, choice: u32, piece: &Piece<'_>, out: &mut Vec<u8>) {
        self.chunk(choice, piece, Columns::push_prompt, None, out);
    }

    pub(crate) fn finish(&mut self, choice: u32, reason: FinishReason, out: &mut Vec<u8>) {
        if reason == FinishReason::Length
            && let Some(start) = self.unsent_reason(choice, out)
        {
            out.truncate(start);
            FinishReason::write(Some(reason), out);
            out.extend_from_slice(&self.suffix);
            self.last = None;
            return;
        }
        self.chunk(choice, &Piece::default(), Columns::push, Some(reason), out);
    }

    pub(crate) fn shows_usage(&self) -> bool {
        self.include_usage
    }

    pub(crate) fn close(&mut self, usage: &Usage, out: &mut Vec<u8>) {
        if self.include_usage {
            out.extend_from_slice(&self.prefix);
            out.extend_from_slice(b"\"model\":");
            out.extend_from_slice(&self.model);
            out.extend_from_slice(b",\"usage\":");
            usage.write_plain(out);
            out.extend_from_slice(b",\"choices\":[]}\n\n");
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }

    fn chunk(&mut self, choice: u32, piece: &Piece<'_>, rows: Rows, reason: Option<FinishReason>, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.prefix);
        out.extend_from_slice(b"\"choices\":[{\"text\":");
        json::write(out, piece.text);
        out.extend_from_slice(b",\"index\":");
        json::write(out, &choice);
        out.extend_from_slice(b",\"logprobs\":");
        self.write_logprobs(choice, piece, rows, out);
        out.extend_from_slice(b",\"finish_reason\":");
        let start = out.len();
        FinishReason::write(reason, out);
        out.extend_from_slice(&self.suffix);
        self.last = reason.is_none().then_some(Last { choice, reason: start, end: out.len() });
    }

    fn write_logprobs(&mut self, choice: u32, piece: &Piece<'_>, rows: Rows, out: &mut Vec<u8>) {
        let place = usize::try_from(choice).ok();
        match &mut self.logprobs {
            Some(Logprobs { top, offsets, columns }) if !piece.logprobs.is_empty() => {
                let Some(offset) = place.and_then(|place| offsets.get_mut(place)) else { return };
                rows(columns, piece.logprobs, *top, offset);
                columns.write(out);
                columns.clear();
            }
            _ => out.extend_from_slice(b"null"),
        }
    }

    /// Where the open finish reason of this choice's last chunk stands, if that chunk is still the end of `out`.
    fn unsent_reason(&self, choice: u32, out: &[u8]) -> Option<usize> {
        let last = self.last.as_ref().filter(|last| last.choice == choice && last.end == out.len())?;
        let open = out.get(last.reason..)?.strip_prefix(b"null")?;
        (open == self.suffix).then_some(last.reason)
    }
}
