//! What is given to the store at once: records that follow each other in a segment of the spool, and what they add up to.
//!
//! The store notes with them up to where it has the segment. A batch that begins before that was given already, so it is
//! never added twice, however often it is sent and whoever sends it.

use std::{borrow::Cow, collections::BTreeMap};

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
        // Of a disk that has lost something, what is left.
        let text = str::from_utf8(lines).map_or_else(|_| String::from_utf8_lossy(lines), Cow::Borrowed);
        // What follows each other is mostly of one cell: it is looked for, and its names are copied, where another one comes.
        let mut run: Option<Run> = None;
        for line in text.lines() {
            let Some(entry) = Entry::of_line(line) else {
                batch.unreadable += 1;
                continue;
            };
            let (periods, sums) = (Period::of(entry.ended), Sums::of(&entry));
            match &mut run {
                Some(run) if run.periods == periods && run.cell.holds(&entry) => run.sums += sums,
                other => {
                    let next = Run { periods, cell: Cell::of(&entry), sums };
                    other.replace(next).into_iter().for_each(|run| batch.add(run));
                }
            }
            let (ended, request_id) = (entry.ended, entry.request_id.into_owned());
            batch.records.push(Kept { ended, request_id, text: line.to_owned() });
        }
        run.into_iter().for_each(|run| batch.add(run));
        batch
    }

    fn add(&mut self, run: Run) {
        for period in run.periods {
            *self.sums.entry(period).or_default().entry(run.cell.clone()).or_default() += run.sums;
        }
    }
}

/// Records of one cell that follow each other.
struct Run {
    periods: [Period; 2],
    cell: Cell,
    sums: Sums,
}
