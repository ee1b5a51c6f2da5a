//! What all edges share: documents (keys and tenants), the ledger of limits, usage, responses, files and batches. In Redis where
//! there are several edges, else embedded in this process; both are held to the same tests. Nothing outside this folder knows
//! which it is.

pub mod batches;
pub mod config;
mod embedded;
pub mod files;
mod redis;
#[cfg(test)]
pub mod tests;

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use cloudach_service::stop::Running;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

use crate::{
    access::limits::{Ask, Decision, Now, Settlement, Told, calendar},
    conversations::{
        config::ConversationsConfig,
        kept::{Change as ConversationChange, Changed, Kept as KeptConversation},
    },
    idempotency::{Place, config::IdempotencyConfig},
    metrics::StoreMetrics,
    responses::{
        config::ResponsesConfig,
        kept::{Extended, Found as FoundResponse, Kept},
    },
    usage::{
        batch::Batch,
        config::UsageConfig,
        keeper::Given,
        sums::{Cell, Period, Sums},
    },
};
use config::StoreConfig;
use embedded::Embedded;
use redis::Redis;

pub use embedded::EmbeddedError;
pub use redis::RedisUrlError;

/// Changes of documents that may wait for those who watch them; who is slower is told that everything may have changed.
const MOST_CHANGES: usize = 1024;

/// The store. Clones share it.
#[derive(Debug, Clone)]
pub enum Store {
    Embedded(Embedded),
    Redis(Redis),
}

/// What kinds of documents there are. Ids are unique in their collection and sort by age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Collection {
    Keys,
    Tenants,
}

/// The keyed hash of a key, in hex: what the index of keys is by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(pub String);

/// A document put in the place of another: refused where `old` is no longer what is there.
#[derive(Debug)]
pub struct Put<'a> {
    pub collection: Collection,
    pub id: &'a str,
    /// The text that was read. None: there was none.
    pub old: Option<&'a str>,
    /// None: the document is removed.
    pub new: Option<&'a str>,
    /// The fingerprints that no longer lead to this document.
    pub forget: &'a [Fingerprint],
    /// Those that do from now on.
    pub index: &'a [Fingerprint],
}

/// A key's document and its tenant's, where it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub key: String,
    pub tenant: Option<String>,
}

/// What was found, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookup {
    /// Changes where the store is wiped or another takes its place: then that a key is not there says nothing.
    pub epoch: String,
    pub found: Option<Found>,
}

/// What was found where a request is to be claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// Nothing: it is claimed now.
    Begun,
    /// Another's claim, for the same request.
    Running,
    /// A claim or an answer, of another request.
    Other,
    /// Its answer.
    Answered(Vec<u8>),
}

/// A tenant's document, where there is one, and where it was looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantLookup {
    /// As in [`Lookup`].
    pub epoch: String,
    pub found: Option<String>,
}

/// What may have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    Document(Collection, String),
    /// Changes may have been missed.
    Everything,
}

/// The store did not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Away {
    /// It was not asked: there is no connection to it.
    #[error("the store is away")]
    Disconnected,
    /// It may have been done all the same.
    #[error("the store did not answer in time")]
    TimedOut,
    /// It said that it cannot.
    #[error("the store refuses: {0}")]
    Refused(String),
}

