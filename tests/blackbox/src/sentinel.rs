//! A Redis with a replica, and a Sentinel that puts the replica in its place when it dies.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

use crate::guardian::Guardian;
use crate::redis::{Redis, program};
use crate::waiting::eventually;

/// How long the servers may take to know of one another.
const START: Duration = Duration::from_secs(30);

/// The three of them. Dropping it ends them.
#[derive(Debug)]
pub struct Sentinel {
    pub master: Redis,
    pub replica: Redis,
    port: u16,
    watcher: Child,
    _guardian: Guardian,
}

impl Sentinel {
    /// Starts them, and waits until the Sentinel knows both and the replica follows. A master that is silent for a second is
    /// taken to be down.
    ///
    /// # Panics
    /// When one of them does not start.
    pub fn start() -> Self {
        let [port, master_port, replica_port] = free_ports();
        let master = Redis::with_settings(&["--port", &master_port.to_string()]);
        let replica = Redis::with_settings(&[
            "--port",
            &replica_port.to_string(),
            "--replicaof",
            "127.0.0.1",
            &master_port.to_string(),
        ]);
        // Then the Sentinel hears of it with the first word of the master.
        eventually(START, "the replica follows", || told(&replica).contains("master_link_status:up"));
        let folder = TempDir::with_prefix("cloudach-sentinel-").expect("there is a folder for temporary files").keep();
        let file = folder.join("sentinel.conf");
        let config = format!(
            "port {port}\ndir {}\nsentinel monitor main 127.0.0.1 {master_port} 1\n\
             sentinel down-after-milliseconds main 1000\nsentinel failover-timeout main 10000\n",
            folder.display()
        );
        fs::write(&file, config).expect("the folder takes files");
        let mut guardian = Guardian::over(&folder);
        let watcher = Command::new(program())
            .arg(&file)
            .arg("--sentinel")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("a server that is there starts");
        guardian.groups([watcher.id()].into_iter());
        let sentinel = Self { master, replica, port, watcher, _guardian: guardian };
        eventually(START, "the Sentinel knows the replica", || sentinel.knows(&format!(":{replica_port}")));
        sentinel
    }

    /// As `store.redis.url` names it.
    pub fn url(&self) -> String {
        format!("redis-sentinel://127.0.0.1:{}/main", self.port)
    }

    /// Waits until the replica has all that the master has.
    ///
    /// # Panics
    /// When it does not follow.
    pub fn wait_until_replicated(&self) {
        let has_all = || {
            let offset = |server: &Redis, name: &str| {
                let told = told(server);
                told.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok())
            };
            let (master, replica) =
                (offset(&self.master, "master_repl_offset:"), offset(&self.replica, "slave_repl_offset:"));
            master.is_some() && replica >= master
        };
        eventually(START, "the replica has everything", has_all);
    }

    /// Whether the replica has taken the master's place.
    pub fn has_failed_over(&self) -> bool {
        told(&self.replica).contains("role:master")
    }

    fn knows(&self, replica: &str) -> bool {
        let ask = || -> std::io::Result<bool> {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
            stream.set_read_timeout(Some(Duration::from_millis(500)))?;
            stream.write_all(b"SENTINEL REPLICAS main\r\n")?;
            let (mut answer, mut part) = (Vec::new(), [0; 4096]);
            loop {
                let read = stream.read(&mut part)?;
                answer.extend_from_slice(&part[..read]);
                if read == 0 || String::from_utf8_lossy(&answer).contains(replica) {
                    return Ok(read > 0);
                }
            }
        };
        ask().unwrap_or_default()
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.watcher.kill();
        let _ = self.watcher.wait();
    }
}

/// What it says of its part.
fn told(server: &Redis) -> String {
    server.command(&["INFO", "replication"]).unwrap_or_default()
}

/// Ports that nobody uses at this moment.
fn free_ports<const N: usize>() -> [u16; N] {
    let held = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").expect("there are free ports"));
    held.each_ref().map(|held| held.local_addr().expect("it is bound").port())
}
