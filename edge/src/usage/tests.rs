use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    io::Write,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use cloudach_service::stop::Running;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tempfile::TempDir;
use tokio::{runtime::Runtime, task::JoinSet, time::sleep};

use super::{
    batch::Batch,
    config::UsageConfig,
    entry::Entry,
    keeper::{Given, Keep, Keeper},
    sums::{Cell, Period, Sums},
};
use crate::{
    metrics::{Endpoint, Outcome, UsageMetrics},
    store::{
        Store,
        config::StoreConfig,
        now,
        tests::{metrics, servers::program, with_each},
    },
};

/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Variables that tell the child process what to do.
const CHILD_FOLDER: &str = "CLOUDACH_TEST_USAGE_FOLDER";
const CHILD_SOCKET: &str = "CLOUDACH_TEST_USAGE_SOCKET";

/// A server whose data outlives it: what it has confirmed is on disk.
struct LastingServer<'a> {
    child: Child,
    folder: &'a Path,
}

impl<'a> LastingServer<'a> {
    fn start(folder: &'a Path) -> Self {
        let child = Command::new(program())
            .args(["--port", "0", "--save", "", "--appendonly", "yes", "--appendfsync", "always", "--dir"])
            .arg(folder)
            .arg("--unixsocket")
            .arg(folder.join("socket"))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, folder }
    }

    fn store_config(&self) -> StoreConfig {
        store_config(&self.folder.join("socket"))
    }

    /// Stops it in the middle of whatever it does, until it is thawed.
    fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for LastingServer<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn store_config(socket: &Path) -> StoreConfig {
    let url = format!("redis+unix://{}", socket.display());
    let config = json!({ "redis": { "url": url, "deadline": "5s" }, "pepper": "0123456789abcdef" });
    serde_json::from_value(config).unwrap()
}

fn entry(number: u64) -> Entry<'static> {
    Entry {
        request_id: format!("req_{number}").into(),
        ended: u64::try_from(now().ms).unwrap(),
        endpoint: Endpoint::ChatCompletions,
        tenant: "acme".into(),
        key_id: format!("key_{}", number % 3).into(),
        key: "k".into(),
        model: "m".into(),
        replica: "r".into(),
        outcome: if number.is_multiple_of(2) { Outcome::Served } else { Outcome::Abandoned },
        prompt_tokens: 10,
        cached_tokens: 4,
        completion_tokens: number,
        reasoning_tokens: 1,
        engine_prompt_tokens: 11,
        engine_cached_tokens: 4,
        engine_completion_tokens: number,
        cost: 7,
        queue_ms: Some(1),
        first_token_ms: Some(2),
        duration_ms: 3,
    }
}

impl Keep for Entry<'static> {
    fn tell(&self, lines: &mut Vec<u8>) {
        self.append_to(lines);
    }
}

fn batch(segment: &str, from: u64, entries: &[Entry<'_>]) -> Arc<Batch> {
    let mut lines = Vec::new();
    entries.iter().for_each(|entry| entry.append_to(&mut lines));
    Arc::new(Batch::of(segment.to_owned(), from, &lines))
}

/// Every record that the store has, in its order.
async fn records(store: &Store) -> Vec<Entry<'static>> {
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let page = store.usage_records(&after, 1000).await.unwrap();
        let Some((last, _)) = page.last() else { return all };
        after.clone_from(last);
        // For the rest of a test.
        all.extend(page.into_iter().map(|(_, text)| Entry::of_line(text.leak()).unwrap()));
    }
}

