//! A cluster of several nodes: whatever is asked touches one slot, and what is published is heard at every node.

use super::*;
use crate::{
    conversations::{
        config::ConversationsConfig,
        kept::{Change as Changing, Changed},
    },
    idempotency::{Place, config::IdempotencyConfig},
};
use servers::tell;

#[test]
fn three_nodes_do_what_one_does() {
    let (server, ports) = Server::cluster_of_three();
    Runtime::new().unwrap().block_on(async {
        let store = connect(&server).await;
        // Enough that every node has some of them.
        for number in 0..30 {
            let ask = Ask {
                tenant: format!("tenant-{number}").into(),
                ..ask(&[everything("key"), everything("tenant")], 100, 7)
            };
            assert_eq!(store.reserve(&"a".into(), &ask).await.unwrap().0.exceeded, None);
            store.renew(&ask.tenant, &["a".into()]).await.unwrap();
            store.settle(&"a".into(), &ask, &used(50, 5)).await.unwrap();
            store.count(&ask).await.unwrap();
            assert_eq!(store.spent(&ask.tenant, "tenant").await.unwrap(), (5, 5));
            let (place, lease) =
                (Place { tenant: ask.tenant.to_string(), slot: "slot".to_owned() }, Duration::from_secs(30));
            assert_eq!(store.claim(&place, "f", "a", lease).await.unwrap(), Claimed::Begun);
            assert!(store.renew_claim(&place, "a", lease).await.unwrap());
            let config = IdempotencyConfig { answers: 1, ..IdempotencyConfig::default() };
            assert!(store.keep_answer(&place, "a", b"answer".to_vec(), &config).await.unwrap());
            let other = Place { slot: "other".to_owned(), ..place };
            assert_eq!(store.claim(&other, "f", "a", lease).await.unwrap(), Claimed::Begun);
            assert!(store.keep_answer(&other, "a", b"answer".to_vec(), &config).await.unwrap());
            let config = ConversationsConfig { conversations: 1, ..ConversationsConfig::default() };
            for place in [&other, &Place { slot: "third".to_owned(), ..other.clone() }] {
                let made = Changing { makes: true, record: Some(b"r".to_vec()), ..Changing::default() };
                assert_eq!(store.change_conversation(place, made, &config).await.unwrap(), Changed::Done);
                assert!(store.conversation(place).await.unwrap().is_some());
                sleep(Duration::from_millis(2)).await;
            }
            assert!(store.conversation(&other).await.unwrap().is_none(), "the older one is forgotten");
        }
        let mut changes = store.changes();
        let index = [Fingerprint("aa".to_owned())];
        assert!(store.put(&Put { index: &index, ..put("k1", None, Some(r#"{"tenant":"acme"}"#)) }).await.unwrap());
        assert!(store.lookup(&index[0]).await.unwrap().found.is_some());
        assert_eq!(store.list(Collection::Keys, "", 5).await.unwrap().len(), 1);
        let change = Change::Document(Collection::Keys, "k1".to_owned());
        let told = async { while changes.recv().await.unwrap() != change {} };
        let is_told = tokio::time::timeout(Duration::from_secs(20), told).await.is_ok();
        assert!(is_told || is_told_again(&store).await, "what is published is heard");
    });
    for port in &ports {
        let size = tell(port, "DBSIZE");
        assert!(size.starts_with(':') && size.trim() != ":0", "every node has a part: {size}");
    }
}

/// The first may have come before anybody listened.
async fn is_told_again(store: &Store) -> bool {
    let mut changes = store.changes();
    assert!(store.put(&put("k2", None, Some("two"))).await.unwrap());
    let change = Change::Document(Collection::Keys, "k2".to_owned());
    let told = async { while changes.recv().await.unwrap() != change {} };
    tokio::time::timeout(Duration::from_secs(20), told).await.is_ok()
}

fn everything(name: &str) -> Scope {
    let limits = json!({
        "requests_per_minute": 1000, "tokens_per_minute": 100_000, "requests_per_day": 1000, "tokens_per_day": 100_000,
        "concurrent_requests": 9,
    });
    scope(name, limits)
}
