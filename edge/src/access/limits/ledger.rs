//! All tallies of one tenant or of many, and what is held for the requests in progress. Pure: the embedded store keeps one, an edge
//! without its store falls back to one, and `edge/src/store/redis/reserve.lua` and `edge/src/store/redis/settle.lua` are held against it by
//! tests.
//!
//! What is held for a request is a lease: whoever holds it settles it at the end. Where nobody does, because the edge
//! died, it lapses, and what it held is given back.

use std::{collections::BTreeSet, sync::Arc};

use foldhash::HashMap;

use super::{
    scope::Scope,
    standing::{Decision, Standing},
    tally::{Amounts, Now, Tally},
};

/// How long a lease holds unless it is renewed, in milliseconds.
pub const LEASE_MS: i64 = 30_000;

/// How long the store's scripts remember a settled lease, so that settling it again changes nothing. In milliseconds.
#[cfg(test)]
pub const SETTLED_MS: i64 = 120_000;

/// How many lapsed leases one call gives back at most: it is somebody's request that waits for it.
pub const MOST_LAPSED: usize = 16;

/// What a request asks for. Clones share its names and limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    pub tenant: Arc<str>,
    pub scopes: Arc<[Scope]>,
    pub amounts: Amounts,
}

/// What a request has used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settlement {
    pub used: Amounts,
    /// So long ago that the minute's limits have forgotten it. Only where the lease has lapsed.
    pub late: bool,
}

/// The tallies of each tenant.
type Tenants = HashMap<String, Tallies>;

/// Those of one tenant, by scope.
type Tallies = HashMap<String, Tally>;

/// The tallies and the leases.
#[derive(Debug, Default)]
pub struct Ledger {
    tallies: Tenants,
    leases: HashMap<Arc<str>, Lease>,
    ends: BTreeSet<(i64, Arc<str>)>,
    /// How long settled leases are remembered, in milliseconds. 0: nobody asks for one or settles it twice, as within a process.
    remembers: i64,
}

#[derive(Debug)]
struct Lease {
    ends: i64,
    /// None: it is settled.
    held: Option<Ask>,
}

impl Ledger {
    /// One that is told of a settlement twice, as the store's scripts may be.
    #[cfg(test)]
    pub fn remembering() -> Self {
        Self { remembers: SETTLED_MS, ..Self::default() }
    }

    /// Counts a request and holds what it needs under the name `lease`. Asked twice, it does so once, where it may be asked twice.
    pub fn reserve(&mut self, now: Now, lease: &Arc<str>, ask: &Ask) -> Decision {
        self.give_back_lapsed(now);
        let tallies = tallies(&mut self.tallies, ask);
        if self.remembers > 0 && matches!(self.leases.get(lease), Some(Lease { held: Some(_), .. })) {
            return Decision { standing: standing(tallies, now, ask), exceeded: None };
        }
        let mut exceeded = first(tallies, ask, |tally, scope| tally.check_request(scope, now, ask.amounts.cost).err());
        if exceeded.is_none() {
            each(tallies, ask, |tally, scope| tally.count(scope, now));
            exceeded = first(tallies, ask, |tally, scope| tally.check_tokens(scope, now, ask.amounts.tokens).err());
            if exceeded.is_none() {
                each(tallies, ask, |tally, scope| tally.hold(scope, now, ask.amounts));
            }
        }
        let standing = standing(tallies, now, ask);
        if exceeded.is_none() {
            self.put_lease(lease, Lease { ends: now.ms + LEASE_MS, held: Some(ask.clone()) });
        }
        Decision { standing, exceeded }
    }

    /// Counts a request that was refused for what it is: it stays counted, as at OpenAI.
    pub fn count(&mut self, now: Now, ask: &Ask) -> Decision {
        let tallies = tallies(&mut self.tallies, ask);
        let exceeded = first(tallies, ask, |tally, scope| tally.check_count(scope, now).err());
        if exceeded.is_none() {
            each(tallies, ask, |tally, scope| tally.count(scope, now));
        }
        Decision { standing: standing(tallies, now, ask), exceeded }
    }

    /// The request is over. Settling a lease twice charges once, for as long as it is remembered. True: a soft bound of a
    /// budget was passed by this.
    pub fn settle(&mut self, now: Now, lease: &Arc<str>, ask: &Ask, settlement: &Settlement) -> bool {
        self.give_back_lapsed(now);
        let held = match self.leases.get(lease) {
            Some(Lease { held: None, .. }) => return false,
            Some(Lease { held: Some(_), .. }) => true,
            None => false,
        };
        let mut passed = false;
        each(tallies(&mut self.tallies, ask), ask, |tally, scope| {
            if held {
                tally.release(scope, now, ask.amounts);
            }
            passed |= tally.charge(scope, now, settlement.used, settlement.late && !held);
        });
        match self.remembers {
            0 => self.forget_lease(lease),
            remembers => self.put_lease(lease, Lease { ends: now.ms + remembers, held: None }),
        }
        passed
    }