/// The sums of the days on which these ended.
async fn day_sums(store: &Store, entries: &[Entry<'_>]) -> BTreeMap<(Period, Cell), Sums> {
    let days: BTreeSet<Period> = entries.iter().map(|entry| Period::of(entry.ended)[1]).collect();
    let mut all = BTreeMap::new();
    for day in days {
        all.extend(store.sums(day).await.unwrap().into_iter().map(|(cell, sums)| ((day, cell), sums)));
    }
    all
}

fn added(entries: &[Entry<'_>], which: usize) -> BTreeMap<(Period, Cell), Sums> {
    let mut all: BTreeMap<(Period, Cell), Sums> = BTreeMap::new();
    for entry in entries {
        *all.entry((Period::of(entry.ended)[which], Cell::of(entry))).or_default() += Sums::of(entry);
    }
    all
}

/// The store has each of so many records once, and its sums are of these.
async fn assert_each_once(store: &Store, count: u64) {
    let kept = records(store).await;
    let ids: BTreeSet<&str> = kept.iter().map(|entry| &*entry.request_id).collect();
    assert_eq!((kept.len() as u64, ids.len() as u64), (count, count), "records, and different ones");
    assert_eq!(day_sums(store, &kept).await, added(&kept, 1));
}

async fn open(config: &StoreConfig, running: &Running) -> Store {
    Store::open(config, metrics(), running).await.unwrap()
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        sleep(Duration::from_millis(10)).await;
    }
}

async fn end(running: Running) {
    running.kill.cancel();
    running.background.close();
    running.background.wait().await;
}

#[test]
fn a_batch_is_added_once() {
    with_each(|store| async move {
        let config = UsageConfig::default();
        let entries: Vec<Entry<'_>> = (0..5).map(entry).collect();
        let first = batch("a", 0, &entries[..3]);
        let given = Given { segment: "a".to_owned(), to: first.to, records: 3, unreadable: 0 };
        assert_eq!(store.append_usage(&first, &config).await.unwrap(), given);
        store.append_usage(&first, &config).await.unwrap();
        let overlapping = store.append_usage(&batch("a", 0, &entries), &config).await.unwrap();
        assert_eq!((overlapping.to, overlapping.records), (first.to, 0), "told where to go on");
        let second = batch("a", first.to, &entries[3..]);
        assert_eq!(store.append_usage(&second, &config).await.unwrap().to, second.to);
        assert_eq!(store.append_usage(&first, &config).await.unwrap().to, second.to);
        assert_each_once(&store, 5).await;
        let mut hours = BTreeMap::new();
        for hour in entries.iter().map(|entry| Period::of(entry.ended)[0]).collect::<BTreeSet<_>>() {
            hours.extend(store.sums(hour).await.unwrap().into_iter().map(|(cell, sums)| ((hour, cell), sums)));
        }
        assert_eq!(hours, added(&entries, 0));
        // Another edge's, at the same place in its own segment.
        store.append_usage(&batch("b", 0, &[entry(9)]), &config).await.unwrap();
        assert_each_once(&store, 6).await;
    });
}

#[test]
fn records_are_bounded_and_sums_are_not_touched_by_that() {
    with_each(|store| async move {
        let config = UsageConfig { records: 100, ..UsageConfig::default() };
        let mut from = 0;
        for round in 0..10 {
            let entries: Vec<Entry<'_>> = (round * 100..round * 100 + 100).map(entry).collect();
            let batch = batch("a", from, &entries);
            from = store.append_usage(&batch, &config).await.unwrap().to;
        }
        let kept = records(&store).await;
        assert_eq!(kept.len(), 100);
        let sums = day_sums(&store, &kept).await;
        assert_eq!(sums.values().map(|sums| sums.requests).sum::<u64>(), 1000);

        let old = Entry { ended: 1, ..entry(1000) };
        let config = UsageConfig { record_age: Duration::from_millis(1), ..UsageConfig::default() };
        store.append_usage(&batch("b", 0, &[old]), &config).await.unwrap();
        sleep(Duration::from_millis(5)).await;
        store.append_usage(&batch("c", 0, &[entry(1001)]), &config).await.unwrap();
        assert!(records(&store).await.len() <= 1, "what is older goes");
    });
}

#[test]
fn records_are_read_on_from_any_of_them() {
    with_each(|store| async move {
        let (config, mut from, mut number) = (UsageConfig::default(), 0, 0);
        for size in [1, 5, 3] {
            let entries: Vec<Entry<'_>> = (number..number + size).map(entry).collect();
            from = store.append_usage(&batch("a", from, &entries), &config).await.unwrap().to;
            number += size;
        }
        let expected: Vec<String> = (0..9).map(|number| format!("req_{number}")).collect();
        for most in 1..=10 {
            let (mut ids, mut after) = (Vec::new(), String::new());
            loop {
                let page = store.usage_records(&after, most).await.unwrap();
                assert!(page.len() <= most);
                let Some((last, _)) = page.last() else { break };
                assert!(store.may_name_a_record(last), "{last}");
                after.clone_from(last);
                ids.extend(page.iter().map(|(_, text)| Entry::of_line(text).unwrap().request_id.into_owned()));
            }
            assert_eq!(ids, expected, "{most} at a time");
        }
        let few = UsageConfig { records: 4, ..config };
        let entries: Vec<Entry<'_>> = (10..20).map(entry).collect();
        store.append_usage(&batch("b", 0, &entries), &few).await.unwrap();
        assert_eq!(records(&store).await, entries[6..], "of more than may be kept, the last");
    });
}

#[test]
fn numbers_stay_exact_up_to_what_a_double_holds() {
    with_each(|store| async move {
        let config = UsageConfig::default();
        let dear = Entry { cost: 9_000_000_000_000_000, prompt_tokens: 1 << 52, ..entry(1) };
        store.append_usage(&batch("a", 0, &[dear]), &config).await.unwrap();
        store
            .append_usage(&batch("b", 0, &[Entry { ended: records(&store).await[0].ended, ..entry(1) }]), &config)
            .await
            .unwrap();
        let sums = day_sums(&store, &records(&store).await).await;
        let sums = sums.values().next().unwrap();
        assert_eq!((sums.cost, sums.prompt_tokens), (9_000_000_000_000_007, (1 << 52) + 10));
    });
}

#[test]
fn an_orderly_end_keeps_everything() {
    let folder = TempDir::new().unwrap();
    let config: StoreConfig = serde_json::from_value(json!({ "path": folder.path() })).unwrap();
    for round in 0..2 {
        Runtime::new().unwrap().block_on(async {
            let running = Running::default();
            let store = open(&config, &running).await;
            let usage = UsageMetrics::default();
            let keeper =
                Keeper::start(&UsageConfig::default(), &config, store.clone(), usage.clone(), &running).unwrap();
            // A request that is killed tells what it used after that.
            let late = keeper.expect();
            for number in 1..2000 {
                keeper.expect().keep(entry(round * 2000 + number));
            }
            running.kill.cancel();
            late.keep(entry(round * 2000));
            end(running).await;
            assert_eq!((usage.waiting.get(), usage.lost.get()), (0, 0));
            assert_each_once(&store, (round + 1) * 2000).await;
        });
    }
}

#[test]
fn a_full_spool_is_told() {
    let folder = TempDir::new().unwrap();
    Runtime::new().unwrap().block_on(async {
        let running = Running::default();
        let config = store_config(&folder.path().join("nobody"));
        let store = open(&config, &running).await;
        let (usage, spool) = (UsageMetrics::default(), UsageConfig { spool_bytes: 2000, ..UsageConfig::default() });
        let keeper = Keeper::start(&spool, &config, store, usage.clone(), &running).unwrap();
        keeper.expect().keep(entry(0));
        until("the store is known to be away", async || usage.away.get() == 1).await;
        for number in 0..10 {
            keeper.expect().keep(entry(number));
            until("it is written or lost", async || usage.waiting.get() > 0).await;
        }
        until("some are lost", async || usage.lost.get() > 0).await;
        assert!(usage.waiting.get() <= 2000);
        end(running).await;
    });
}

/// Load goes on while the server is killed and comes back, again and again.
#[test]
fn no_usage_is_lost_or_doubled_when_the_server_is_killed() {
    let (folder, spool) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    Runtime::new().unwrap().block_on(async {
        let running = Running::default();
        let mut server = LastingServer::start(folder.path());
        let config = server.store_config();
        let store = open(&config, &running).await;
        let usage = UsageMetrics::default();
        let spool = UsageConfig { spool: Some(spool.path().to_owned()), ..UsageConfig::default() };
        let keeper = Keeper::start(&spool, &config, store.clone(), usage.clone(), &running).unwrap();

        let (number, over, mut load) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)), JoinSet::new());
        for _ in 0..4 {
            let (keeper, number, over) = (keeper.clone(), number.clone(), over.clone());
            load.spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    for _ in 0..5 {
                        keeper.expect().keep(entry(number.fetch_add(1, Ordering::Relaxed)));
                    }
                    sleep(Duration::from_millis(5)).await;
                }
            });
        }
        for kill in 1..=3_u64 {
            let kept = usage.kept.get();
            until("records arrive", async || usage.kept.get() > kept + 200).await;
            drop(server);
            until("they wait", async || usage.away.get() == 1 && usage.waiting.get() > 10_000).await;
            server = LastingServer::start(folder.path());
            until("the store is there again", async || usage.away.get() == 0).await;
            assert_eq!(usage.lost.get(), 0, "after {kill} kills");
        }
        over.store(true, Ordering::Relaxed);
        load.join_all().await;
        until("nothing waits", async || usage.waiting.get() == 0 && usage.away.get() == 0).await;
        let count = number.load(Ordering::Relaxed);
        until("all are kept", async || records(&store).await.len() as u64 >= count).await;
        assert_each_once(&store, count).await;
        let _ = writeln!(std::io::stderr(), "{count} records through 3 kills of the server: none lost, none doubled");
        end(running).await;
        drop(server);
    });
}

