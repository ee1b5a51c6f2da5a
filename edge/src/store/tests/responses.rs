//! Responses: kept for their tenant, extended by the edge that is at them, forgotten in time, in both stores.

use super::*;
use crate::{
    idempotency::Place,
    responses::{
        config::ResponsesConfig,
        kept::{Extended, Kept, Stage},
    },
};

const LEASE: Duration = Duration::from_secs(30);

fn place(tenant: &str, id: &str) -> Place {
    Place { tenant: tenant.to_owned(), slot: id.to_owned() }
}

fn kept<'a>(record: &'a str, log: &'a str, stage: Stage) -> Kept<'a> {
    Kept { record: record.as_bytes(), log: log.as_bytes(), stage, ancestors: &[] }
}

async fn found(store: &Store, place: &Place, from: usize) -> Option<(String, String)> {
    let found = store.response(place, from).await.unwrap()?;
    Some((String::from_utf8(found.record).unwrap(), String::from_utf8(found.log).unwrap()))
}

fn pair(record: &str, log: &str) -> Option<(String, String)> {
    Some((record.to_owned(), log.to_owned()))
}

#[test]
fn a_response_is_kept_from_its_beginning_to_its_end() {
    with_each(|store| async move {
        let (here, config) = (place("acme", "r1"), ResponsesConfig::default());
        let keep =
            async |place: &Place, what: Kept<'_>| store.keep_response(place, &what, LEASE, &config).await.unwrap();
        assert_eq!(found(&store, &here, 0).await, None);
        assert!(!keep(&here, kept("a", "never", Stage::Ended)).await, "it was not kept from its beginning");
        assert!(keep(&here, kept("a", "", Stage::Begun)).await);
        assert_eq!(found(&store, &here, 0).await, pair("a", ""));
        assert!(keep(&here, kept("a", "0123456789\u{fc}\n", Stage::Ended)).await);
        assert_eq!(found(&store, &here, 0).await, pair("a", "0123456789\u{fc}\n"));
        assert_eq!(found(&store, &here, 4).await, pair("a", "456789\u{fc}\n"));
        assert_eq!(found(&store, &here, 13).await, pair("a", ""));
        assert_eq!(found(&store, &here, 99).await, pair("a", ""));
        assert!(!store.response(&here, 0).await.unwrap().unwrap().is_running);
        // Another tenant's of the same name, and another's name.
        assert_eq!(found(&store, &place("other", "r1"), 0).await, None);
        assert!(!store.remove_response(&place("other", "r1")).await.unwrap());
        assert!(keep(&place("acme", "r2"), kept("b", "x", Stage::Whole)).await);
        assert!(store.remove_response(&here).await.unwrap());
        assert!(!store.remove_response(&here).await.unwrap());
        assert_eq!(found(&store, &here, 0).await, None);
        assert_eq!(found(&store, &place("acme", "r2"), 0).await, pair("b", "x"));
    });
}

#[test]
fn what_happens_elsewhere_is_told_by_a_store_that_is_shared() {
    with_each(|store| async move {
        if matches!(store, Store::Embedded(_)) {
            return;
        }
        let (here, config) = (place("acme", "r1"), ResponsesConfig::default());
        let extend = async |from: usize, more: &str, lease| {
            store.extend_response(&here, from, more.as_bytes(), lease).await.unwrap()
        };
        assert_eq!(extend(0, "x", LEASE).await, Extended::Gone);
        assert_eq!(found(&store, &here, 0).await, None, "what is gone is not made again");
        assert!(store.keep_response(&here, &kept("a", "", Stage::Begun), LEASE, &config).await.unwrap());
        assert_eq!(extend(0, "one ", LEASE).await, Extended::Kept);
        // Said twice, because nobody knows whether it was heard.
        assert_eq!(extend(4, "two ", LEASE).await, Extended::Kept);
        assert_eq!(extend(4, "two three ", LEASE).await, Extended::Kept);
        assert_eq!(found(&store, &here, 4).await, pair("a", "two three "));
        assert!(store.response(&here, 0).await.unwrap().unwrap().is_running);
        assert_eq!(extend(14, "", Duration::ZERO).await, Extended::Kept);
        assert!(!store.response(&here, 0).await.unwrap().unwrap().is_running, "its edge says nothing any more");
        store.cancel_response(&here).await.unwrap();
        assert_eq!(extend(14, "four", LEASE).await, Extended::Cancelled);
        assert!(store.keep_response(&here, &kept("a", "all", Stage::Ended), LEASE, &config).await.unwrap());
        assert_eq!(found(&store, &here, 0).await, pair("a", "all"));
        assert_eq!(extend(3, "x", LEASE).await, Extended::Gone, "it is over");
        // Nobody ends what is over.
        store.cancel_response(&here).await.unwrap();
        assert_eq!(found(&store, &here, 0).await, pair("a", "all"));
    });
}

#[test]
fn a_tenant_keeps_its_latest_responses_and_what_they_go_on_from() {
    with_each(|store| async move {
        let few = ResponsesConfig { responses: 3, ..ResponsesConfig::default() };
        let keep = async |tenant: &str, id: &str, ancestors: &[String]| {
            let what = Kept { ancestors, ..kept(id, "", Stage::Whole) };
            assert!(store.keep_response(&place(tenant, id), &what, LEASE, &few).await.unwrap());
            // Ends are told apart by milliseconds.
            sleep(Duration::from_millis(2)).await;
        };
        keep("other", "r0", &[]).await;
        for id in ["r9", "r1", "r2"] {
            keep("acme", id, &[]).await;
        }
        keep("acme", "r3", &["r9".to_owned(), "gone".to_owned()]).await;
        for (id, is_kept) in [("r9", true), ("r1", false), ("r2", true), ("r3", true), ("gone", false)] {
            assert_eq!(found(&store, &place("acme", id), 0).await.is_some(), is_kept, "{id}");
        }
        assert!(found(&store, &place("other", "r0"), 0).await.is_some());
    });
}

#[test]
fn responses_end() {
    with_each(|store| async move {
        let short = ResponsesConfig { keep: Duration::from_millis(100), ..ResponsesConfig::default() };
        let here = place("acme", "r1");
        assert!(store.keep_response(&here, &kept("a", "b", Stage::Whole), LEASE, &short).await.unwrap());
        let begun = Instant::now();
        while found(&store, &here, 0).await.is_some() {
            assert!(begun.elapsed() < Duration::from_secs(20), "it does not end");
            sleep(Duration::from_millis(5)).await;
        }
    });
}
