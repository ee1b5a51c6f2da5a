//! What a reader told, with what holds for all that it may tell.

use cloudach_model::reading::Event;

/// All events of one choice; neighbours of the same kind are one.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Told(pub Vec<Item>);

#[derive(Debug, PartialEq, Eq)]
pub enum Item {
    Text(String),
    Reasoning(String),
    Call { name: String, arguments: String, ended: bool },
    Stopped,
}

impl Told {
    pub fn add(&mut self, event: Event<'_>) {
        assert_ne!(self.0.last(), Some(&Item::Stopped), "nothing follows the end: {event:?}");
        match (event, self.0.last_mut()) {
            (Event::Text("") | Event::Reasoning("") | Event::CallArguments(""), _) => panic!("an empty piece"),
            (Event::Text(text), Some(Item::Text(all))) => all.push_str(text),
            (Event::Text(text), _) => self.0.push(Item::Text(text.to_owned())),
            (Event::Reasoning(text), Some(Item::Reasoning(all))) => all.push_str(text),
            (Event::Reasoning(text), _) => self.0.push(Item::Reasoning(text.to_owned())),
            (Event::CallBegin { name }, _) => {
                assert!(!name.is_empty(), "a call without a name");
                self.0.push(Item::Call { name: name.to_owned(), arguments: String::new(), ended: false });
            }
            (Event::CallArguments(text), Some(Item::Call { arguments, ended: false, .. })) => arguments.push_str(text),
            (Event::CallEnd, Some(Item::Call { ended: ended @ false, .. })) => *ended = true,
            (Event::CallArguments(_) | Event::CallEnd, _) => panic!("{event:?} outside of a call"),
            (Event::Stopped, _) => self.0.push(Item::Stopped),
        }
    }

    pub fn content(&self) -> String {
        let texts = self.0.iter().filter_map(|item| match item {
            Item::Text(text) => Some(text.as_str()),
            _ => None,
        });
        texts.collect()
    }

    pub fn reasoning(&self) -> String {
        let texts = self.0.iter().filter_map(|item| match item {
            Item::Reasoning(text) => Some(text.as_str()),
            _ => None,
        });
        texts.collect()
    }

    /// The name, the arguments, and whether the call ended, of each.
    pub fn calls(&self) -> impl Iterator<Item = (&str, &str, bool)> {
        self.0.iter().filter_map(|item| match item {
            Item::Call { name, arguments, ended } => Some((name.as_str(), arguments.as_str(), *ended)),
            _ => None,
        })
    }

    pub fn has_stopped(&self) -> bool {
        self.0.last() == Some(&Item::Stopped)
    }
}
