//! Requests with idempotency keys: claimed by one, answered for all, in both stores.

use super::*;
use crate::idempotency::{Place, config::IdempotencyConfig};

const LEASE: Duration = Duration::from_secs(30);

fn place(tenant: &str, slot: &str) -> Place {
    Place { tenant: tenant.to_owned(), slot: slot.to_owned() }
}

fn keeping(answers: usize, age: Duration) -> IdempotencyConfig {
    IdempotencyConfig { answers, age, ..IdempotencyConfig::default() }
}

#[test]
fn a_claim_is_one_requests_until_it_is_answered_or_given_back() {
    with_each(|store| async move {
        let (here, config) = (place("acme", "slot"), IdempotencyConfig::default());
        let claim = async |owner: &str, fingerprint: &str| store.claim(&here, fingerprint, owner, LEASE).await.unwrap();
        assert_eq!(claim("a", "f").await, Claimed::Begun);
        assert_eq!(claim("b", "f").await, Claimed::Running);
        assert_eq!(claim("b", "g").await, Claimed::Other);
        // As where the answer was lost on its way.
        if !matches!(store, Store::Embedded(_)) {
            assert_eq!(claim("a", "f").await, Claimed::Begun);
        }
        // Only its own may do something with it.
        assert!(!store.release_claim(&here, "b").await.unwrap());
        assert!(!store.renew_claim(&here, "b", LEASE).await.unwrap());
        assert!(!store.keep_answer(&here, "b", b"b".to_vec(), &config).await.unwrap());
        assert_eq!(claim("b", "f").await, Claimed::Running);
        assert!(store.renew_claim(&here, "a", LEASE).await.unwrap());
        assert!(store.release_claim(&here, "a").await.unwrap());
        assert!(!store.keep_answer(&here, "a", b"a".to_vec(), &config).await.unwrap(), "it was given back");
        assert_eq!(claim("c", "g").await, Claimed::Begun);
        let answer = [&b"{}\n\xff\0"[..], &[b'x'; 300_000]].concat();
        assert!(store.keep_answer(&here, "c", answer.clone(), &config).await.unwrap());
        assert!(!store.release_claim(&here, "c").await.unwrap(), "an answer stays");
        assert!(!store.renew_claim(&here, "c", LEASE).await.unwrap());
        assert_eq!(claim("d", "g").await, Claimed::Answered(answer.clone()));
        assert_eq!(claim("d", "f").await, Claimed::Other);
        // Another tenant's of the same name, and another's name.
        assert_eq!(store.claim(&place("other", "slot"), "g", "e", LEASE).await.unwrap(), Claimed::Begun);
        assert_eq!(store.claim(&place("acme", "slot2"), "g", "e", LEASE).await.unwrap(), Claimed::Begun);
    });
}

#[test]
fn claims_and_answers_end() {
    with_each(|store| async move {
        let (here, short) = (place("acme", "slot"), Duration::from_millis(100));
        assert_eq!(store.claim(&here, "f", "a", short).await.unwrap(), Claimed::Begun);
        until_begun(&store, &here, "b").await;
        assert!(!store.keep_answer(&here, "a", b"late".to_vec(), &keeping(9, LEASE)).await.unwrap(), "it is another's");
        assert!(store.keep_answer(&here, "b", b"in time".to_vec(), &keeping(9, short)).await.unwrap());
        until_begun(&store, &here, "c").await;
    });
}

async fn until_begun(store: &Store, place: &Place, owner: &str) {
    let begun = Instant::now();
    while store.claim(place, "f", owner, LEASE).await.unwrap() != Claimed::Begun {
        assert!(begun.elapsed() < Duration::from_secs(20), "it does not end");
        sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn a_tenant_keeps_its_latest_answers() {
    with_each(|store| async move {
        let keep = async |tenant: &str, slot: &str| {
            let here = place(tenant, slot);
            assert_eq!(store.claim(&here, "f", "a", LEASE).await.unwrap(), Claimed::Begun);
            assert!(store.keep_answer(&here, "a", slot.as_bytes().to_vec(), &keeping(2, LEASE)).await.unwrap());
            // Ends are told apart by milliseconds.
            sleep(Duration::from_millis(2)).await;
        };
        keep("other", "s0").await;
        for slot in ["s3", "s1", "s2"] {
            keep("acme", slot).await;
        }
        for slot in ["s1", "s2"] {
            let answer = Claimed::Answered(slot.as_bytes().to_vec());
            assert_eq!(store.claim(&place("acme", slot), "f", "b", LEASE).await.unwrap(), answer);
        }
        let found = store.claim(&place("other", "s0"), "f", "b", LEASE).await.unwrap();
        assert_eq!(found, Claimed::Answered(b"s0".to_vec()));
        assert_eq!(
            store.claim(&place("acme", "s3"), "f", "b", LEASE).await.unwrap(),
            Claimed::Begun,
            "the oldest went"
        );
    });
}

#[test]
fn answers_outlive_the_process_and_claims_do_not() {
    let folder = TempDir::new().unwrap();
    let config = json!({ "path": folder.path() });
    Runtime::new().unwrap().block_on(async {
        let (config, running) = (serde_json::from_value(config.clone()).unwrap(), Running::default());
        let store = Store::open(&config, metrics(), &running).await.unwrap();
        for slot in ["kept", "running"] {
            assert_eq!(store.claim(&place("acme", slot), "f", "a", LEASE).await.unwrap(), Claimed::Begun);
        }
        let (here, config) = (place("acme", "kept"), IdempotencyConfig::default());
        assert!(store.keep_answer(&here, "a", b"answer".to_vec(), &config).await.unwrap());
        running.kill.cancel();
        running.background.close();
        running.background.wait().await;
    });
    Runtime::new().unwrap().block_on(async {
        let store = open(config).await;
        let found = store.claim(&place("acme", "kept"), "f", "b", LEASE).await.unwrap();
        assert_eq!(found, Claimed::Answered(b"answer".to_vec()));
        assert_eq!(store.claim(&place("acme", "running"), "f", "b", LEASE).await.unwrap(), Claimed::Begun);
    });
}
