//! A text answer in one piece: collected, then written as a `text_completion`.

use crate::completions::columns::Columns;
use crate::finish::FinishReason;
use crate::head::Head;
use crate::json;
use crate::piece::Piece;
use crate::usage::Usage;

#[derive(Debug)]
pub(crate) struct Whole {
    head: Head,
    logprobs: Option<u8>,
    choices: Vec<Collected>,
}

#[derive(Debug, Default)]
struct Collected {
    text: String,
    columns: Columns,
    offset: u64,
    reason: Option<FinishReason>,
}

impl Whole {
    pub(crate) fn new(head: &Head, logprobs: Option<u8>, choices: u32) -> Self {
        Self { head: head.clone(), logprobs, choices: (0..choices).map(|_| Collected::default()).collect() }
    }

    pub(crate) fn text(&mut self, choice: u32, piece: &Piece<'_>) {
        let top = self.logprobs;
        let Some(collected) = self.choice(choice) else { return };
        collected.text.push_str(piece.text);
        if let Some(top) = top {
            collected.columns.push(piece.logprobs, top, &mut collected.offset);
        }
    }

    pub(crate) fn prompt(&mut self, choice: u32, piece: &Piece<'_>) {
        let top = self.logprobs;
        let Some(collected) = self.choice(choice) else { return };
        collected.text.push_str(piece.text);
        if let Some(top) = top {
            collected.columns.push_prompt(piece.logprobs, top, &mut collected.offset);
        }
    }

    pub(crate) fn finish(&mut self, choice: u32, reason: FinishReason) {
        if let Some(collected) = self.choice(choice) {
            collected.reason = Some(reason);
        }
    }

    pub(crate) fn close(&self, usage: &Usage, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"id\":");
        json::write(out, &self.head.id);
        out.extend_from_slice(b",\"object\":\"text_completion\",\"created\":");
        json::write(out, &self.head.created);
        out.extend_from_slice(b",\"model\":");
        json::write(out, &self.head.model);
        out.extend_from_slice(b",\"choices\":[");
        for (index, choice) in self.choices.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            self.write_choice(index, choice, out);
        }
        out.extend_from_slice(b"],\"usage\":");
        usage.write_plain(out);
        out.push(b'}');
    }

    fn write_choice(&self, index: usize, choice: &Collected, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"text\":");
        json::write(out, &choice.text);
        out.extend_from_slice(b",\"index\":");
        json::write(out, &index);
        out.extend_from_slice(b",\"logprobs\":");
        if self.logprobs.is_some() {
            choice.columns.write(out);
        } else {
            out.extend_from_slice(b"null");
        }
        out.extend_from_slice(b",\"finish_reason\":");
        FinishReason::write(choice.reason, out);
        out.push(b'}');
    }

    fn choice(&mut self, choice: u32) -> Option<&mut Collected> {
        self.choices.get_mut(usize::try_from(choice).ok()?)
    }
}
