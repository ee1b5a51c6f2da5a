//! Questions about usage, answered from sums. Pure: whoever asks brings the sums.

use std::collections::BTreeMap;

use super::sums::{Cell, Period, Sums};

/// Adds up what belongs together: `which` says where a cell belongs, or that it is left out.
pub fn add<K: Ord>(
    groups: &mut BTreeMap<K, Sums>,
    sums: impl IntoIterator<Item = (Cell, Sums)>,
    which: impl Fn(Cell) -> Option<K>,
) {
    for (cell, sums) in sums {
        if let Some(group) = which(cell) {
            *groups.entry(group).or_default() += sums;
        }
    }
}

/// Periods that follow each other, and where the next page of them begins.
#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    pub periods: Vec<Period>,
    /// The second at which the next page begins. None: this is the last one.
    pub next: Option<u64>,
}

impl Page {
    /// At most so many periods, from the one that holds a moment to the last one that begins before `end`.
    pub fn of(first: Period, end: u64, most: usize) -> Self {
        let mut all = std::iter::successors(Some(first), |period| Some(period.next()));
        let periods: Vec<Period> = all.by_ref().take(most).take_while(|period| period.start() < end).collect();
        let next = periods.last().map_or(first, |last| last.next()).start();
        Self { periods, next: (next < end).then_some(next) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Endpoint;

    #[test]
    fn pages_follow_each_other_without_a_gap() {
        let day = Period::Day;
        let page = |first, end, most| Page::of(day(first), end, most);
        assert_eq!(page(1, 3 * 86_400, 7), Page { periods: vec![day(1), day(2)], next: None });
        assert_eq!(page(1, 3 * 86_400 + 1, 2), Page { periods: vec![day(1), day(2)], next: Some(3 * 86_400) });
        assert_eq!(page(3, 3 * 86_400 + 1, 2), Page { periods: vec![day(3)], next: None });
        assert_eq!(page(3, 3 * 86_400, 2), Page { periods: Vec::new(), next: None });
    }

    #[test]
    fn what_belongs_together_is_added() {
        let cell = |key: &str, model: &str| Cell {
            tenant: "t".to_owned(),
            key_id: key.to_owned(),
            key: key.to_owned(),
            model: model.to_owned(),
            endpoint: Endpoint::ChatCompletions,
        };
        let sums = |cost| Sums { requests: 1, cost, ..Sums::default() };
        let mut groups = BTreeMap::new();
        let all = [(cell("a", "m"), sums(1)), (cell("b", "m"), sums(2)), (cell("a", "n"), sums(4))];
        add(&mut groups, all, |cell| (cell.model == "m").then_some(cell.tenant));
        assert_eq!(groups, BTreeMap::from([("t".to_owned(), Sums { requests: 2, cost: 3, ..Sums::default() })]));
    }
}
