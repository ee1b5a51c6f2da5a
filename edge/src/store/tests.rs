//! Both stores do the same: each test runs against the embedded one and against a real server.

mod batches;
mod claims;
mod cluster;
mod conversations;
mod files;
mod responses;
pub mod servers;
mod tls;

use std::time::Duration;

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    runtime::Runtime,
    time::{Instant, sleep},
};

use super::*;
use crate::access::limits::{Amounts, Ledger, Limits, Refused, Scope};
use crate::metrics::StoreMetrics;
use servers::Server;

pub fn metrics() -> StoreMetrics {
    StoreMetrics::register(&mut cloudach_service::metrics::Exposition::new("edge", "cloudach_edge"))
}

async fn open(config: serde_json::Value) -> Store {
    let config: StoreConfig = serde_json::from_value(config).unwrap();
    Store::open(&config, metrics(), &Running::default()).await.unwrap()
}

/// A store in a server, once it is there.
async fn connect(server: &Server) -> Store {
    let config = json!({ "redis": { "url": server.url, "deadline": "5s" }, "pepper": "0123456789abcdef" });
    let store = open(config).await;
    let begun = Instant::now();
    while store.get(Collection::Keys, "").await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(20), "no server");
        sleep(Duration::from_millis(5)).await;
    }
    store
}

/// Runs a test against each kind of store: in memory, on disk, in a server, in a cluster, and behind a Sentinel.
pub fn with_each<F: Future<Output = ()>>(test: impl Fn(Store) -> F) {
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async { test(open(json!({})).await).await });
    let folder = TempDir::new().unwrap();
    runtime.block_on(async { test(open(json!({ "path": folder.path() })).await).await });
    for server in [Server::start(), Server::cluster(), Server::sentinel()] {
        runtime.block_on(async { test(connect(&server).await).await });
    }
}

fn put<'a>(id: &'a str, old: Option<&'a str>, new: Option<&'a str>) -> Put<'a> {
    Put { collection: Collection::Keys, id, old, new, forget: &[], index: &[] }
}

fn scope(name: &str, limits: serde_json::Value) -> Scope {
    let limits = serde_json::from_value(limits).unwrap();
    Scope { name: name.into(), limits, budget: crate::access::limits::Budget::default() }
}

fn ask(scopes: &[Scope], tokens: u64, cost: u64) -> Ask {
    Ask { tenant: "acme".into(), scopes: scopes.into(), amounts: Amounts { tokens, cost } }
}

fn used(tokens: u64, cost: u64) -> Settlement {
    Settlement { used: Amounts { tokens, cost }, late: false }
}

#[test]
fn a_document_takes_the_place_of_the_one_that_was_read() {
    with_each(|store| async move {
        assert_eq!(store.get(Collection::Keys, "k1").await.unwrap(), None);
        assert!(store.put(&put("k1", None, Some("one"))).await.unwrap());
        assert!(!store.put(&put("k1", None, Some("two"))).await.unwrap(), "there is one already");
        assert!(!store.put(&put("k1", Some("two"), Some("three"))).await.unwrap(), "it is not what was read");
        assert!(store.put(&put("k1", Some("one"), Some("two"))).await.unwrap());
        assert_eq!(store.get(Collection::Keys, "k1").await.unwrap().as_deref(), Some("two"));
        assert_eq!(store.get(Collection::Tenants, "k1").await.unwrap(), None);
        assert!(store.put(&put("k1", Some("two"), None)).await.unwrap());
        assert_eq!(store.get(Collection::Keys, "k1").await.unwrap(), None);
        assert_eq!(store.list(Collection::Keys, "", 10).await.unwrap(), [""; 0]);
    });
}

#[test]
fn lists_come_in_pages() {
    with_each(|store| async move {
        for id in ["k3", "k1", "k2"] {
            assert!(store.put(&put(id, None, Some(id))).await.unwrap());
        }
        assert_eq!(store.list(Collection::Keys, "", 2).await.unwrap(), ["k1", "k2"]);
        assert_eq!(store.list(Collection::Keys, "k2", 2).await.unwrap(), ["k3"]);
        assert_eq!(store.list(Collection::Keys, "k3", 2).await.unwrap(), [""; 0]);
    });
}

