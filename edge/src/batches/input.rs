//! The lines of a batch's input of which nobody knows yet what becomes of them.

use std::collections::{HashSet, VecDeque};

use cloudach_openai::batches::Splitter;

use super::Found;
use crate::{
    idempotency::Place,
    store::{Away, Store},
};

/// Lines that are looked up at once.
const AT_ONCE: u32 = 1024;

/// See above. It holds a piece of the file at a time.
pub struct Input {
    store: Store,
    batch: Place,
    file: Place,
    next_piece: u32,
    last_piece: u32,
    splitter: Splitter,
    is_whole: bool,
    lines: VecDeque<(u32, Vec<u8>)>,
    /// Of the lines up to `known`, those that are done.
    done: HashSet<u32>,
    known: u32,
}

/// There is no more to be read.
#[derive(Debug)]
pub enum Unread {
    /// Somebody has removed the file.
    Gone,
    Away(Away),
}

impl From<Away> for Unread {
    fn from(away: Away) -> Self {
        Self::Away(away)
    }
}

impl Input {
    /// Lines of so many bytes at most.
    pub fn new(store: &Store, batch: &Place, found: &Found, most: usize) -> Self {
        let file = Place { tenant: batch.tenant.clone(), slot: found.record.batch.input_file_id.clone() };
        Self {
            store: store.clone(),
            batch: batch.clone(),
            file,
            next_piece: 0,
            last_piece: found.record.input_pieces,
            splitter: Splitter::new(most),
            is_whole: false,
            lines: VecDeque::new(),
            done: HashSet::new(),
            known: 0,
        }
    }

    /// The next line, done or not.
    pub async fn any(&mut self) -> Result<Option<(u32, Vec<u8>)>, Unread> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                return Ok(Some(line));
            }
            if self.is_whole {
                return Ok(None);
            }
            self.read().await?;
        }
    }

    /// The next line that is not done.
    pub async fn undone(&mut self) -> Result<Option<(u32, Vec<u8>)>, Unread> {
        while let Some((number, line)) = self.any().await? {
            if number > self.known {
                match self.store.lines_done(&self.batch, number, AT_ONCE).await {
                    Ok(done) => self.done = done.into_iter().collect(),
                    Err(away) => {
                        self.lines.push_front((number, line));
                        return Err(away.into());
                    }
                }
                self.known = number.saturating_add(AT_ONCE - 1);
            }
            if !self.done.contains(&number) {
                return Ok(Some((number, line)));
            }
        }
        Ok(None)
    }

    async fn read(&mut self) -> Result<(), Unread> {
        let Self { splitter, lines, .. } = self;
        let mut each = |number, line: &[u8]| lines.push_back((number, line.to_vec()));
        if self.next_piece > self.last_piece {
            splitter.end(&mut each);
            self.is_whole = true;
            return Ok(());
        }
        let pieces = self.store.pieces(&self.file, self.next_piece, self.last_piece).await?.ok_or(Unread::Gone)?;
        splitter.push(&pieces.bytes, &mut each);
        self.next_piece = pieces.next;
        Ok(())
    }
}
