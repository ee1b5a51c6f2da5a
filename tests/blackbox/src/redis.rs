//! A real Redis (or Valkey) of a test's own, which the test may freeze, kill, start again empty, or fill.

use std::{
    io::{self, Read, Write},
    os::unix::{net::UnixStream, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::guardian::Guardian;
use crate::waiting::eventually;

/// How long the server may take to answer at first.
const START: Duration = Duration::from_secs(30);

/// A running server. Dropping it ends it.
#[derive(Debug)]
pub struct Redis {
    child: Child,
    guardian: Guardian,
    folder: PathBuf,
    settings: Vec<String>,
}

impl Redis {
    /// Starts one that keeps nothing on disk.
    ///
    /// # Panics
    /// When there is none, or it does not start.
    pub fn start() -> Self {
        Self::with_settings(&[])
    }

    /// The same with settings such as `--maxmemory 2mb`.
    ///
    /// # Panics
    /// When there is none, or it does not start.
    pub fn with_settings(settings: &[&str]) -> Self {
        let folder = TempDir::with_prefix("cloudach-redis-").expect("there is a folder for temporary files").keep();
        let settings: Vec<_> = settings.iter().map(|&word| word.to_owned()).collect();
        let mut guardian = Guardian::over(&folder);
        let child = spawn(&folder, &settings);
        guardian.groups([child.id()].into_iter());
        let redis = Self { child, guardian, folder, settings };
        redis.wait();
        redis
    }

    /// An edge's settings that name it, with an admin API.
    pub fn edge(&self) -> Value {
        json!({
            "store": self.store("500ms"),
            "admin_api": admin_api(),
        })
    }

    /// An edge's setting that names it, and how long one call may take.
    pub fn store(&self, deadline: &str) -> Value {
        json!({ "redis": { "url": self.url(), "deadline": deadline }, "pepper": "blackbox-0123456789" })
    }

    /// As `store.redis.url` names it.
    pub fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    /// Stops it in the middle of whatever it does, until it is thawed.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Ends it the hard way.
    ///
    /// # Panics
    /// When the system does not say that it has ended.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.child.wait().expect("it is our own child");
    }

    /// Starts it again at the same place, with nothing in it.
    pub fn restart(&mut self) {
        self.child = spawn(&self.folder, &self.settings);
        self.guardian.groups([self.child.id()].into_iter());
        self.wait();
    }

    /// Sends a command and returns the answer as it comes.
    ///
    /// # Errors
    /// Nobody answers.
    pub fn command(&self, words: &[&str]) -> io::Result<String> {
        let mut stream = UnixStream::connect(self.socket())?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut command = format!("*{}\r\n", words.len());
        for word in words {
            command += &format!("${}\r\n{word}\r\n", word.len());
        }
        stream.write_all(command.as_bytes())?;
        // The server closes when it has answered what was sent before this.
        stream.write_all(b"*1\r\n$4\r\nQUIT\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    fn wait(&self) {
        eventually(START, "the server answers", || self.command(&["PING"]).is_ok_and(|answer| answer.contains("PONG")));
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("socket")
    }

    fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("process ids are small");
        kill_process(id, signal).expect("our own child can be signalled");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The token of the admin API in these tests, and its SHA-256.
pub const ADMIN_TOKEN: &str = "blackbox-admin-token";
const ADMIN_TOKEN_SHA256: &str = "1df3eac9f1828c97b0afcb2ff3d9e0dc823830e4ca9072c8a5cd028caef77521";

/// An edge's setting that lets this token in.
pub fn admin_api() -> Value {
    json!({ "token_sha256": ADMIN_TOKEN_SHA256 })
}

fn spawn(folder: &Path, settings: &[String]) -> Child {
    let socket = folder.join("socket");
    // A server that was killed leaves it.
    let _ = std::fs::remove_file(&socket);
    Command::new(program())
        .args(["--port", "0", "--save", "", "--appendonly", "no", "--dir"])
        .arg(folder)
        .arg("--unixsocket")
        .arg(socket)
        .args(settings)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("a server that is there starts")
}

/// What the script finds or installs.
pub(crate) fn program() -> PathBuf {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../redis/setup.sh");
    let found = Command::new(script).stderr(Stdio::inherit()).output().expect("the script runs");
    assert!(found.status.success(), "no Redis for the tests");
    PathBuf::from(String::from_utf8_lossy(&found.stdout).trim())
}
