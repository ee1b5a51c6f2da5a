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
    /// The records' lines, each with its end.
    pub lines: String,
    /// How many they are.
    pub count: u64,
    /// When the last of them ended, in milliseconds since 1970.
    pub latest: u64,
    pub sums: BTreeMap<Period, BTreeMap<Cell, Sums>>,
    /// Lines that are no records: the disk has lost them.
    pub unreadable: u64,
}

impl Batch {
    /// Adds up whole lines.
    pub fn of(segment: String, from: u64, lines: &[u8]) -> Self {
        let to = from + lines.len() as u64;
        let room = String::with_capacity(lines.len());
        let mut batch =
            Self { segment, from, to, lines: room, count: 0, latest: 0, sums: BTreeMap::new(), unreadable: 0 };
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
            batch.latest = batch.latest.max(entry.ended);
            batch.count += 1;
            batch.lines.push_str(line);
            batch.lines.push('\n');
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
