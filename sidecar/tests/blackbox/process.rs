//! Engines that the sidecar owns: real processes, real signals. The sidecar is its own binary here, and the engine is
//! a shell, or this test's binary started again as a fake engine.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use cloudach_fake_engine::{FakeEngine, Listen, Script};
use cloudach_proto::v1::{
    DeathCause, ErrorCode, GenerateEvent, LoadModel, ModelPhase, UnloadModel, generate_event::Event,
    router_command::Command as Order,
};
use cloudach_service::{address::Address, grpc};
use tokio::{
    process::{Child, Command},
    time::{sleep, timeout},
};

use crate::{
    fleet::{Attachment, Router},
    rig::{Answer, SOON, ask},
};

/// How soon nothing of an engine may be left after its sidecar was killed.
const GONE_WITHIN: Duration = Duration::from_secs(3);

const SOCKET: &str = "SIDECAR_TEST_ENGINE_SOCKET";

/// A sidecar's process with its files.
pub(crate) struct Process {
    child: Child,
    pub(crate) folder: tempfile::TempDir,
    router: Router,
}

impl Process {
    /// A sidecar that owns the engine with this command line.
    async fn start(dialect: &str, command: &[&str], more: &str) -> Self {
        Self::start_as("model: the-model", dialect, command, more).await
    }

    /// One whose model routers choose: in front of a fake engine, with these arguments allowed.
    pub(crate) async fn managed() -> Self {
        let me = env::current_exe().unwrap();
        let command =
            [me.to_str().unwrap(), "process::as_an_engine", "--exact", "--ignored", "--nocapture", "{source}"];
        let may = "managed:\n  sources: [/models/]\n  arguments: [--test-threads]\n  sleeps: true\n  \
                   gpus: [{id: gpu-1, memory_mib: 1000}]";
        Self::start_as(may, "vllm", &command, "  startup_timeout: 3s\n").await
    }

    async fn start_as(what: &str, dialect: &str, command: &[&str], more: &str) -> Self {
        Self::start_by("exec \"$@\"", what, dialect, command, more).await
    }

    /// One whose process was a shell with the script `by` before.
    async fn start_by(by: &str, what: &str, dialect: &str, command: &[&str], more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let router = Router::start(Address::Unix(folder.path().join("router.sock"))).await;
        let command = serde_json::to_string(command).unwrap();
        let config = format!(
            "replica: owner\nlisten: unix:{}\nrouters: ['{}']\n{what}\ndrain: {{settle: 0s, grace: 1s}}\n\
             engine:\n  dialect: {dialect}\n  url: unix:{}\n  command: {command}\n  stop_grace: 2s\n  \
             env: {{{SOCKET}: '{}', FOLDER: '{}'}}\n{more}",
            at("sidecar.sock"),
            router.address,
            at("engine.sock"),
            at("engine.sock"),
            folder.path().display(),
        );
        fs::write(folder.path().join("sidecar.yaml"), config).unwrap();
        let child = Command::new("sh")
            .args(["-c", by, "sh", env!("CARGO_BIN_EXE_cloudach-sidecar"), "--config"])
            .arg(folder.path().join("sidecar.yaml"))
            .stdin(Stdio::null())
            .env("CLOUDACH_LOG", "error")
            .env("FOLDER", folder.path())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { child, folder, router }
    }

    /// One that owns a fake engine.
    async fn with_fake_engine() -> Self {
        let me = env::current_exe().unwrap();
        let me = me.to_str().unwrap();
        Self::start("vllm", &[me, "--exact", "process::as_an_engine", "--ignored", "--nocapture"], "").await
    }

    /// One that owns a fake engine on these GPUs of the stand-in for NVML in `folder`.
    pub(crate) async fn with_gpus(folder: &Path, visible: &str) -> Self {
        Self::on_gpus("model: the-model", folder, visible).await
    }

    /// One whose model routers choose, on these GPUs.
    pub(crate) async fn managed_with_gpus(folder: &Path, visible: &str) -> Self {
        Self::on_gpus("managed: {sources: [/models/]}", folder, visible).await
    }

    async fn on_gpus(what: &str, folder: &Path, visible: &str) -> Self {
        let me = env::current_exe().unwrap();
        let command =
            [me.to_str().unwrap(), "--exact", "process::as_an_engine", "--ignored", "--nocapture", "{source}"];
        let folder = folder.display();
        let by = format!("export NVML_FOLDER={folder} CUDA_VISIBLE_DEVICES={visible}; exec \"$@\"");
        let gpu = format!("gpu: {{every: 1s, library: {folder}/libnvml.so}}\n");
        Self::start_by(&by, what, "vllm", &command, &gpu).await
    }

    /// One that owns a shell with this script.
    async fn with_script(script: &str) -> Self {
        Self::start("vllm", &["sh", "-c", script], "").await
    }

