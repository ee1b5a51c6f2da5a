//! Conversations: made, added to, changed and forgotten, alike in both stores.

use super::*;
use crate::{
    conversations::{
        config::ConversationsConfig,
        kept::{Change as Changing, Changed, Kept},
    },
    idempotency::Place,
};

fn place(tenant: &str, id: &str) -> Place {
    Place { tenant: tenant.to_owned(), slot: id.to_owned() }
}

fn texts(items: &[&str]) -> Vec<Vec<u8>> {
    items.iter().map(|item| item.as_bytes().to_vec()).collect()
}

fn making(record: &str, items: &[&str]) -> Changing {
    Changing { makes: true, record: Some(record.as_bytes().to_vec()), ..adding(items) }
}

fn adding(items: &[&str]) -> Changing {
    Changing { add: texts(items), most_items: 4, most_bytes: 40, ..Changing::default() }
}

fn removing(item: &str) -> Changing {
    Changing { remove: Some(item.as_bytes().to_vec()), ..Changing::default() }
}

fn kept(record: &str, items: &[&str]) -> Option<Kept> {
    Some(Kept { record: record.as_bytes().to_vec(), items: texts(items) })
}

#[test]
fn a_conversation_is_made_added_to_and_removed() {
    with_each(|store| async move {
        let (here, config) = (place("acme", "c1"), ConversationsConfig::default());
        let change =
            async |place: &Place, change: Changing| store.change_conversation(place, change, &config).await.unwrap();
        let found = async |place: &Place| store.conversation(place).await.unwrap();
        assert_eq!(found(&here).await, None);
        assert_eq!(change(&here, adding(&["\"a\""])).await, Changed::Gone, "there is none");
        assert_eq!(found(&here).await, None);
        assert_eq!(change(&here, making("r", &[])).await, Changed::Done);
        assert_eq!(found(&here).await, kept("r", &[]));
        assert_eq!(change(&here, adding(&["\"a\"", "\"b\u{fc}\\n\""])).await, Changed::Done);
        assert_eq!(change(&here, adding(&["\"a\""])).await, Changed::Done, "twice the same text");
        assert_eq!(found(&here).await, kept("r", &["\"a\"", "\"b\u{fc}\\n\"", "\"a\""]));
        assert_eq!(change(&here, removing("\"a\"")).await, Changed::Done);
        assert_eq!(found(&here).await, kept("r", &["\"b\u{fc}\\n\"", "\"a\""]), "one of the two");
        assert_eq!(change(&here, removing("\"x\"")).await, Changed::Gone);
        let described = Changing { record: Some(b"s".to_vec()), ..Changing::default() };
        assert_eq!(change(&here, described).await, Changed::Done);
        assert_eq!(found(&here).await, kept("s", &["\"b\u{fc}\\n\"", "\"a\""]));
        // Another tenant's of the same name.
        assert_eq!(found(&place("other", "c1")).await, None);
        assert_eq!(change(&place("other", "c1"), adding(&["\"a\""])).await, Changed::Gone);
        assert!(!store.remove_conversation(&place("other", "c1")).await.unwrap());
        assert!(store.remove_conversation(&here).await.unwrap());
        assert!(!store.remove_conversation(&here).await.unwrap());
        assert_eq!(found(&here).await, None);
        assert_eq!(change(&here, adding(&["\"a\""])).await, Changed::Gone);
        assert_eq!(change(&here, making("t", &["\"c\""])).await, Changed::Done);
        assert_eq!(found(&here).await, kept("t", &["\"c\""]), "nothing is left of the one before");
    });
}

#[test]
fn what_does_not_fit_changes_nothing() {
    with_each(|store| async move {
        let (here, config) = (place("acme", "c1"), ConversationsConfig::default());
        let change = async |change: Changing| store.change_conversation(&here, change, &config).await.unwrap();
        assert_eq!(change(making("r", &["1", "2", "3", "4", "5"])).await, Changed::Full);
        assert_eq!(store.conversation(&here).await.unwrap(), None);
        assert_eq!(change(making("r", &["1", "2", "3"])).await, Changed::Done);
        assert_eq!(change(adding(&["4", "5"])).await, Changed::Full);
        assert_eq!(change(adding(&[&"x".repeat(38)])).await, Changed::Full);
        assert_eq!(change(adding(&[&"x".repeat(37)])).await, Changed::Done, "to the byte");
        assert_eq!(change(removing("2")).await, Changed::Done);
        assert_eq!(change(adding(&["ab"])).await, Changed::Full);
        assert_eq!(change(adding(&["b"])).await, Changed::Done, "what is gone counts no more");
        // A response that had begun before.
        let larger = Changing { most_items: 8, most_bytes: 80, ..adding(&["c", "d"]) };
        assert_eq!(change(larger).await, Changed::Done);
        assert_eq!(store.conversation(&here).await.unwrap().unwrap().items.len(), 6);
    });
}

#[test]
fn a_tenant_keeps_its_latest_conversations() {
    with_each(|store| async move {
        let few = ConversationsConfig { conversations: 2, ..ConversationsConfig::default() };
        let change = async |tenant: &str, id: &str, change: Changing| {
            assert_eq!(store.change_conversation(&place(tenant, id), change, &few).await.unwrap(), Changed::Done);
            // Ends are told apart by milliseconds.
            sleep(Duration::from_millis(2)).await;
        };
        change("other", "c0", making("r", &[])).await;
        change("acme", "c9", making("r", &["1"])).await;
        change("acme", "c1", making("r", &["1"])).await;
        change("acme", "c9", adding(&["2"])).await;
        change("acme", "c2", making("r", &["1"])).await;
        for (tenant, id, is_kept) in
            [("acme", "c9", true), ("acme", "c1", false), ("acme", "c2", true), ("other", "c0", true)]
        {
            assert_eq!(store.conversation(&place(tenant, id)).await.unwrap().is_some(), is_kept, "{id}");
        }
    });
}

#[test]
fn conversations_end() {
    with_each(|store| async move {
        let short = ConversationsConfig { keep: Duration::from_millis(100), ..ConversationsConfig::default() };
        let here = place("acme", "c1");
        store.change_conversation(&here, making("r", &["1"]), &short).await.unwrap();
        let begun = Instant::now();
        while store.conversation(&here).await.unwrap().is_some() {
            assert!(begun.elapsed() < Duration::from_secs(20), "it does not end");
            sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(store.change_conversation(&here, adding(&["2"]), &short).await.unwrap(), Changed::Gone);
    });
}