#[test]
fn a_fingerprint_leads_to_a_key_and_its_tenant() {
    with_each(|store| async move {
        let (first, second) = (Fingerprint("aa".to_owned()), Fingerprint("bb".to_owned()));
        let key = |id| format!(r#"{{"id":"{id}","tenant":"acme"}}"#);
        let (one, two) = (key("k1"), key("k2"));
        let (index, other) = ([first.clone()], [second.clone()]);
        let indexed = |id, old, new, forget, index| Put { forget, index, ..put(id, old, new) };
        assert_eq!(store.lookup(&first).await.unwrap().found, None);
        assert!(store.put(&indexed("k1", None, Some(&one), &[], &index)).await.unwrap());
        assert_eq!(store.lookup(&first).await.unwrap().found, Some(Found { key: one.clone(), tenant: None }));
        assert!(!store.put(&indexed("k2", None, Some(&two), &[], &index)).await.unwrap(), "it is taken");
        assert_eq!(store.get(Collection::Keys, "k2").await.unwrap(), None);
        let tenant = Put { collection: Collection::Tenants, ..put("acme", None, Some("tenant")) };
        assert!(store.put(&tenant).await.unwrap());
        assert!(store.put(&indexed("k1", Some(&one), Some(&one), &index, &other)).await.unwrap());
        assert_eq!(store.lookup(&first).await.unwrap().found, None);
        let found = Found { key: one.clone(), tenant: Some("tenant".to_owned()) };
        assert_eq!(store.lookup(&second).await.unwrap().found, Some(found));
        assert!(store.put(&indexed("k1", Some(&one), None, &other, &[])).await.unwrap());
        assert_eq!(store.lookup(&second).await.unwrap().found, None);
    });
}

#[test]
fn a_tenant_is_found_by_its_id_in_the_same_store_as_keys() {
    with_each(|store| async move {
        // Before any key was looked up: who only ever asks for tenants must notice, too, that the store is another one.
        let TenantLookup { epoch, found } = store.tenant("acme").await.unwrap();
        assert_eq!(found, None);
        assert_eq!(store.lookup(&Fingerprint("aa".to_owned())).await.unwrap().epoch, epoch);
        assert_eq!(epoch.is_empty(), matches!(store, Store::Embedded(_)), "{epoch}");
        let tenant = Put { collection: Collection::Tenants, ..put("acme", None, Some("tenant")) };
        assert!(store.put(&tenant).await.unwrap());
        let there = TenantLookup { epoch, found: Some("tenant".to_owned()) };
        assert_eq!(store.tenant("acme").await.unwrap(), there);
        assert!(store.put(&Put { old: Some("tenant"), new: None, ..tenant }).await.unwrap());
        assert_eq!(store.tenant("acme").await.unwrap(), TenantLookup { found: None, ..there });
    });
}

#[test]
fn changes_are_told() {
    with_each(|store| async move {
        let mut changes = store.changes();
        let change = Change::Document(Collection::Keys, "k".to_owned());
        let begun = Instant::now();
        for number in 0.. {
            let text = number.to_string();
            let old = store.get(Collection::Keys, "k").await.unwrap();
            assert!(store.put(&put("k", old.as_deref(), Some(&text))).await.unwrap());
            // A server's channel is listened to soon after the store is opened.
            while let Ok(told) = tokio::time::timeout(Duration::from_millis(100), changes.recv()).await {
                if told.unwrap() == change {
                    return;
                }
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "nothing is told");
        }
    });
}

#[test]
fn what_is_reserved_is_settled_once() {
    with_each(|store| async move {
        let key = scope("key", json!({ "tokens_per_minute": 1_000_000, "concurrent_requests": 2 }));
        let ask = ask(&[key], 400_000, 70);
        let left = |decision: Decision| decision.standing.tokens.unwrap().remaining / 100_000;
        assert_eq!(left(store.reserve(&"a".into(), &ask).await.unwrap().0), 6);
        // Only a store that is asked over a network may be told twice.
        let times = if matches!(store, Store::Embedded(_)) { 1 } else { 2 };
        for _ in 0..times {
            assert_eq!(left(store.reserve(&"b".into(), &ask).await.unwrap().0), 2);
        }
        let third = store.reserve(&"c".into(), &ask).await.unwrap().0;
        assert_eq!(third.exceeded.unwrap().measure, crate::access::limits::Measure::Concurrent);
        for _ in 0..times {
            store.settle(&"a".into(), &ask, &used(100_000, 5)).await.unwrap();
        }
        assert_eq!(store.spent("acme", "key").await.unwrap(), (5, 5));
        let third = store.reserve(&"c".into(), &ask).await.unwrap().0;
        assert_eq!((left(third), third.exceeded), (1, None));
        store.renew("acme", &["b", "a", "nobody's"].map(Arc::from)).await.unwrap();
        for lease in ["b", "c"] {
            store.settle(&lease.into(), &ask, &used(0, 0)).await.unwrap();
        }
        assert_eq!(left(store.reserve(&"d".into(), &ask).await.unwrap().0), 5);
    });
}

#[test]
fn counts_and_spends_outlive_the_process_and_what_was_held_does_not() {
    let folder = TempDir::new().unwrap();
    let config = json!({ "path": folder.path() });
    let key = scope("key", json!({ "requests_per_day": 5, "tokens_per_day": 1000 }));
    let ask = ask(&[key], 300, 10);
    Runtime::new().unwrap().block_on(async {
        let (config, running) = (serde_json::from_value(config.clone()).unwrap(), Running::default());
        let store = Store::open(&config, metrics(), &running).await.unwrap();
        store.reserve(&"a".into(), &ask).await.unwrap();
        store.settle(&"a".into(), &ask, &used(100, 7)).await.unwrap();
        store.reserve(&"b".into(), &ask).await.unwrap();
        running.kill.cancel();
        running.background.close();
        running.background.wait().await;
    });
    Runtime::new().unwrap().block_on(async {
        let store = open(config).await;
        assert_eq!(store.spent("acme", "key").await.unwrap(), (7, 7));
        let refused = store
            .reserve(&"c".into(), &Ask { amounts: Amounts { tokens: 901, cost: 0 }, ..ask.clone() })
            .await
            .unwrap()
            .0;
        assert!(matches!(refused.exceeded.unwrap().refused, Refused::NotYet { used: 100, .. }), "{refused:?}");
        store.reserve(&"d".into(), &ask).await.unwrap();
        store.reserve(&"e".into(), &ask).await.unwrap();
        let refused = store.reserve(&"f".into(), &ask).await.unwrap().0.exceeded.unwrap();
        assert!(matches!(refused.refused, Refused::NotYet { used: 5, .. }), "{refused:?}");
    });
}

#[test]
fn two_processes_do_not_share_a_folder() {
    let folder = TempDir::new().unwrap();
    Runtime::new().unwrap().block_on(async {
        let config: StoreConfig = serde_json::from_value(json!({ "path": folder.path() })).unwrap();
        let _first = Store::open(&config, metrics(), &Running::default()).await.unwrap();
        let second = Store::open(&config, metrics(), &Running::default()).await;
        assert!(matches!(second, Err(StoreError::Embedded(EmbeddedError::InUse { .. }))));
    });
}

/// One step of what requests do.
#[derive(Debug, Clone)]
enum Step {
    Reserve { lease: u8, key: usize, tokens: u64, cost: u64 },
    Count { key: usize },
    Settle { lease: u8, tokens: u64, cost: u64, late: bool },
    Renew { lease: u8 },
    Wait { milliseconds: i64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..12_u8, 0..3_usize, 0..3000_u64, 0..40_u64)
            .prop_map(|(lease, key, tokens, cost)| Step::Reserve { lease, key, tokens, cost }),
        1 => (0..3_usize).prop_map(|key| Step::Count { key }),
        4 => (0..12_u8, 0..6000_u64, 0..80_u64, any::<bool>())
            .prop_map(|(lease, tokens, cost, late)| Step::Settle { lease, tokens, cost, late }),
        1 => (0..12_u8).prop_map(|lease| Step::Renew { lease }),
        4 => prop_oneof![0..2000_i64, 25_000..35_000_i64, 105_000..125_000_i64, 0..200_000_000_i64]
            .prop_map(|milliseconds| Step::Wait { milliseconds }),
    ];
    prop::collection::vec(step, 1..60)
}

