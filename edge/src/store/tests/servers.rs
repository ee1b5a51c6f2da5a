//! Servers for tests: one, a cluster, a Sentinel, ended with the test.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

/// Servers of one test's own, ended with it.
pub struct Server {
    children: Vec<Child>,
    others: Vec<Server>,
    /// Removed with the servers.
    _folder: TempDir,
    pub url: String,
}

impl Server {
    pub fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let socket = folder.path().join("socket").display().to_string();
        let child = spawn(&folder, &["--port", "0", "--unixsocket", &socket]);
        Self { children: vec![child], others: Vec::new(), _folder: folder, url: format!("redis+unix://{socket}") }
    }

    /// One that listens here.
    pub fn at(port: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let child = spawn(&folder, &["--port", port]);
        eventually(|| tell(port, "PING").contains("PONG"));
        Self { children: vec![child], others: Vec::new(), _folder: folder, url: format!("redis://127.0.0.1:{port}") }
    }

    /// A cluster of one node, which refuses calls that touch two slots like any other.
    pub fn cluster() -> Self {
        let (folder, [port, bus]) = (TempDir::new().unwrap(), free_ports());
        let child = spawn(&folder, &["--port", &port, "--cluster-enabled", "yes", "--cluster-port", &bus]);
        eventually(|| tell(&port, "CLUSTER ADDSLOTSRANGE 0 16383").contains("OK"));
        eventually(|| tell(&port, "CLUSTER INFO").contains("cluster_state:ok"));
        Self {
            children: vec![child],
            others: Vec::new(),
            _folder: folder,
            url: format!("redis-cluster://127.0.0.1:{port}"),
        }
    }

    /// A cluster of three nodes, each with a third of the slots.
    pub fn cluster_of_three() -> (Self, [String; 3]) {
        const SLOTS: [&str; 3] = ["0 5460", "5461 10922", "10923 16383"];
        let folder = TempDir::new().unwrap();
        let (ports, buses) = (free_ports::<3>(), free_ports::<3>());
        let mut children = Vec::new();
        for (port, bus) in ports.iter().zip(&buses) {
            let (file, words) = (format!("nodes-{port}.conf"), ["--cluster-enabled", "yes", "--cluster-port"]);
            let own = ["--port", port, "--cluster-config-file", &file];
            children.push(spawn(&folder, &[&own[..], &words[..], &[bus]].concat()));
        }
        for (port, slots) in ports.iter().zip(SLOTS) {
            eventually(|| tell(port, &format!("CLUSTER ADDSLOTSRANGE {slots}")).contains("OK"));
            eventually(|| tell(port, &format!("CLUSTER MEET 127.0.0.1 {} {}", ports[0], buses[0])).contains("OK"));
        }
        for port in &ports {
            let knows_all = |told: &str| told.contains("cluster_state:ok") && told.contains("cluster_size:3");
            eventually(|| knows_all(&tell(port, "CLUSTER INFO")));
        }
        let url = format!("redis-cluster://127.0.0.1:{},127.0.0.1:{}", ports[0], ports[1]);
        (Self { children, others: Vec::new(), _folder: folder, url }, ports)
    }

    /// A cluster of one node that says it is at the port `own`: also its own port.
    pub fn cluster_behind(own: &str) -> (Self, String) {
        let (folder, [port, bus]) = (TempDir::new().unwrap(), free_ports());
        let announce = ["--cluster-announce-ip", "127.0.0.1", "--cluster-announce-port", own];
        let words = ["--port", &port, "--cluster-enabled", "yes", "--cluster-port", &bus];
        let child = spawn(&folder, &[&words[..], &announce[..]].concat());
        eventually(|| tell(&port, "CLUSTER ADDSLOTSRANGE 0 16383").contains("OK"));
        eventually(|| tell(&port, "CLUSTER INFO").contains("cluster_state:ok"));
        (
            Self {
                children: vec![child],
                others: Vec::new(),
                _folder: folder,
                url: format!("redis-cluster://127.0.0.1:{own}"),
            },
            port,
        )
    }

    /// A server and a Sentinel that says where it is.
    pub fn sentinel() -> Self {
        let [port] = free_ports();
        let server = Self::at(&port);
        let (mut both, _) = Self::sentinel_of(&port);
        both.others.push(server);
        both
    }

    /// A Sentinel that watches the server at this port: also its own port.
    pub fn sentinel_of(port: &str) -> (Self, String) {
        let (folder, [sentinel]) = (TempDir::new().unwrap(), free_ports());
        let file = folder.path().join("sentinel.conf");
        let config = format!("port {sentinel}\nsentinel monitor main 127.0.0.1 {port} 1\n");
        std::fs::write(&file, config).unwrap();
        let watcher = spawn(&folder, &[&file.display().to_string(), "--sentinel"]);
        eventually(|| tell(&sentinel, "SENTINEL GET-MASTER-ADDR-BY-NAME main").contains(port));
        let url = format!("redis-sentinel://127.0.0.1:{sentinel}/main");
        (Self { children: vec![watcher], others: Vec::new(), _folder: folder, url }, sentinel)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn spawn(folder: &TempDir, words: &[&str]) -> Child {
    let mut command = Command::new(program());
    if !words.contains(&"--sentinel") {
        command.args(["--save", "", "--appendonly", "no", "--bind", "127.0.0.1"]);
    }
    command.args(words).current_dir(folder.path()).stdout(Stdio::null()).spawn().unwrap()
}

/// Ports that nobody uses at this moment.
pub fn free_ports<const N: usize>() -> [String; N] {
    let held = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    held.each_ref().map(|held| held.local_addr().unwrap().port().to_string())
}

/// Sends a command and reads the beginning of the answer. Empty: nobody is there yet.
pub fn tell(port: &str, command: &str) -> String {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(format!("127.0.0.1:{port}"))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(format!("{command}\r\n").as_bytes())?;
        let mut answer = [0; 4096];
        let read = stream.read(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer[..read]).into_owned())
    };
    ask().unwrap_or_default()
}

pub fn eventually(mut condition: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(30), "not in time");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What `tests/redis/setup.sh` finds or installs.
pub fn program() -> PathBuf {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/redis/setup.sh");
    let found = Command::new(script).output().unwrap();
    assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
    PathBuf::from(String::from_utf8(found.stdout).unwrap().trim())
}
