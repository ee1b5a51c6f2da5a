//! Who is next: the more urgent class first, and within a class the tenant that has had the least. No I/O.
//!
//! What a tenant has had is counted in tokens, as each request is expected to take. A tenant that comes new begins where
//! the others are, so that nobody saves up by not asking.

use std::collections::{HashMap, VecDeque};

/// How urgent a request is, the most urgent first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    High,
    #[default]
    Normal,
    Low,
}

const CLASSES: usize = 3;

/// A bounded queue of requests.
#[derive(Debug)]
pub struct Fair<T> {
    classes: [Lanes<T>; CLASSES],
    waiting: usize,
    most: usize,
    next_ticket: u64,
}

#[derive(Debug)]
struct Lanes<T> {
    by_tenant: HashMap<String, Lane<T>>,
    /// What the tenant that was served last had had before.
    level: u64,
}

#[derive(Debug)]
struct Lane<T> {
    had: u64,
    waiting: VecDeque<Waiting<T>>,
}

#[derive(Debug)]
struct Waiting<T> {
    ticket: u64,
    cost: u64,
    what: T,
}

/// The place of a request in the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    class: Class,
    tenant: String,
    number: u64,
}

/// The queue has its most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

impl<T> Lanes<T> {
    fn len(&self) -> usize {
        self.by_tenant.values().map(|lane| lane.waiting.len()).sum()
    }
}

impl<T> Fair<T> {
    /// A queue of at most so many.
    pub fn new(most: usize) -> Self {
        let lanes = || Lanes { by_tenant: HashMap::new(), level: 0 };
        Self { classes: [lanes(), lanes(), lanes()], waiting: 0, most, next_ticket: 0 }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting
    }

    /// Whether nobody waits who would go before this class.
    pub fn is_empty_before(&self, class: Class) -> bool {
        self.classes[..=class as usize].iter().all(|lanes| lanes.by_tenant.is_empty())
    }

    /// About how many would be served before one who came now: of each other tenant as many as this one has.
    pub fn ahead_of(&self, class: Class, tenant: &str) -> usize {
        let before: usize = self.classes[..class as usize].iter().map(Lanes::len).sum();
        let lanes = &self.classes[class as usize];
        let own = lanes.by_tenant.get(tenant).map_or(0, |lane| lane.waiting.len());
        let others = lanes.by_tenant.iter().filter(|(name, _)| *name != tenant);
        before + own + others.map(|(_, lane)| lane.waiting.len().min(own + 1)).sum::<usize>()
    }

    /// Puts one at the end of its tenant's. When the queue is full, the last one of the tenant with the most in it makes
    /// room, and is given back.
    ///
    /// # Errors
    /// The queue is full, and nobody has more in it.
    pub fn push(&mut self, class: Class, tenant: &str, cost: u64, what: T) -> Result<(Ticket, Option<T>), Full> {
        let pushed_out = match self.waiting < self.most {
            true => None,
            false => Some(self.push_out(class, tenant).ok_or(Full)?),
        };
        self.waiting += 1;
        let number = self.next_ticket;
        self.next_ticket += 1;
        let lanes = &mut self.classes[class as usize];
        let level = lanes.level;
        let new = || Lane { had: level, waiting: VecDeque::new() };
        let lane = lanes.by_tenant.entry(tenant.to_owned()).or_insert_with(new);
        lane.waiting.push_back(Waiting { ticket: number, cost: cost.max(1), what });
        Ok((Ticket { class, tenant: tenant.to_owned(), number }, pushed_out))
    }

    /// The last one of whoever has the most, of the least urgent class that is no more urgent than `class`.
    fn push_out(&mut self, class: Class, tenant: &str) -> Option<T> {
        let own = self.classes[class as usize].by_tenant.get(tenant).map_or(0, |lane| lane.waiting.len());
        let at = (class as usize..CLASSES).rev().find(|&at| !self.classes[at].by_tenant.is_empty())?;
        let lanes = &mut self.classes[at];
        let order = |(name, lane): &(&String, &Lane<T>)| (lane.waiting.len(), (*name).clone());
        let (most, lane) = lanes.by_tenant.iter().max_by_key(order)?;
        if at == class as usize && lane.waiting.len() <= own + 1 {
            return None;
        }
        let most = most.clone();
        let lane = lanes.by_tenant.get_mut(&most)?;
        let last = lane.waiting.pop_back()?;
        if lane.waiting.is_empty() {
            lanes.by_tenant.remove(&most);
        }
        self.waiting -= 1;
        Some(last.what)
    }

    /// Who is next. It is taken only when `take` gives something for it.
    pub fn next<R>(&mut self, take: impl FnOnce(&T) -> Option<R>) -> Option<(T, R)> {
        let lanes = self.classes.iter_mut().find(|lanes| !lanes.by_tenant.is_empty())?;
        let order = |(tenant, lane): &(&String, &Lane<T>)| {
            (lane.had, lane.waiting.front().map(|one| one.ticket), (*tenant).clone())
        };
        let tenant = lanes.by_tenant.iter().min_by_key(order).map(|(tenant, _)| tenant.clone())?;
        let lane = lanes.by_tenant.get_mut(&tenant)?;
        let taken = take(&lane.waiting.front()?.what)?;
        let first = lane.waiting.pop_front()?;
        lanes.level = lane.had;
        lane.had = lane.had.saturating_add(first.cost);
        if lane.waiting.is_empty() {
            lanes.by_tenant.remove(&tenant);
        }
        self.waiting -= 1;
        Some((first.what, taken))
    }

