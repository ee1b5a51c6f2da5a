//! What is given to the store at once: records that follow each other in a segment of the spool, and what they add up to.
//!
//! The store notes with them up to where it has the segment. A batch that begins before that was given already, so it is
//! never added twice, however often it is sent and whoever sends it.

use std::collections::BTreeMap;

use super::{
    entry::Entry,
    sums::{Cell, Period, Sums},
};

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The segment's name, which no other has.
    pub segment: String,
    /// Where in it the first line begins.
    pub from: u64,
    /// Where the last one ends.
    pub to: u64,
    pub records: Vec<Kept>,
    pub sums: BTreeMap<Period, BTreeMap<Cell, Sums>>,
    /// Lines that are no records: the disk has lost them.
    pub unreadable: u64,
}

/// A record and what it is found by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub ended: u64,
    pub request_id: String,
    pub text: String,
}

impl Batch {
    /// Adds up whole lines.
    pub fn of(segment: String, from: u64, lines: &[u8]) -> Self {
        let to = from + lines.len() as u64;
        let mut batch = Self { segment, from, to, records: Vec::new(), sums: BTreeMap::new(), unreadable: 0 };
        for line in String::from_utf8_lossy(lines).lines() {
            let Some(entry) = Entry::of_line(line) else {
                batch.unreadable += 1;
                continue;
            };
            let (ended, sums) = (entry.ended, Sums::of(&entry));
            let (cell, request_id) = Cell::of(entry);
            for period in Period::of(ended) {
                let cells = batch.sums.entry(period).or_default();
                // Most are of a cell that is there.
                match cells.get_mut(&cell) {
                    Some(all) => *all += sums,
                    None => drop(cells.insert(cell.clone(), sums)),
                }
            }
            batch.records.push(Kept { ended, request_id, text: line.to_owned() });
        }
        batch
    }
}