    pub(crate) async fn attachment(&mut self) -> Attachment {
        self.router.attachment().await
    }

    fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    fn signal(&self, signal: &str) {
        let sent = std::process::Command::new("kill").arg(signal).arg(self.pid().to_string()).status().unwrap();
        assert!(sent.success());
    }

    /// The number that the engine's script wrote to this file.
    pub(crate) async fn number_in(&self, name: &str) -> u32 {
        let path = self.folder.path().join(name);
        eventually(SOON, || fs::read_to_string(&path).ok()?.trim().parse().ok()).await.expect("the engine starts")
    }

    /// The process that stands between the sidecar and its engine.
    fn watchdog(&self) -> u32 {
        children_of(self.pid())
            .into_iter()
            .find(|pid| fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains("watchdog")))
            .expect("the sidecar has a watchdog")
    }

    async fn ended(&mut self, within: Duration) {
        timeout(within, self.child.wait()).await.expect("the sidecar ends").unwrap();
    }
}

/// Not a test: what runs as the engine when it is started for that.
#[tokio::test]
#[ignore = "is started as an engine by the other tests"]
async fn as_an_engine() {
    let Ok(socket) = env::var(SOCKET) else { return };
    fs::write(PathBuf::from(&socket).with_file_name("engine.pid"), std::process::id().to_string()).unwrap();
    let words: Vec<_> = env::args().collect();
    fs::write(PathBuf::from(&socket).with_file_name("engine.args"), words.join(" ")).unwrap();
    let script = Script { dev_mode: true, lora: true, ..Script::vllm() };
    while words.iter().any(|word| word.contains("hangs")) {
        sleep(Duration::from_secs(1)).await;
    }
    if !words.iter().any(|word| word.contains("broken")) {
        let engine = FakeEngine::listen(script, &Listen::Unix(socket.into())).await.unwrap();
        engine.ended().await;
    }
    // The real one says this, too, and its process ends with it.
    eprintln!("(EngineCore pid=7) ERROR 01-02 03:04:05 [core.py:9] torch.OutOfMemoryError: CUDA out of memory. Tried");
    eprintln!("RuntimeError: Engine core died. See root cause above.");
    std::process::exit(3);
}

/// Three generations: one stays in the engine's group, one has left it.
const FAMILY: &str = "sleep 600 & echo $! > $FOLDER/child; setsid sleep 600 & echo $! > $FOLDER/stray; \
                      echo $$ > $FOLDER/engine; wait";

#[tokio::test]
async fn a_killed_sidecar_takes_the_engine_and_its_children_along() {
    let mut process = Process::with_script(FAMILY).await;
    let family =
        [process.number_in("engine").await, process.number_in("child").await, process.number_in("stray").await];
    process.signal("-KILL");
    process.ended(SOON).await;
    for pid in family {
        gone(pid, GONE_WITHIN).await;
    }
}

/// Of what the first engine left, the second one notes what still runs.
const WHO_IS_LEFT: &str = "for name in engine child stray; do if [ -e $FOLDER/$name ] && kill -0 $(cat $FOLDER/$name); \
                           then echo $name >> $FOLDER/left; fi; done; [ -e $FOLDER/stray ] && touch $FOLDER/again";

#[tokio::test]
async fn a_killed_watchdog_leaves_nobody_to_the_next_engine() {
    let helper = "sleep 600 & echo $! > $FOLDER/helper; exec \"$@\"";
    let script = format!("{WHO_IS_LEFT}; {FAMILY}");
    let mut process = Process::start_by(helper, "model: the-model", "vllm", &["sh", "-c", &script], "").await;
    let mut attachment = process.attachment().await;
    let family =
        [process.number_in("engine").await, process.number_in("child").await, process.number_in("stray").await];
    kill(process.watchdog());
    for pid in family {
        gone(pid, GONE_WITHIN).await;
    }
    let state = attachment.until_phase(ModelPhase::Failed).await;
    assert!(state.detail.contains("watchdog"), "{}", state.detail);
    assert_eq!(state.last_death(), DeathCause::Watchdog);
    let again = process.folder.path().join("again");
    eventually(SOON, || again.exists().then_some(())).await.expect("another engine is started");
    let left = fs::read_to_string(process.folder.path().join("left")).unwrap_or_default();
    assert_eq!(left, "", "the next engine finds them");
    // What the sidecar's process had before it was the sidecar's is nobody's leftover.
    let helper = process.number_in("helper").await;
    assert!(exists(helper));
    process.signal("-TERM");
    process.ended(SOON).await;
    assert!(exists(helper));
    kill(helper);
}

