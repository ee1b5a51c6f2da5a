//! Batches: changed by one at a time, their lines kept once, their files there in the step in which they end, taken by one edge
//! at a time; in both stores.

use cloudach_openai::batches::{Counts, Outcome, Used};

use super::{
    files::{content, later, upload},
    *,
};
use crate::{
    batches::config::BatchesConfig,
    idempotency::Place,
    store::batches::{Created, LastWords, LineDone, LineKept, NewBatch},
};

const LEASE: Duration = Duration::from_secs(30);
const MUCH: u64 = 1 << 30;

fn place(tenant: &str, id: &str) -> Place {
    Place { tenant: tenant.to_owned(), slot: id.to_owned() }
}

fn line(number: u32, outcome: Outcome, text: &str) -> LineDone {
    let used = Used { input: 5, cached: 1, output: 2, reasoning: 0 };
    LineDone { number, outcome, text: text.as_bytes().to_vec(), used }
}

async fn create(store: &Store, place: &Place, config: &BatchesConfig) -> Created {
    let [output, errors] = ["out", "err"].map(|kind| format!("{}-{kind}", place.slot));
    let batch = NewBatch { record: "new", output: &output, errors: &errors, until: later() };
    store.create_batch(place, &batch, config).await.unwrap()
}

fn last_words(id: &str) -> LastWords {
    let file = |kind: &str| (format!("{id}-{kind}"), format!("{id} {kind}"), later());
    LastWords { until: later(), files: vec![file("out"), file("err")] }
}

#[test]
fn a_line_is_kept_once() {
    with_each(|store| async move {
        let here = place("acme", "b1");
        let keep = async |line: LineDone, most| store.keep_line(&here, &line, most).await.unwrap();
        assert_eq!(keep(line(1, Outcome::Completed, "x"), MUCH).await, LineKept::Over, "there is no batch");
        assert_eq!(create(&store, &here, &BatchesConfig::default()).await, Created::Created);
        assert_eq!(keep(line(3, Outcome::Completed, "three\n"), MUCH).await, LineKept::Kept);
        assert_eq!(keep(line(3, Outcome::Completed, "again\n"), MUCH).await, LineKept::Had);
        assert_eq!(keep(line(3, Outcome::Failed, "again\n"), MUCH).await, LineKept::Had);
        assert_eq!(keep(line(7, Outcome::Failed, "seven\n"), 0).await, LineKept::Kept, "errors have room");
        assert_eq!(keep(line(7, Outcome::Completed, "again\n"), MUCH).await, LineKept::Had);
        assert_eq!(keep(line(1, Outcome::Completed, "one\n"), 15).await, LineKept::NoRoom);
        assert_eq!(keep(line(1, Outcome::Completed, "one\n"), 16).await, LineKept::Kept);
        assert_eq!(store.lines_done(&here, 0, 100).await.unwrap(), [1, 3, 7]);
        assert_eq!(store.lines_done(&here, 2, 5).await.unwrap(), [3]);
        let found = store.batch(&here).await.unwrap().unwrap();
        assert_eq!((found.record.as_str(), found.counts), ("new", Counts { completed: 2, failed: 1 }));
        assert_eq!(found.used, Used { input: 15, cached: 3, output: 6, reasoning: 0 });
        assert_eq!(store.batch(&place("other", "b1")).await.unwrap(), None);
        // Its files are nobody's yet.
        let [output, errors] = ["out", "err"].map(|kind| place("acme", &format!("b1-{kind}")));
        assert_eq!(store.file(&output).await.unwrap(), None);
        assert!(!store.change_batch(&here, "other", "over", Some(&last_words("b1"))).await.unwrap());
        assert_eq!(keep(line(9, Outcome::Failed, "nine\n"), MUCH).await, LineKept::Kept, "it is not over");
        assert!(store.change_batch(&here, "new", "over", Some(&last_words("b1"))).await.unwrap());
        assert_eq!(keep(line(10, Outcome::Completed, "late\n"), MUCH).await, LineKept::Over);
        assert_eq!(keep(line(3, Outcome::Completed, "late\n"), MUCH).await, LineKept::Over);
        assert_eq!(content(&store, &output, 10).await.as_deref(), Some(&b"one\nthree\n"[..]));
        assert_eq!(content(&store, &errors, 10).await.as_deref(), Some(&b"seven\nnine\n"[..]));
        let file = store.file(&output).await.unwrap().unwrap();
        assert_eq!((file.record.as_str(), file.bytes), ("b1 out", 10));
        assert_eq!(store.files("acme", "", 9, false).await.unwrap().len(), 2);
        assert!(store.remove_file(&output).await.unwrap());
        assert_eq!(store.batch(&here).await.unwrap().unwrap().record, "over");
    });
}

#[test]
fn a_file_without_lines_is_none() {
    with_each(|store| async move {
        let here = place("acme", "b1");
        create(&store, &here, &BatchesConfig::default()).await;
        assert_eq!(store.keep_line(&here, &line(1, Outcome::Failed, "x\n"), 0).await.unwrap(), LineKept::Kept);
        assert!(store.change_batch(&here, "new", "over", Some(&last_words("b1"))).await.unwrap());
        assert_eq!(store.file(&place("acme", "b1-out")).await.unwrap(), None);
        assert!(store.file(&place("acme", "b1-err")).await.unwrap().is_some());
    });
}

#[test]
fn one_change_goes_before_another() {
    with_each(|store| async move {
        let here = place("acme", "b1");
        assert!(!store.change_batch(&here, "", "x", None).await.unwrap());
        assert!(!store.change_batch(&here, "", "x", Some(&last_words("b1"))).await.unwrap());
        create(&store, &here, &BatchesConfig::default()).await;
        assert!(store.change_batch(&here, "new", "one", None).await.unwrap());
        assert!(!store.change_batch(&here, "new", "two", None).await.unwrap());
        assert_eq!(store.batch(&here).await.unwrap().unwrap().record, "one");
    });
}