    /// The requests are still in progress.
    pub fn renew<'a>(&mut self, now: Now, leases: impl IntoIterator<Item = &'a Arc<str>>) {
        for name in leases {
            if let Some(Lease { held: held @ Some(_), .. }) = self.leases.get_mut(name) {
                let held = held.take();
                self.put_lease(name, Lease { ends: now.ms + LEASE_MS, held });
            }
        }
    }

    /// What was spent today and this month in a scope, in billionths of a dollar.
    pub fn spent(&self, now: Now, tenant: &str, scope: &str) -> (u64, u64) {
        self.tallies.get(tenant).and_then(|scopes| scopes.get(scope)).map_or((0, 0), |tally| tally.spent(now))
    }

    /// Forgets what nobody has used for long.
    pub fn forget_unused(&mut self, now: Now) {
        self.give_back_lapsed(now);
        for scopes in self.tallies.values_mut() {
            scopes.retain(|_, tally| tally.is_of_use(now));
        }
        self.tallies.retain(|_, scopes| !scopes.is_empty());
    }

    /// The tally of every tenant's scopes, without what is held for requests in progress: to be kept over a restart,
    /// which ends them.
    pub fn settled(&self, now: Now) -> Vec<(String, String, Tally)> {
        let mut settled = self.tallies.clone();
        for ask in self.leases.values().filter_map(|lease| lease.held.as_ref()) {
            each(tallies(&mut settled, ask), ask, |tally, scope| tally.release(scope, now, ask.amounts));
        }
        let tenants = settled.into_iter();
        tenants
            .flat_map(|(tenant, scopes)| scopes.into_iter().map(move |(scope, tally)| (tenant.clone(), scope, tally)))
            .collect()
    }

    /// Puts back what was kept.
    pub fn restore(&mut self, tenant: &str, scope: &str, tally: Tally) {
        self.tallies.entry(tenant.to_owned()).or_default().insert(scope.to_owned(), tally);
    }

    /// Leaves no more in a scope than is known of it.
    pub fn lower_to(&mut self, now: Now, tenant: &str, scope: &Scope, known: &Tally) {
        let tallies = of_tenant(&mut self.tallies, tenant);
        put(tallies, &scope.name);
        if let Some(tally) = tallies.get_mut(&*scope.name) {
            tally.lower_to(known, scope, now);
        }
    }

    /// What a store tells of each scope.
    #[cfg(test)]
    pub fn tell(&mut self, now: Now, ask: &Ask) -> Vec<super::Told> {
        let mut told = Vec::new();
        each(tallies(&mut self.tallies, ask), ask, |tally, scope| told.push(tally.tell(scope, now)));
        told
    }

    fn give_back_lapsed(&mut self, now: Now) {
        for _ in 0..MOST_LAPSED {
            let Some((ends, name)) = self.ends.first().filter(|(ends, _)| *ends <= now.ms).cloned() else { return };
            self.ends.remove(&(ends, name.clone()));
            if let Some(Lease { held: Some(ask), .. }) = self.leases.remove(&name) {
                each(tallies(&mut self.tallies, &ask), &ask, |tally, scope| tally.release(scope, now, ask.amounts));
            }
        }
    }

    fn put_lease(&mut self, name: &Arc<str>, lease: Lease) {
        self.forget_lease(name);
        self.ends.insert((lease.ends, name.clone()));
        self.leases.insert(name.clone(), lease);
    }

    fn forget_lease(&mut self, name: &Arc<str>) {
        if let Some(lease) = self.leases.remove(name) {
            self.ends.remove(&(lease.ends, name.clone()));
        }
    }
}

fn standing(tallies: &mut Tallies, now: Now, ask: &Ask) -> Standing {
    let mut standing = Standing::default();
    each(tallies, ask, |tally, scope| standing = standing.tightest(tally.standing(scope, now)));
    standing
}

/// What `check` finds first among the scopes.
fn first<T>(tallies: &mut Tallies, ask: &Ask, mut check: impl FnMut(&mut Tally, &Scope) -> Option<T>) -> Option<T> {
    ask.scopes.iter().find_map(|scope| check(tallies.get_mut(&*scope.name)?, scope))
}

fn each(tallies: &mut Tallies, ask: &Ask, mut with: impl FnMut(&mut Tally, &Scope)) {
    for scope in &*ask.scopes {
        if let Some(tally) = tallies.get_mut(&*scope.name) {
            with(tally, scope);
        }
    }
}

/// The tenant's tallies, among them one for each scope of the request.
fn tallies<'a>(tenants: &'a mut Tenants, ask: &Ask) -> &'a mut Tallies {
    let tallies = of_tenant(tenants, &ask.tenant);
    ask.scopes.iter().for_each(|scope| put(tallies, &scope.name));
    tallies
}

/// Names are copied only for what is not there yet.
fn of_tenant<'a>(tenants: &'a mut Tenants, tenant: &str) -> &'a mut Tallies {
    if !tenants.contains_key(tenant) {
        tenants.insert(tenant.to_owned(), Tallies::default());
    }
    tenants.get_mut(tenant).expect("it was put there")
}

fn put(tallies: &mut Tallies, scope: &str) {
    if !tallies.contains_key(scope) {
        tallies.insert(scope.to_owned(), Tally::default());
    }
}