#[tokio::test]
async fn an_engine_that_ignores_signals_is_killed_with_its_children() {
    let script = format!("trap '' TERM; {FAMILY}; sleep 600");
    let mut process = Process::with_script(&script).await;
    let family = [process.number_in("engine").await, process.number_in("child").await];
    process.signal("-TERM");
    process.ended(SOON).await;
    for pid in family {
        assert!(!exists(pid), "{pid} is left");
    }
}

#[tokio::test]
async fn an_engine_is_asked_before_it_is_killed() {
    let script = "trap 'echo asked > $FOLDER/asked; exit' TERM; echo $$ > $FOLDER/engine; while :; do sleep 0.05; done";
    let mut process = Process::with_script(script).await;
    let engine = process.number_in("engine").await;
    process.signal("-TERM");
    process.ended(SOON).await;
    assert!(!exists(engine));
    assert!(process.folder.path().join("asked").exists());
}

#[tokio::test]
async fn an_engine_serves_dies_is_told_why_and_is_back() {
    let mut process = Process::with_fake_engine().await;
    let mut attachment = process.attachment().await;
    attachment.until_phase(ModelPhase::Ready).await;
    let address = Address::Unix(process.folder.path().join("sidecar.sock"));
    let channel = grpc::endpoint(&address).unwrap().connect().await.unwrap();
    let mut client = cloudach_proto::v1::inference_client::InferenceClient::new(channel);
    let mut run = async |prompt| {
        let events = client.generate(ask(prompt)).await.unwrap().into_inner();
        let events = tokio_stream::StreamExt::map(events, Result::unwrap);
        timeout(SOON, Answer::read(events)).await.unwrap()
    };
    assert!(run("hi").await.finished.is_some());

    let lost = run("[[fault:kill_after=2]]").await.failed.unwrap();
    assert!(lost.retryable, "{lost:?}");
    let state = attachment.until_phase(ModelPhase::Failed).await;
    assert!(state.detail.contains("exit code 3") && state.detail.contains("CUDA out of memory"), "{}", state.detail);
    assert_eq!((state.deaths, state.last_death()), (1, DeathCause::GpuMemory));
    // The old socket's file is in the way of the new engine, were it not removed.
    let back = attachment.until_phase(ModelPhase::Ready).await;
    assert_eq!((back.deaths, back.last_death()), (1, DeathCause::GpuMemory));
    assert!(run("hi again").await.finished.is_some());

    let engine = process.number_in("engine.pid").await;
    process.signal("-TERM");
    process.ended(SOON).await;
    assert!(!exists(engine));
}

/// Its process lives and does nothing: neither its health nor its streams come to an end by themselves.
#[tokio::test]
async fn an_engine_that_hangs_is_killed_and_its_streams_are_lost_at_once() {
    let me = env::current_exe().unwrap();
    let command = [me.to_str().unwrap(), "--exact", "process::as_an_engine", "--ignored", "--nocapture"];
    let mut process = Process::start("vllm", &command, "  hung_after: 2s\n").await;
    let mut attachment = process.attachment().await;
    attachment.until_phase(ModelPhase::Ready).await;
    let engine = process.number_in("engine.pid").await;
    let address = Address::Unix(process.folder.path().join("sidecar.sock"));
    let channel = grpc::endpoint(&address).unwrap().connect().await.unwrap();
    let mut client = cloudach_proto::v1::inference_client::InferenceClient::new(channel);
    let mut events = client.generate(ask("[[tokens=900]][[delay=20ms]]")).await.unwrap().into_inner();
    let told = |event: GenerateEvent| matches!(event.event, Some(Event::Delta(_)));
    while !told(timeout(SOON, events.message()).await.unwrap().unwrap().unwrap()) {}

    let stopped = std::process::Command::new("kill").args(["-STOP", &engine.to_string()]).status().unwrap();
    assert!(stopped.success());
    let events = tokio_stream::StreamExt::map(events, Result::unwrap);
    let lost = timeout(SOON, Answer::read(events)).await.expect("the stream ends").failed.unwrap();
    assert_eq!((lost.code(), lost.retryable), (ErrorCode::ReplicaLost, true), "{lost:?}");
    let state = attachment.until_phase(ModelPhase::Failed).await;
    assert!(state.detail.contains("the engine hangs"), "{}", state.detail);
    assert_eq!(state.last_death(), DeathCause::Hung);
    assert!(!exists(engine));
    attachment.until_phase(ModelPhase::Ready).await;
}

#[tokio::test]
async fn routers_unload_and_load_it() {
    let mut process = Process::with_fake_engine().await;
    let mut attachment = process.attachment().await;
    attachment.until_phase(ModelPhase::Ready).await;
    let engine = process.number_in("engine.pid").await;
    attachment.order(1, 1, Order::Unload(UnloadModel { model: "the-model".into() })).await.unwrap();
    gone(engine, SOON).await;
    attachment.order(1, 2, Order::Load(LoadModel { model: "the-model".into(), ..LoadModel::default() })).await.unwrap();
    attachment.until_phase(ModelPhase::Ready).await;
}