#[test]
fn a_tenant_has_so_many_batches() {
    with_each(|store| async move {
        let few = BatchesConfig { open: 2, batches: 3, ..BatchesConfig::default() };
        let end = async |id: &str| {
            assert!(store.change_batch(&place("acme", id), "new", id, Some(&last_words(id))).await.unwrap());
        };
        let list = async |after: &str, most| -> Vec<String> {
            let found = store.batches("acme", after, most).await.unwrap();
            found.into_iter().map(|batch| batch.record).collect()
        };
        for id in ["b1", "b2"] {
            assert_eq!(create(&store, &place("acme", id), &few).await, Created::Created);
        }
        assert_eq!(create(&store, &place("acme", "b3"), &few).await, Created::TooMany);
        assert_eq!(create(&store, &place("other", "b3"), &few).await, Created::Created);
        end("b2").await;
        assert_eq!(create(&store, &place("acme", "b3"), &few).await, Created::Created);
        end("b3").await;
        assert_eq!(list("", 9).await, ["b3", "b2", "new"]);
        assert_eq!(list("", 1).await, ["b3"]);
        assert_eq!(list("b3", 1).await, ["b2"]);
        assert_eq!(create(&store, &place("acme", "b4"), &few).await, Created::Created);
        assert_eq!(list("", 9).await, ["new", "b3", "new"], "the oldest that was over went");
    });
}

#[test]
fn an_open_batch_is_one_edges_at_a_time() {
    with_each(|store| async move {
        let [one, two, three] = [("acme", "b1"), ("acme", "b2"), ("a b", "b3")].map(|(tenant, id)| place(tenant, id));
        let take = async |owner: &str, passed: &[&str], lease| {
            let passed: Vec<String> = passed.iter().map(|tenant| (*tenant).to_owned()).collect();
            store.take_batch(owner, &passed, lease).await.unwrap()
        };
        assert_eq!(take("e1", &[], LEASE).await, None);
        for place in [&one, &two, &three] {
            store.queue_batch(place, Duration::ZERO).await.unwrap();
            // When each came is told apart by milliseconds.
            sleep(Duration::from_millis(2)).await;
        }
        store.queue_batch(&place("acme", "b4"), LEASE).await.unwrap();
        assert_eq!(take("e1", &["acme"], LEASE).await.as_ref(), Some(&three));
        assert_eq!(take("e1", &[], LEASE).await.as_ref(), Some(&one), "who has waited longest");
        assert_eq!(take("e2", &[], Duration::from_millis(50)).await.as_ref(), Some(&two));
        assert_eq!(take("e3", &[], LEASE).await, None, "the fourth is for later");
        assert!(!store.hold_batch(&one, "e2", LEASE).await.unwrap());
        assert!(store.hold_batch(&one, "e1", LEASE).await.unwrap());
        let begun = Instant::now();
        while take("e3", &[], LEASE).await.as_ref() != Some(&two) {
            assert!(begun.elapsed() < Duration::from_secs(20), "its lease does not end");
            sleep(Duration::from_millis(5)).await;
        }
        assert!(!store.hold_batch(&two, "e2", LEASE).await.unwrap(), "it is another's");
        store.leave_batch(&two, "e2").await.unwrap();
        assert_eq!(take("e4", &[], LEASE).await, None);
        store.leave_batch(&two, "e3").await.unwrap();
        assert_eq!(take("e4", &[], LEASE).await.as_ref(), Some(&two));
        store.dequeue_batch(&two).await.unwrap();
        assert!(!store.hold_batch(&two, "e4", LEASE).await.unwrap());
    });
}

#[test]
fn what_a_store_has_lost_from_its_queue_is_put_back() {
    with_each(|store| async move {
        if matches!(store, Store::Embedded(_)) {
            return;
        }
        let here = place("acme", "b1");
        store.recall_batch(&here).await.unwrap();
        assert_eq!(store.take_batch("e1", &[], LEASE).await.unwrap().as_ref(), Some(&here));
        store.recall_batch(&here).await.unwrap();
        assert_eq!(store.take_batch("e2", &[], LEASE).await.unwrap(), None, "what is there stays as it is");
    });
}

#[test]
fn batches_outlive_the_process_and_wait_for_nobody() {
    let folder = TempDir::new().unwrap();
    let config = json!({ "path": folder.path() });
    let here = place("acme", "b1");
    Runtime::new().unwrap().block_on(async {
        let (config, running) = (serde_json::from_value(config.clone()).unwrap(), Running::default());
        let store = Store::open(&config, metrics(), &running).await.unwrap();
        upload(&store, &place("acme", "f1"), b"x").await;
        create(&store, &here, &BatchesConfig::default()).await;
        store.queue_batch(&here, Duration::ZERO).await.unwrap();
        assert_eq!(store.take_batch("e1", &[], LEASE).await.unwrap().as_ref(), Some(&here));
        assert_eq!(store.keep_line(&here, &line(1, Outcome::Completed, "x\n"), MUCH).await.unwrap(), LineKept::Kept);
        running.kill.cancel();
        running.background.close();
        running.background.wait().await;
    });
    Runtime::new().unwrap().block_on(async {
        let store = open(config).await;
        assert_eq!(store.take_batch("e2", &[], LEASE).await.unwrap().as_ref(), Some(&here));
        assert_eq!(store.lines_done(&here, 0, 9).await.unwrap(), [1]);
        assert_eq!(store.keep_line(&here, &line(1, Outcome::Completed, "y\n"), MUCH).await.unwrap(), LineKept::Had);
    });
}