/// Run in a process of its own by the tests below, and does nothing else.
#[test]
fn child_that_keeps_until_it_is_killed() {
    let (Ok(folder), Ok(socket)) = (env::var(CHILD_FOLDER), env::var(CHILD_SOCKET)) else { return };
    Runtime::new().unwrap().block_on(async {
        let (running, config) = (Running::default(), store_config(Path::new(&socket)));
        let store = open(&config, &running).await;
        let spool = UsageConfig { spool: Some(folder.into()), ..UsageConfig::default() };
        let keeper = Keeper::start(&spool, &config, store, UsageMetrics::default(), &running).unwrap();
        let begun = Instant::now();
        let mut number = 0;
        while begun.elapsed() < PATIENCE {
            for _ in 0..10 {
                keeper.expect().keep(entry(number));
                number += 1;
            }
            sleep(Duration::from_millis(1)).await;
        }
    });
}

fn start_child(spool: &TempDir, socket: &Path) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "usage::tests::child_that_keeps_until_it_is_killed"])
        .env(CHILD_FOLDER, spool.path())
        .env(CHILD_SOCKET, socket)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// The whole lines in the spool's files.
fn spooled(spool: &TempDir) -> Vec<String> {
    let files = fs::read_dir(spool.path()).unwrap().map(|file| file.unwrap().path());
    let texts =
        files.filter(|file| file.extension().is_some()).map(|file| fs::read_to_string(file).unwrap_or_default());
    let lines =
        |text: String| text.split_inclusive('\n').filter(|line| line.ends_with('\n')).map(str::to_owned).collect();
    texts.flat_map(|text| -> Vec<String> { lines(text) }).collect()
}