/// The store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
    #[error(transparent)]
    Redis(#[from] RedisUrlError),
    #[error(transparent)]
    Secret(#[from] config::SecretError),
}

impl Store {
    /// Opens what the configuration names. A Redis that is away is no error: it is looked for until it is there.
    ///
    /// # Errors
    /// The configuration is unusable, or the database is.
    pub async fn open(config: &StoreConfig, metrics: StoreMetrics, running: &Running) -> Result<Self, StoreError> {
        match (&config.redis, &config.path) {
            (Some(redis), _) => Ok(Self::Redis(Redis::open(redis, metrics, running).await?)),
            (None, path) => Ok(Self::Embedded(Embedded::open(path.as_deref(), metrics, running)?)),
        }
    }

    /// Counts a request and holds what it needs under the name `lease`: one round trip. Also tells of each scope how it stands
    /// then, unless this store never goes away.
    ///
    /// # Errors
    /// The store is away.
    pub async fn reserve(&self, lease: &Arc<str>, ask: &Ask) -> Result<(Decision, Vec<Told>), Away> {
        match self {
            Self::Embedded(embedded) => {
                Ok((embedded.with_ledger(|ledger, now| ledger.reserve(now, lease, ask)), Vec::new()))
            }
            Self::Redis(redis) => redis.reserve(servers_time(), lease, ask).await,
        }
    }

    /// Counts a request that is refused for what it is, and tells the same.
    ///
    /// # Errors
    /// The store is away.
    pub async fn count(&self, ask: &Ask) -> Result<(Decision, Vec<Told>), Away> {
        match self {
            Self::Embedded(embedded) => Ok((embedded.with_ledger(|ledger, now| ledger.count(now, ask)), Vec::new())),
            Self::Redis(redis) => redis.count(servers_time(), ask).await,
        }
    }

    /// A request is over: one round trip. True: a soft bound of a budget was passed by this.
    ///
    /// # Errors
    /// The store is away.
    pub async fn settle(&self, lease: &Arc<str>, ask: &Ask, settlement: &Settlement) -> Result<bool, Away> {
        match self {
            Self::Embedded(embedded) => {
                Ok(embedded.with_ledger(|ledger, now| ledger.settle(now, lease, ask, settlement)))
            }
            Self::Redis(redis) => redis.settle(servers_time(), lease, ask, settlement).await,
        }
    }

    /// These requests of a tenant are still in progress.
    ///
    /// # Errors
    /// The store is away.
    pub async fn renew(&self, tenant: &str, leases: &[Arc<str>]) -> Result<(), Away> {
        match self {
            Self::Embedded(embedded) => {
                embedded.with_ledger(|ledger, now| ledger.renew(now, leases));
                Ok(())
            }
            Self::Redis(redis) => redis.renew(servers_time(), tenant, leases).await,
        }
    }

    /// What was spent today and this month in a scope, in billionths of a dollar.
    ///
    /// # Errors
    /// The store is away.
    pub async fn spent(&self, tenant: &str, scope: &str) -> Result<(u64, u64), Away> {
        match self {
            Self::Embedded(embedded) => Ok(embedded.with_ledger(|ledger, now| ledger.spent(now, tenant, scope))),
            Self::Redis(redis) => redis.spent(servers_time(), tenant, scope).await,
        }
    }

    /// The key that has this fingerprint, with its tenant: one round trip.
    ///
    /// # Errors
    /// The store is away.
    pub async fn lookup(&self, fingerprint: &Fingerprint) -> Result<Lookup, Away> {
        match self {
            // Nobody wipes it while this process has it open.
            Self::Embedded(embedded) => {
                embedded.lookup(fingerprint).map(|found| Lookup { epoch: String::new(), found })
            }
            Self::Redis(redis) => redis.lookup(fingerprint).await,
        }
    }

    /// The tenant of this id: one round trip.
    ///
    /// # Errors
    /// The store is away.
    pub async fn tenant(&self, id: &str) -> Result<TenantLookup, Away> {
        match self {
            Self::Embedded(embedded) => {
                embedded.get(Collection::Tenants, id).map(|found| TenantLookup { epoch: String::new(), found })
            }
            Self::Redis(redis) => redis.tenant(id).await,
        }
    }

    /// A document.
    ///
    /// # Errors
    /// The store is away.
    pub async fn get(&self, collection: Collection, id: &str) -> Result<Option<String>, Away> {
        match self {
            Self::Embedded(embedded) => embedded.get(collection, id),
            Self::Redis(redis) => redis.get(collection, id).await,
        }
    }

    /// The documents whose ids come after `after`, at most so many, in the order of their ids.
    ///
    /// # Errors
    /// The store is away.
    pub async fn list(&self, collection: Collection, after: &str, most: usize) -> Result<Vec<String>, Away> {
        match self {
            Self::Embedded(embedded) => embedded.list(collection, after, most),
            Self::Redis(redis) => redis.list(collection, after, most).await,
        }
    }

    /// Puts a document and tells every edge. False: somebody else was faster, or a fingerprint leads to another document.
    ///
    /// # Errors
    /// The store is away.
    pub async fn put(&self, put: &Put<'_>) -> Result<bool, Away> {
        match self {
            Self::Embedded(embedded) => embedded.put(put).await,
            Self::Redis(redis) => redis.put(put).await,
        }
    }

    /// Keeps the usage records of a batch, unless they are kept already: one round trip.
    ///
    /// # Errors
    /// The store is away.
    pub async fn append_usage(&self, batch: &Arc<Batch>, config: &UsageConfig) -> Result<Given, Away> {
        match self {
            Self::Embedded(embedded) => embedded.append_usage(batch, config).await,
            Self::Redis(redis) => redis.append_usage(batch, config).await,
        }
    }

    /// What was used in an hour or a day.
    ///
    /// # Errors
    /// The store is away.
    pub async fn sums(&self, period: Period) -> Result<Vec<(Cell, Sums)>, Away> {
        match self {
            Self::Embedded(embedded) => embedded.sums(period).await,
            Self::Redis(redis) => redis.sums(period).await,
        }
    }

    /// The usage records behind the one that is called `after`, at most so many, oldest first, each with what it is called.
    ///
    /// # Errors
    /// The store is away.
    pub async fn usage_records(&self, after: &str, most: usize) -> Result<Vec<(String, String)>, Away> {
        match self {
            Self::Embedded(embedded) => embedded.usage_records(after, most).await,
            Self::Redis(redis) => redis.usage_records(after, most).await,
        }
    }

    /// Whether a text may be what a usage record is called here.
    pub fn may_name_a_record(&self, name: &str) -> bool {
        let is_number = |text: &str| text.parse::<u64>().is_ok();
        match self {
            Self::Embedded(_) => is_number(name),
            Self::Redis(_) => name.split_once('-').is_some_and(|(ms, number)| is_number(ms) && is_number(number)),
        }
    }

    /// Claims a place for the request `owner`, for as long as the lease unless it is renewed: one round trip.
    ///
    /// # Errors
    /// The store is away.
    pub async fn claim(&self, place: &Place, fingerprint: &str, owner: &str, lease: Duration) -> Result<Claimed, Away> {
        match self {
            Self::Embedded(embedded) => embedded.claim(place, fingerprint, owner, lease),
            Self::Redis(redis) => redis.claim(place, fingerprint, owner, lease).await,
        }
    }

    /// The request is still in progress. False: the claim is not its own.
    ///
    /// # Errors
    /// The store is away.
    pub async fn renew_claim(&self, place: &Place, owner: &str, lease: Duration) -> Result<bool, Away> {
        match self {
            Self::Embedded(embedded) => Ok(embedded.renew_claim(place, owner, lease)),
            Self::Redis(redis) => redis.renew_claim(place, owner, lease).await,
        }
    }

    /// The request is over, and another one may run. False: the claim is not its own.
    ///
    /// # Errors
    /// The store is away.
    pub async fn release_claim(&self, place: &Place, owner: &str) -> Result<bool, Away> {
        match self {
            Self::Embedded(embedded) => Ok(embedded.release_claim(place, owner)),
            Self::Redis(redis) => redis.renew_claim(place, owner, Duration::ZERO).await,
        }
    }

    /// Keeps an answer in the place of its claim. False: the claim is not its own, and nothing is kept.
    ///
    /// # Errors
    /// The store is away.
    pub async fn keep_answer(
        &self,
        place: &Place,
        owner: &str,
        answer: Vec<u8>,
        config: &IdempotencyConfig,
    ) -> Result<bool, Away> {
        match self {
            Self::Embedded(embedded) => embedded.keep_answer(place, owner, answer, config).await,
            Self::Redis(redis) => redis.keep_answer(place, owner, &answer, config).await,
        }
    }

    /// Keeps a response, which an edge is at for as long as the lease unless it is over or extended: one round trip. False:
    /// somebody has removed it.
    ///
    /// # Errors
    /// The store is away.
    pub async fn keep_response(
        &self,
        place: &Place,
        kept: &Kept<'_>,
        lease: Duration,
        config: &ResponsesConfig,
    ) -> Result<bool, Away> {
        match self {
            Self::Embedded(embedded) => embedded.keep_response(place, kept, config).await,
            Self::Redis(redis) => redis.keep_response(place, kept, lease, config).await,
        }
    }

    /// More has happened to a response: `more`, behind so many bytes. One round trip, where another edge may ask for it.
    ///
    /// # Errors
    /// The store is away.
    pub async fn extend_response(
        &self,
        place: &Place,
        from: usize,
        more: &[u8],
        lease: Duration,
    ) -> Result<Extended, Away> {
        match self {
            Self::Embedded(_) => Ok(Extended::Kept),
            Self::Redis(redis) => redis.extend_response(place, from, more, lease).await,
        }
    }

    /// A response, with what has happened behind so many bytes: one round trip. Which are in progress only those stores know
    /// that several edges share.
    ///
    /// # Errors
    /// The store is away.
    pub async fn response(&self, place: &Place, from: usize) -> Result<Option<FoundResponse>, Away> {
        match self {
            Self::Embedded(embedded) => embedded.response(place, from).await,
            Self::Redis(redis) => redis.response(place, from).await,
        }
    }

    /// Removes a response. False: there was none.
    ///
    /// # Errors
    /// The store is away.
    pub async fn remove_response(&self, place: &Place) -> Result<bool, Away> {
        match self {
            Self::Embedded(embedded) => embedded.remove_response(place).await,
            Self::Redis(redis) => redis.remove_response(place).await,
        }
    }

    /// Changes a conversation, or makes it: one round trip.
    ///
    /// # Errors
    /// The store is away.
    pub async fn change_conversation(
        &self,
        place: &Place,
        change: ConversationChange,
        config: &ConversationsConfig,
    ) -> Result<Changed, Away> {
        match self {
            Self::Embedded(embedded) => embedded.change_conversation(place, change, config).await,
            Self::Redis(redis) => redis.change_conversation(place, &change, config).await,
        }
    }

    /// A conversation: one round trip.
    ///
    /// # Errors
    /// The store is away.
    pub async fn conversation(&self, place: &Place) -> Result<Option<KeptConversation>, Away> {
        match self {
            Self::Embedded(embedded) => embedded.conversation(place).await,
            Self::Redis(redis) => redis.conversation(place).await,
        }
    }

    /// Removes a conversation with its items. False: there was none.
    ///
    /// # Errors
    /// The store is away.
    pub async fn remove_conversation(&self, place: &Place) -> Result<bool, Away> {
        match self {
            Self::Embedded(embedded) => embedded.remove_conversation(place).await,
            Self::Redis(redis) => redis.remove_conversation(place).await,
        }
    }

    /// Tells the edge that is at a response to end it.
    ///
    /// # Errors
    /// The store is away.
    pub async fn cancel_response(&self, place: &Place) -> Result<(), Away> {
        match self {
            // This process is the edge.
            Self::Embedded(_) => Ok(()),
            Self::Redis(redis) => redis.cancel_response(place).await,
        }
    }

    /// What changes from now on.
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        match self {
            Self::Embedded(embedded) => embedded.changes(),
            Self::Redis(redis) => redis.changes(),
        }
    }

    /// How many edges share this store, this one included, as was last heard.
    pub fn edges(&self) -> u64 {
        match self {
            Self::Embedded(_) => 1,
            Self::Redis(redis) => redis.edges(),
        }
    }
}

impl Collection {
    /// Its name in the store.
    fn name(self) -> &'static str {
        match self {
            Self::Keys => "keys",
            Self::Tenants => "tenants",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Self::Keys, Self::Tenants].into_iter().find(|collection| collection.name() == name)
    }
}

/// The day by this machine's clock, and the moment by the server's, which the edges share: 0 stands for it.
fn servers_time() -> Now {
    Now { ms: 0, ..now() }
}

/// The time by this machine's clock.
pub fn now() -> Now {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let ms = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
    calendar(ms)
}