/// Those that have not ended by then are handed over, and none is lost.
#[tokio::test]
async fn what_runs_on_is_given_back_when_its_model_is_unloaded() {
    let mut process = Process::with_fake_engine().await;
    let mut attachment = process.attachment().await;
    attachment.until_phase(ModelPhase::Ready).await;
    let address = Address::Unix(process.folder.path().join("sidecar.sock"));
    let channel = grpc::endpoint(&address).unwrap().connect().await.unwrap();
    let client = cloudach_proto::v1::inference_client::InferenceClient::new(channel);
    let run = async |prompt| {
        let events = client.clone().generate(ask(prompt)).await.unwrap().into_inner();
        timeout(SOON, Answer::read(tokio_stream::StreamExt::map(events, Result::unwrap))).await.unwrap()
    };
    let unload = async {
        // When all of them are in the engine.
        tokio::time::sleep(Duration::from_millis(300)).await;
        attachment.order(1, 1, Order::Unload(UnloadModel { model: "the-model".into() })).await.unwrap();
    };
    let (soon, long, silent, ()) =
        tokio::join!(run("hi"), run("[[tokens=900]][[delay=20ms]]"), run("[[first=60s]]"), unload);
    assert!(soon.finished.is_some());
    assert!(long.ids().len() > 10, "it had its time");
    for given_back in [long, silent] {
        let failed = given_back.failed.unwrap();
        assert_eq!((failed.code(), failed.retryable), (ErrorCode::ShuttingDown, true), "{failed:?}");
    }
}

#[tokio::test]
async fn an_engine_that_cannot_start_is_told() {
    let mut process = Process::start("llama_cpp", &["/nowhere/llama-server"], "").await;
    let state = process.attachment().await.until_phase(ModelPhase::Failed).await;
    assert!(state.detail.contains("/nowhere/llama-server"), "{}", state.detail);
    assert_eq!(state.last_death(), DeathCause::Command);
}

#[tokio::test]
async fn an_engine_that_never_gets_ready_is_started_again() {
    let script = "echo $$ > $FOLDER/engine; sleep 600";
    let mut process = Process::start("vllm", &["sh", "-c", script], "  startup_timeout: 300ms\n").await;
    let first = process.number_in("engine").await;
    let mut attachment = process.attachment().await;
    let failed = async {
        loop {
            let state = attachment.until_phase(ModelPhase::Failed).await;
            if state.detail.contains("not ready after 300ms") && state.detail.contains("again") {
                assert_eq!(state.last_death(), DeathCause::NotReady);
                break;
            }
        }
    };
    timeout(SOON, failed).await.unwrap();
    let path = process.folder.path().join("engine");
    let again = || fs::read_to_string(&path).ok()?.trim().parse().ok().filter(|pid: &u32| *pid != first);
    eventually(SOON, again).await.expect("it is started again");
}

#[test]
fn a_program_without_the_watchdog_says_so() {
    let engine = cloudach_sidecar::config::EngineConfig {
        command: Some(vec!["true".into()]),
        ..cloudach_sidecar::config::EngineConfig::attach(
            cloudach_sidecar::config::Dialect::Vllm,
            "http://127.0.0.1:1".parse().unwrap(),
        )
    };
    let folder = tempfile::tempdir().unwrap();
    let config = crate::rig::config(Address::Unix(folder.path().join("s.sock")), engine);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let refused = runtime.block_on(cloudach_sidecar::run(config.into(), cloudach_service::stop::Stop::default()));
    assert!(refused.unwrap_err().to_string().contains("main_if_asked"));
}

/// Waits until the process is gone; a zombie that nobody collects is gone too.
pub(crate) async fn gone(pid: u32, within: Duration) {
    eventually(within, || (!exists(pid)).then_some(())).await.unwrap_or_else(|| panic!("{pid} still runs"));
}

pub(crate) fn kill(pid: u32) {
    let killed = std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap();
    assert!(killed.success());
}

/// The processes whose parent this one is.
fn children_of(parent: u32) -> Vec<u32> {
    let is_child = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.split(' ').nth(1) == Some(&parent.to_string()))
    };
    let processes = fs::read_dir("/proc").unwrap();
    processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).filter(|pid| is_child(*pid)).collect()
}

pub(crate) fn exists(pid: u32) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

pub(crate) async fn eventually<T>(within: Duration, mut found: impl FnMut() -> Option<T>) -> Option<T> {
    let looking = async {
        loop {
            if let Some(found) = found() {
                return found;
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(within, looking).await.ok()
}