    /// Takes out one that waits no more. Whether it was there.
    pub fn leave(&mut self, ticket: &Ticket) -> bool {
        let lanes = &mut self.classes[ticket.class as usize];
        let Some(lane) = lanes.by_tenant.get_mut(&ticket.tenant) else { return false };
        let Ok(at) = lane.waiting.binary_search_by_key(&ticket.number, |one| one.ticket) else { return false };
        lane.waiting.remove(at);
        if lane.waiting.is_empty() {
            lanes.by_tenant.remove(&ticket.tenant);
        }
        self.waiting -= 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all<T>(queue: &mut Fair<T>) -> Vec<T> {
        std::iter::from_fn(|| queue.next(|_| Some(())).map(|(what, ())| what)).collect()
    }

    #[test]
    fn tenants_take_turns_by_what_they_cost() {
        let mut queue = Fair::new(100);
        for number in 0..6 {
            queue.push(Class::Normal, "many", 10, ("many", number)).unwrap();
        }
        for number in 0..2 {
            queue.push(Class::Normal, "few", 20, ("few", number)).unwrap();
        }
        let order = all(&mut queue);
        let expected =
            [("many", 0), ("few", 0), ("many", 1), ("many", 2), ("few", 1), ("many", 3), ("many", 4), ("many", 5)];
        assert_eq!(order, expected);
    }

    #[test]
    fn the_more_urgent_go_first() {
        let mut queue = Fair::new(100);
        for (class, name) in [(Class::Low, "c"), (Class::Normal, "b"), (Class::High, "a")] {
            queue.push(class, "t", 1, name).unwrap();
        }
        assert!(!queue.is_empty_before(Class::High));
        assert_eq!(all(&mut queue), ["a", "b", "c"]);
        queue.push(Class::Low, "t", 1, "c").unwrap();
        assert!(queue.is_empty_before(Class::Normal) && !queue.is_empty_before(Class::Low));
    }

    #[test]
    fn it_is_bounded_and_left() {
        let mut queue = Fair::new(2);
        let (first, _) = queue.push(Class::Normal, "t", 1, 1).unwrap();
        queue.push(Class::Normal, "t", 1, 2).unwrap();
        assert_eq!(queue.push(Class::Normal, "t", 1, 3), Err(Full));
        assert_eq!(queue.push(Class::Low, "u", 1, 3), Err(Full));
        assert!(queue.leave(&first) && !queue.leave(&first));
        assert_eq!(queue.next(|_| None::<()>), None, "nothing was there for it");
        assert_eq!((queue.len(), all(&mut queue)), (1, vec![2]));
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn who_has_the_most_makes_room() {
        let mut queue = Fair::new(4);
        for number in 0..4 {
            queue.push(Class::Normal, "many", 1, number).unwrap();
        }
        assert_eq!((queue.ahead_of(Class::Normal, "many"), queue.ahead_of(Class::Normal, "few")), (4, 1));
        assert_eq!((queue.ahead_of(Class::High, "few"), queue.ahead_of(Class::Low, "few")), (0, 4));
        let pushed_out =
            |queue: &mut Fair<i32>, class, tenant, what| queue.push(class, tenant, 1, what).map(|pushed| pushed.1);
        assert_eq!(pushed_out(&mut queue, Class::Normal, "few", 10), Ok(Some(3)));
        assert_eq!(pushed_out(&mut queue, Class::Normal, "few", 11), Ok(Some(2)));
        assert_eq!(pushed_out(&mut queue, Class::Normal, "few", 12), Err(Full), "they have the same");
        assert_eq!(pushed_out(&mut queue, Class::High, "few", 13), Ok(Some(1)), "who is more urgent goes before all");
        assert_eq!((queue.len(), all(&mut queue)), (4, vec![13, 0, 10, 11]));
    }

    proptest! {
        /// Two tenants who always wait get the same, however their requests come and whatever they cost.
        #[test]
        fn who_always_waits_gets_the_same(costs in prop::collection::vec((1..500u64, 1..500u64), 200)) {
            let mut queue = Fair::new(usize::MAX);
            for &(one, two) in &costs {
                // Ten times as many of one tenant.
                for _ in 0..10 {
                    queue.push(Class::Normal, "one", one, (0, one)).unwrap();
                }
                queue.push(Class::Normal, "two", two, (1, two)).unwrap();
            }
            let mut had = [0u64; 2];
            let mut left = 200;
            while left > 0 {
                let ((tenant, cost), ()) = queue.next(|_| Some(())).unwrap();
                had[tenant] += cost;
                left -= usize::from(tenant == 1);
            }
            prop_assert!(had[0].abs_diff(had[1]) <= 1000, "{had:?}");
        }
    }
}
