//! Files: uploaded in pieces, kept for their tenant within its bounds, forgotten in time, in both stores.

use super::*;
use crate::{
    files::config::FilesConfig,
    idempotency::Place,
    store::files::{Added, PIECE_BYTES},
};

fn place(tenant: &str, id: &str) -> Place {
    Place { tenant: tenant.to_owned(), slot: id.to_owned() }
}

/// Milliseconds since 1970, an hour from now.
pub fn later() -> u64 {
    u64::try_from(now().ms).unwrap() + 3_600_000
}

async fn add(store: &Store, place: &Place, number: u32, piece: &[u8], config: &FilesConfig) -> Added {
    store.add_piece(place, number, piece.to_vec(), config).await.unwrap()
}

pub async fn upload(store: &Store, place: &Place, content: &[u8]) {
    assert_eq!(add(store, place, 0, content, &FilesConfig::default()).await, Added::Added);
    assert!(store.keep_file(place, &place.slot, later()).await.unwrap());
}

pub async fn content(store: &Store, place: &Place, last: u32) -> Option<Vec<u8>> {
    let (mut from, mut bytes) = (0, Vec::new());
    while from <= last {
        let pieces = store.pieces(place, from, last).await.unwrap()?;
        assert!(pieces.next > from);
        bytes.extend(pieces.bytes);
        from = pieces.next;
    }
    Some(bytes)
}

#[test]
fn a_file_is_there_when_it_is_whole() {
    with_each(|store| async move {
        let (here, config) = (place("acme", "file-1"), FilesConfig::default());
        let pieces = [vec![b'a'; PIECE_BYTES], vec![b'b'; PIECE_BYTES], b"\xff\0end".to_vec()];
        assert_eq!(add(&store, &here, 1, b"x", &config).await, Added::Gone, "it has no beginning");
        assert!(!store.keep_file(&here, "x", later()).await.unwrap());
        for (number, piece) in (0..).zip(&pieces) {
            // As where the answer to the first time was lost on its way.
            let times = if matches!(store, Store::Embedded(_)) { 1 } else { 2 };
            for _ in 0..times {
                assert_eq!(add(&store, &here, number, piece, &config).await, Added::Added);
            }
        }
        assert_eq!(store.file(&here).await.unwrap(), None);
        assert!(store.files("acme", "", 9, true).await.unwrap().is_empty());
        assert!(!store.hold_file(&here, later()).await.unwrap());
        assert!(store.keep_file(&here, "one", later()).await.unwrap());
        let found = store.file(&here).await.unwrap().unwrap();
        assert_eq!((found.record.as_str(), found.bytes), ("one", 2 * PIECE_BYTES as u64 + 5));
        assert_eq!(content(&store, &here, 2).await, Some(pieces.concat()));
        // Another tenant's of the same name.
        let there = place("other", "file-1");
        assert_eq!((store.file(&there).await.unwrap(), content(&store, &there, 2).await), (None, None));
        assert!(!store.remove_file(&there).await.unwrap());
        assert!(store.remove_file(&here).await.unwrap());
        assert!(!store.remove_file(&here).await.unwrap());
        assert_eq!((store.file(&here).await.unwrap(), content(&store, &here, 2).await), (None, None));
    });
}

#[test]
fn files_are_listed_in_pages() {
    with_each(|store| async move {
        for id in ["f2", "f4", "f1", "f3"] {
            upload(&store, &place("acme", id), b"x").await;
        }
        upload(&store, &place("other", "f0"), b"x").await;
        let list = async |after: &str, most, newest_first| -> Vec<String> {
            let found = store.files("acme", after, most, newest_first).await.unwrap();
            found.into_iter().map(|file| file.record).collect()
        };
        assert_eq!(list("", 3, true).await, ["f4", "f3", "f2"]);
        assert_eq!(list("f2", 3, true).await, ["f1"]);
        assert_eq!(list("", 2, false).await, ["f1", "f2"]);
        assert_eq!(list("f2", 9, false).await, ["f3", "f4"]);
        assert_eq!(list("f25", 1, false).await, ["f3"], "what is not there has its place all the same");
    });
}

#[test]
fn a_tenant_has_room_for_so_much() {
    with_each(|store| async move {
        let small = FilesConfig { tenant_bytes: 10, files: 2, ..FilesConfig::default() };
        let [one, two, three] = ["f1", "f2", "f3"].map(|id| place("acme", id));
        assert_eq!(add(&store, &one, 0, b"123456", &small).await, Added::Added);
        assert_eq!(add(&store, &one, 1, b"1234", &small).await, Added::Added, "to the last byte");
        assert_eq!(add(&store, &two, 0, b"1", &small).await, Added::TooLarge);
        assert_eq!(add(&store, &place("other", "f1"), 0, b"1234567890", &small).await, Added::Added);
        assert_eq!(add(&store, &one, 2, b"1", &small).await, Added::TooLarge);
        assert_eq!(add(&store, &one, 3, b"", &small).await, Added::Gone, "what was too large is not kept");
        assert_eq!(add(&store, &one, 0, b"123456", &small).await, Added::Added, "its room is free again");
        assert_eq!(add(&store, &two, 0, b"1", &small).await, Added::Added);
        assert_eq!(add(&store, &three, 0, b"", &small).await, Added::TooMany);
        assert!(!store.remove_file(&two).await.unwrap(), "it was not kept");
        assert_eq!(add(&store, &three, 0, b"1234", &small).await, Added::Added);
    });
}

#[test]
fn files_end() {
    with_each(|store| async move {
        let few = FilesConfig { files: 2, upload_time: Duration::from_millis(50), ..FilesConfig::default() };
        let (given_up, short) = (place("acme", "f1"), place("acme", "f2"));
        assert_eq!(add(&store, &given_up, 0, b"x", &few).await, Added::Added);
        upload(&store, &short, b"x").await;
        assert!(store.keep_file(&short, "short", later() - 3_599_950).await.unwrap());
        let begun = Instant::now();
        while add(&store, &place("acme", "f3"), 0, b"x", &few).await == Added::TooMany {
            assert!(begun.elapsed() < Duration::from_secs(20), "they do not end");
            sleep(Duration::from_millis(5)).await;
        }
        sleep(Duration::from_millis(60)).await;
        assert_eq!(store.files("acme", "", 9, true).await.unwrap(), []);
        assert!(!store.keep_file(&given_up, "late", later()).await.unwrap());
        // What a batch needs stays.
        let held = place("acme", "f4");
        upload(&store, &held, b"held").await;
        assert!(store.keep_file(&held, "held", later() - 3_599_900).await.unwrap());
        assert!(store.hold_file(&held, later()).await.unwrap());
        sleep(Duration::from_millis(150)).await;
        assert_eq!(content(&store, &held, 0).await.as_deref(), Some(&b"held"[..]));
    });
}

#[test]
fn files_outlive_the_process() {
    let folder = TempDir::new().unwrap();
    let config = json!({ "path": folder.path() });
    let here = place("acme", "f1");
    Runtime::new().unwrap().block_on(async {
        let (config, running) = (serde_json::from_value(config.clone()).unwrap(), Running::default());
        let store = Store::open(&config, metrics(), &running).await.unwrap();
        upload(&store, &here, b"kept").await;
        running.kill.cancel();
        running.background.close();
        running.background.wait().await;
    });
    Runtime::new().unwrap().block_on(async {
        let store = open(config).await;
        assert_eq!(content(&store, &here, 0).await.as_deref(), Some(&b"kept"[..]));
    });
}
