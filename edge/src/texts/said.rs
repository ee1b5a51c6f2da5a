//! What the choices of an answer say, as it comes, until it is over.

use cloudach_model::reading::Event;
use cloudach_openai::FinishReason;

use super::{
    messages::{Part, Spoken, finish},
    redaction::start,
};

/// The texts of an answer, as far as they are held.
#[derive(Debug)]
pub struct Said {
    choices: Vec<Spoken>,
    /// In bytes, over all choices.
    left: usize,
}

impl Said {
    /// Holds so many bytes.
    pub fn new(longest: usize) -> Self {
        Self { choices: Vec::new(), left: longest }
    }

    /// A choice goes on with this.
    pub fn push(&mut self, choice: u32, event: Event<'_>) {
        let number = choice as usize;
        if self.choices.len() <= number {
            let silent = || Spoken { role: "assistant", parts: Vec::new(), finish: None, is_cut: false };
            self.choices.resize_with(number + 1, silent);
        }
        let spoken = &mut self.choices[number];
        if spoken.is_cut {
            return;
        }
        let text = match event {
            Event::Text(text) | Event::Reasoning(text) | Event::CallArguments(text) => text,
            Event::CallBegin { name } => name,
            Event::CallEnd | Event::Stopped => return,
        };
        let held = start(text, self.left);
        spoken.is_cut = held.len() < text.len();
        self.left -= held.len();
        match (event, spoken.parts.last_mut()) {
            (Event::Text(_), Some(Part::Text(before)))
            | (Event::Reasoning(_), Some(Part::Reasoning(before)))
            | (Event::CallArguments(_), Some(Part::Call { arguments: before, .. })) => before.push_str(held),
            (Event::Reasoning(_), _) => spoken.parts.push(Part::Reasoning(held.to_owned())),
            (Event::CallBegin { .. }, _) => {
                spoken.parts.push(Part::Call { name: held.to_owned(), arguments: String::new() });
            }
            _ => spoken.parts.push(Part::Text(held.to_owned())),
        }
    }

    /// It is over, for these reasons. What ended before its end is cut: where the client left, an engine was lost, or
    /// `max_tokens` was reached.
    pub fn over(mut self, reasons: impl Iterator<Item = Option<FinishReason>>) -> Vec<Spoken> {
        for (spoken, reason) in self.choices.iter_mut().zip(reasons) {
            spoken.finish = Some(finish(reason));
            spoken.is_cut |= matches!(reason, None | Some(FinishReason::Length));
        }
        self.choices
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_become_whole_texts() {
        let mut said = Said::new(1000);
        for event in [
            Event::Reasoning("h"),
            Event::Reasoning("m"),
            Event::Text("a "),
            Event::Text("b"),
            Event::CallBegin { name: "f" },
            Event::CallArguments("{\"x\":"),
            Event::CallArguments("1}"),
            Event::CallEnd,
            Event::CallBegin { name: "g" },
        ] {
            said.push(1, event);
        }
        let call = |name: &str, arguments: &str| Part::Call { name: name.to_owned(), arguments: arguments.to_owned() };
        let parts =
            vec![Part::Reasoning("hm".to_owned()), Part::Text("a b".to_owned()), call("f", "{\"x\":1}"), call("g", "")];
        let spoken = said.over([None, Some(FinishReason::ToolCalls)].into_iter());
        assert_eq!((spoken[1].parts.clone(), spoken[1].finish, spoken[1].is_cut), (parts, Some("tool_call"), false));
        assert_eq!((spoken[0].finish, spoken[0].is_cut), (Some("error"), true));
    }

    #[test]
    fn no_more_is_held_than_may_be() {
        let mut said = Said::new(5);
        for _ in 0..4 {
            said.push(0, Event::Text("äb"));
        }
        let spoken = said.over([Some(FinishReason::Stop)].into_iter());
        assert_eq!((spoken[0].parts.clone(), spoken[0].is_cut), (vec![Part::Text("äbä".to_owned())], true));
    }
}
