//! A conversation as the store has it, and how it changes there. No I/O.

/// What is kept of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// What is known of it, as JSON.
    pub record: Vec<u8>,
    /// Each as JSON, the oldest first.
    pub items: Vec<Vec<u8>>,
}

/// What is to become of it, in one step.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// It is made: there was none.
    pub makes: bool,
    /// What is known of it from now on. None: as before.
    pub record: Option<Vec<u8>>,
    /// Behind the items that are there, which together are no more than these.
    pub add: Vec<Vec<u8>>,
    pub most_items: usize,
    pub most_bytes: usize,
    /// An item that is taken out, to the byte as it is kept.
    pub remove: Option<Vec<u8>>,
}

/// What has become of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    Done,
    /// There is none, or not the item that was to be taken out.
    Gone,
    /// Its items would be too many, or too large.
    Full,
}

impl Change {
    /// The conversation after it. A store that does this by itself does the same.
    ///
    /// # Errors
    /// Why it stays as it was.
    pub fn apply(self, before: Option<Kept>) -> Result<Kept, Changed> {
        let mut kept = match (self.makes, before) {
            (true, _) => Kept { record: Vec::new(), items: Vec::new() },
            (false, before) => before.ok_or(Changed::Gone)?,
        };
        if !self.add.is_empty() {
            kept.items.extend(self.add);
            let bytes: usize = kept.items.iter().map(Vec::len).sum();
            if kept.items.len() > self.most_items || bytes > self.most_bytes {
                return Err(Changed::Full);
            }
        }
        if let Some(item) = self.remove {
            let at = kept.items.iter().position(|kept| *kept == item).ok_or(Changed::Gone)?;
            kept.items.remove(at);
        }
        if let Some(record) = self.record {
            kept.record = record;
        }
        Ok(kept)
    }
}