/// The scripts do what the ledger does, step by step, to the last number.
#[test]
fn the_scripts_and_the_ledger_agree() {
    let bound = |soft, hard| json!({ "soft": f64::from(soft) / 1e9, "hard": f64::from(hard) / 1e9 });
    let all = json!({
        "requests_per_minute": 20, "tokens_per_minute": 5000, "requests_per_day": 40, "tokens_per_day": 40_000,
        "concurrent_requests": 4,
    });
    let budget = json!({ "day": bound(100, 200), "month": bound(300, 500) });
    let tenant = Scope { budget: serde_json::from_value(budget).unwrap(), ..scope("tenant", all) };
    let keys = [
        vec![scope("key:1", json!({ "tokens_per_minute": 4_000 })), tenant.clone()],
        vec![scope("key:2", json!({ "requests_per_minute": 7 })), scope("key:2:model:m", json!({})), tenant],
        vec![scope("key:3", json!(Limits::default()))],
    ];
    let (runtime, server) = (Runtime::new().unwrap(), Server::start());
    let Store::Redis(redis) = runtime.block_on(connect(&server)) else { panic!("it is a server") };
    let mut runner = TestRunner::new(Config { cases: 256, ..Config::default() });
    let tenants = std::cell::Cell::new(0);
    let agree = |steps: Vec<Step>| {
        tenants.set(tenants.get() + 1);
        let tenant = format!("tenant-{}", tenants.get());
        let asks = |key: usize, tokens, cost| Ask { tenant: tenant.as_str().into(), ..ask(&keys[key], tokens, cost) };
        let (mut ledger, mut held) = (Ledger::remembering(), std::collections::HashMap::new());
        // A minute before a month ends.
        let mut ms = 1_796_083_140_000;
        for step in steps {
            let now = calendar(ms);
            match step {
                Step::Reserve { lease, key, tokens, cost } => {
                    // A lease is a request's id: never used twice while it is known.
                    let lease: Arc<str> = format!("{lease}-{ms}-{}", held.len()).into();
                    let ask = asks(key, tokens, cost);
                    let theirs = runtime.block_on(redis.reserve(now, &lease, &ask)).unwrap();
                    let own = ledger.reserve(now, &lease, &ask);
                    prop_assert_eq!(theirs, (own, ledger.tell(now, &ask)));
                    held.insert(held.len(), (lease, ask));
                }
                Step::Count { key } => {
                    let ask = asks(key, 0, 0);
                    let theirs = runtime.block_on(redis.count(now, &ask)).unwrap();
                    let own = ledger.count(now, &ask);
                    prop_assert_eq!(theirs, (own, ledger.tell(now, &ask)));
                }
                Step::Settle { lease, tokens, cost, late } => {
                    let Some((lease, ask)) = held.get(&usize::from(lease)) else { continue };
                    let settlement = Settlement { used: Amounts { tokens, cost }, late };
                    let theirs = runtime.block_on(redis.settle(now, lease, ask, &settlement)).unwrap();
                    prop_assert_eq!(theirs, ledger.settle(now, lease, ask, &settlement));
                }
                Step::Renew { lease } => {
                    let Some((lease, _)) = held.get(&usize::from(lease)) else { continue };
                    runtime.block_on(redis.renew(now, &tenant, std::slice::from_ref(lease))).unwrap();
                    ledger.renew(now, [lease]);
                }
                Step::Wait { milliseconds } => ms += milliseconds,
            }
            for scope in ["tenant", "key:1", "key:2"] {
                let theirs = runtime.block_on(redis.spent(now, &tenant, scope)).unwrap();
                prop_assert_eq!(theirs, ledger.spent(now, &tenant, scope));
            }
        }
        Ok(())
    };
    runner.run(&steps(), agree).unwrap();
}
