//! `cloudach keys` and `cloudach tenants` on a laptop: one process, a store on disk, and the token that is made beside it.

#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

use std::{
    fs::{self, File},
    io::Write,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use cloudach_blackbox::{Client, eventually, runtime};
use cloudach_fake_engine::{FakeEngine, Script};
use serde_json::{Value, json};
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(30);

/// The process, ended when the test ends.
struct Up {
    child: Child,
    client: Client,
    admin: SocketAddr,
}

impl Up {
    fn start(folder: &Path, engine: &FakeEngine) -> Self {
        let config = json!({
            "listen": "127.0.0.1:0",
            "admin": "127.0.0.1:0",
            "store": { "path": folder.join("store") },
            "engines": [{ "model": "fake-model", "engine": { "dialect": "vllm", "url": engine.url() } }],
            "drain": { "settle": "0s", "grace": "1s" },
        });
        let (file, log) = (folder.join("up.yaml"), folder.join("log"));
        fs::write(&file, config.to_string()).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_cloudach"))
            .args(["up", "--config"])
            .arg(&file)
            .env_remove("CLOUDACH_API_KEY")
            .env_remove("CLOUDACH_ADMIN_TOKEN")
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let opened = |message: &str| {
            let mut address = None;
            eventually(SOON, message, || {
                let log = fs::read_to_string(&log).unwrap();
                let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
                address = lines
                    .filter(|line| line["message"] == message)
                    .find_map(|line| line["address"].as_str().and_then(|address| address.parse().ok()));
                address.is_some()
            });
            address.unwrap()
        };
        let admin: SocketAddr = opened("admin port open");
        let client = Client { address: opened("listening for clients"), key: String::new() };
        let probe = Client { address: admin, ..client.clone() };
        eventually(SOON, "it is ready", || probe.get("/readyz").head.status == 200);
        Self { child, client, admin }
    }

    /// Runs a command and returns whether it succeeded, and what it prints on both outputs.
    fn run(&self, folder: &Path, words: &[&str], input: &str) -> (bool, String, String) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_cloudach"))
            .args(words)
            .args(["--admin", &format!("http://{}", self.admin)])
            .arg("--token-file")
            .arg(folder.join("store/admin-token"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().trim().to_owned();
        (output.status.success(), text(output.stdout), text(output.stderr))
    }

    fn status(&self, key: &str) -> u16 {
        let client = Client { key: key.to_owned(), ..self.client.clone() };
        client.post("/v1/completions", &json!({ "model": "fake-model", "prompt": "hello" })).head.status
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn keys_are_made_and_outlive_the_process() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let engine = runtime().block_on(FakeEngine::start(Script::vllm()));
    let up = Up::start(folder, &engine);
    let done = |words: &[&str]| {
        let (succeeded, out, err) = up.run(folder, words, "");
        assert!(succeeded, "{words:?}: {err}");
        out
    };

    let tenant = done(&["tenants", "create", "acme", "--requests-per-minute", "5", "--budget-per-month", "12.5"]);
    let tenant: Value = serde_json::from_str(&tenant).unwrap();
    assert_eq!(
        (&tenant["rate_limits"]["requests_per_minute"], &tenant["budget"]["month"]["hard"]),
        (&json!(5), &json!(12.5))
    );
    assert!(done(&["tenants", "list"]).lines().any(|line| line.starts_with("acme")));

    let key = done(&["keys", "create", "app", "--tenant", "acme", "--expires-in", "1day", "--metadata", "team=blue"]);
    assert!(key.starts_with("sk-cloudach-") && !key.contains(char::is_whitespace), "{key}");
    assert_eq!(up.status(&key), 200);
    let listed = done(&["keys", "list", "--tenant", "acme", "--json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let id = listed["id"].as_str().unwrap();
    assert_eq!((&listed["name"], &listed["metadata"]["team"]), (&json!("app"), &json!("blue")));
    let table = done(&["keys", "list"]);
    assert!(table.lines().nth(1).is_some_and(|row| row.contains(id) && row.ends_with("active")), "{table}");
    assert!(!table.contains(&key));
    assert!(done(&["keys", "show", id]).contains("\"spent\""));

    let rotated = done(&["keys", "rotate", id]);
    assert_eq!(up.status(&rotated), 200);
    eventually(SOON, "the old one ends", || up.status(&key) == 401);

    let (succeeded, _, err) = up.run(folder, &["keys", "import", "old app"], "sk-from-elsewhere-1\n");
    assert!(succeeded, "{err}");
    assert_eq!(up.status("sk-from-elsewhere-1"), 200);
    let (succeeded, _, err) = up.run(folder, &["keys", "import", "again"], "sk-from-elsewhere-1");
    assert!(!succeeded && err == "cloudach keys: this key is there already", "{err}");

    drop(up);
    let up = Up::start(folder, &engine);
    // The engine is looked for anew.
    eventually(SOON, "it is on disk", || up.status(&rotated) == 200);
    let (succeeded, _, err) = up.run(folder, &["keys", "revoke", id], "");
    assert!(succeeded, "{err}");
    eventually(SOON, "it is revoked", || up.status(&rotated) == 401);
}

#[test]
fn who_has_no_token_is_told_where_it_goes() {
    let run = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cloudach"));
        let output = command.args(words).env_remove("CLOUDACH_ADMIN_TOKEN").output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let told = run(&["keys", "list"]);
    assert!(told.contains("set CLOUDACH_ADMIN_TOKEN or name a --token-file"), "{told}");
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("token");
    fs::write(&file, "token").unwrap();
    let told = run(&["keys", "list", "--admin", "http://127.0.0.1:1", "--token-file", file.to_str().unwrap()]);
    assert!(told.contains("nothing answers at http://127.0.0.1:1/"), "{told}");
}