#[test]
fn a_killed_edges_spool_is_delivered_by_the_next_one() {
    let (folder, spool) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut child = start_child(&spool, &folder.path().join("socket"));
    Runtime::new().unwrap().block_on(async {
        until("the spool is filled", async || spooled(&spool).len() > 2000).await;
        child.kill().unwrap();
        child.wait().unwrap();
        let count = spooled(&spool).len() as u64;
        let server = LastingServer::start(folder.path());
        let (running, config) = (Running::default(), server.store_config());
        let store = open(&config, &running).await;
        let (usage, here) =
            (UsageMetrics::default(), UsageConfig { spool: Some(spool.path().to_owned()), ..UsageConfig::default() });
        let _keeper = Keeper::<Entry<'_>>::start(&here, &config, store.clone(), usage.clone(), &running).unwrap();
        until("everything is delivered", async || usage.waiting.get() == 0).await;
        assert_each_once(&store, count).await;
        end(running).await;
        assert_eq!(spooled(&spool).len(), 0, "what was delivered is removed");
    });
}

#[test]
fn an_edge_that_is_killed_while_it_delivers_doubles_nothing() {
    let (folder, spool) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    Runtime::new().unwrap().block_on(async {
        let server = LastingServer::start(folder.path());
        let (running, config) = (Running::default(), server.store_config());
        let store = open(&config, &running).await;
        until("the server is there", async || store.usage_records("", 1).await.is_ok()).await;
        let mut child = start_child(&spool, &folder.path().join("socket"));
        until("records arrive", async || records(&store).await.len() > 2000).await;
        // So it is killed with lines that were sent and are not confirmed: the server has taken them in when it goes on.
        server.freeze();
        let before = spooled(&spool).len();
        until("records wait", async || spooled(&spool).len() > before + 200).await;
        child.kill().unwrap();
        child.wait().unwrap();
        server.thaw();
        let written: BTreeSet<String> =
            spooled(&spool).iter().map(|line| Entry::of_line(line).unwrap().request_id.into_owned()).collect();
        let (usage, here) =
            (UsageMetrics::default(), UsageConfig { spool: Some(spool.path().to_owned()), ..UsageConfig::default() });
        let _keeper = Keeper::<Entry<'_>>::start(&here, &config, store.clone(), usage.clone(), &running).unwrap();
        until("everything is delivered", async || usage.waiting.get() == 0).await;
        let kept = records(&store).await;
        assert_each_once(&store, kept.len() as u64).await;
        let ids: BTreeSet<String> = kept.into_iter().map(|entry| entry.request_id.into_owned()).collect();
        assert!(written.is_subset(&ids), "what was written down is kept");
        end(running).await;
    });
}
