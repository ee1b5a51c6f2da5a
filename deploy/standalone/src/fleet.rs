//! `cloudach fleet` and `cloudach models`: what a router says of its replicas and of its models.

use std::{
    io::{Write, stderr},
    process::ExitCode,
};

use clap::Args;
use hyper::Uri;
use serde_json::Value;

use crate::{
    admin::{self, AdminError},
    table,
};

/// Which router is asked.
#[derive(Debug, Args)]
struct RouterAt {
    /// The router's admin address.
    #[arg(long = "router", env = "CLOUDACH_ROUTER_ADMIN_URL", default_value = "http://127.0.0.1:9001")]
    url: Uri,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// The replicas that are attached to a router, and what they do.
#[derive(Debug, Args)]
pub struct Fleet {
    #[command(flatten)]
    at: RouterAt,
}

/// The models of a router's catalogue, and why one is not there.
#[derive(Debug, Args)]
pub struct Models {
    #[command(flatten)]
    at: RouterAt,
}

impl Fleet {
    /// Prints them.
    pub fn run(&self) -> ExitCode {
        let titles = ["REPLICA", "GPUS", "MEMORY", "MODEL", "PHASE", "REQUESTS", "DETAIL"];
        show(&self.at, "/fleet", "replicas", titles, replica)
    }
}

impl Models {
    /// Prints them.
    pub fn run(&self) -> ExitCode {
        show(&self.at, "/models", "models", ["MODEL", "READY", "MIN", "MAX", "NEEDED", "WAITS FOR"], model)
    }
}

fn show<const N: usize>(
    at: &RouterAt,
    path: &str,
    list: &str,
    titles: [&str; N],
    row: impl Fn(&Value) -> [String; N],
) -> ExitCode {
    match admin::ask_without_token(&at.url, path) {
        Ok(answer) if at.json => table::print_json(&answer),
        Ok(answer) => {
            let rows: Vec<_> = answer[list].as_array().into_iter().flatten().map(row).collect();
            table::print(titles, &rows);
        }
        Err(error) => {
            let error = match error {
                AdminError::Refused(_) => AdminError::Refused(format!("{} is no router's admin address", at.url)),
                error => error,
            };
            let _ = writeln!(stderr(), "cloudach: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn replica(of: &Value) -> [String; 7] {
    let (gpus, memory) = gpus(of);
    let mut details: Vec<String> = Vec::new();
    details.extend(of["under_way"].as_str().map(|order| format!("ordered: {order}")));
    details.extend(Some(table::text(&of["detail"]).to_owned()).filter(|detail| !detail.is_empty()));
    if let (Some(deaths @ 1..), Some(cause)) = (of["deaths"].as_u64(), of["last_death"].as_str()) {
        details.push(match deaths {
            1 => format!("engine died once, of {cause}"),
            _ => format!("engine died {deaths} times, last of {cause}"),
        });
    }
    let faults = of["gpu_states"].as_array().into_iter().flatten().map(|gpu| table::text(&gpu["fault"]).to_owned());
    // A model that is not ready for it says so already.
    details.extend(faults.filter(|fault| !fault.is_empty() && !details.contains(fault)).collect::<Vec<_>>());
    let adapters: Vec<_> = of["adapters"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !adapters.is_empty() {
        details.push(format!("adapters: {}", adapters.join(", ")));
    }
    if of["managed"] == false {
        details.push("has its own model".to_owned());
    }
    [
        table::text(&of["name"]).to_owned(),
        gpus,
        memory,
        or_dash(table::text(&of["model"])),
        table::text(&of["phase"]).to_owned(),
        of["requests"].to_string(),
        details.join("; "),
    ]
}

/// Which GPUs, and their memory: as their driver tells, with what is taken; else as they are configured.
fn gpus(of: &Value) -> (String, String) {
    let list = |name: &str| of[name].as_array().map(Vec::as_slice).unwrap_or_default();
    let sum = |gpus: &[Value], name: &str| gpus.iter().filter_map(|gpu| gpu[name].as_u64()).sum::<u64>();
    let (states, configured) = (list("gpu_states"), list("gpus"));
    if states.is_empty() {
        return match configured.len() {
            0 => ("-".to_owned(), "-".to_owned()),
            gpus => (gpus.to_string(), format!("{} MiB", sum(configured, "memory_mib"))),
        };
    }
    let mut names: Vec<(&str, u32)> = Vec::new();
    for name in states.iter().map(|gpu| table::text(&gpu["name"])) {
        match names.iter_mut().find(|(known, _)| *known == name) {
            Some((_, count)) => *count += 1,
            None => names.push((name, 1)),
        }
    }
    let names: Vec<_> = names.iter().map(|(name, count)| format!("{count}x {name}")).collect();
    let memory = format!("{}/{} MiB", sum(states, "memory_used_mib"), sum(states, "memory_total_mib"));
    (names.join(", "), memory)
}

fn model(of: &Value) -> [String; 6] {
    let number = |name: &str| of[name].as_u64().map_or("-".to_owned(), |number| number.to_string());
    [
        table::text(&of["id"]).to_owned(),
        number("ready"),
        number("min"),
        number("max"),
        number("needed"),
        table::text(&of["waits_for"]).to_owned(),
    ]
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_replica_is_a_row() {
        let idle = json!({
            "name": "r1", "managed": true, "model": "", "phase": "unloaded", "detail": "", "adapters": [], "requests": 0, "deaths": 0, "last_death": null,
            "gpus": [{ "id": "g", "memory_mib": 80_000 }, { "id": "h", "memory_mib": 80_000 }], "under_way": null,
        });
        assert_eq!(replica(&idle), ["r1", "2", "160000 MiB", "-", "unloaded", "0", ""]);
        let busy = json!({
            "name": "r2", "managed": false, "model": "m", "phase": "ready", "detail": "d", "adapters": ["a", "b"],
            "requests": 7, "gpus": [], "under_way": "drain m: why", "deaths": 3, "last_death": "hung",
        });
        let detail = "ordered: drain m: why; d; engine died 3 times, last of hung; adapters: a, b; has its own model";
        assert_eq!(replica(&busy), ["r2", "-", "-", "m", "ready", "7", detail]);
    }

    #[test]
    fn gpus_are_named_where_they_tell() {
        let state = |name: &str, fault: &str| json!({ "name": name, "memory_used_mib": 70_000, "memory_total_mib": 81_559, "fault": fault });
        let of = json!({
            "name": "r", "managed": true, "model": "m", "phase": "ready", "detail": "", "adapters": [], "requests": 0,
            "gpus": [], "gpu_states": [state("NVIDIA H100", ""), state("NVIDIA H100", "GPU 1 had Xid 31"), state("NVIDIA L4", "")],
        });
        let row = replica(&of);
        assert_eq!((row[1].as_str(), row[2].as_str()), ("2x NVIDIA H100, 1x NVIDIA L4", "210000/244677 MiB"));
        assert_eq!(row[6], "GPU 1 had Xid 31");
    }

    #[test]
    fn a_model_is_a_row() {
        let fixed = json!({ "id": "m", "ready": 1, "min": null, "max": null, "needed": null, "waits_for": "" });
        assert_eq!(model(&fixed), ["m", "1", "-", "-", "-", ""]);
    }
}
