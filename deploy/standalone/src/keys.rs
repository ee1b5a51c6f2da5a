//! `cloudach keys`: a client of the admin API, so that it works alike with one process and with many.

use std::{
    io::{Read, Write, stderr, stdin, stdout},
    process::ExitCode,
    time::{Duration, SystemTime},
};

use clap::{Args, Subcommand};
use cloudach_edge::access::keys::KeyHash;
use humantime_serde::re::humantime;
use hyper::Method;
use serde_json::{Value, json};

use crate::{
    admin::{AdminAt, AdminError, segment},
    allowance::Allowance,
    table,
};

/// Keys that clients ask with.
#[derive(Debug, Args)]
pub struct Keys {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    admin: AdminAt,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a key. It is printed this once.
    Create(Create),
    /// List keys.
    List {
        /// Only this tenant's.
        #[arg(long)]
        tenant: Option<String>,
        /// As JSON, a key a line.
        #[arg(long)]
        json: bool,
    },
    /// Show a key and what it has spent, as JSON.
    Show { id: String },
    /// Put a new key in the place of another. It is printed this once.
    Rotate {
        id: String,
        /// For how long the old key works beside the new one, such as `1h`.
        #[arg(long, default_value = "0s", value_parser = humantime::parse_duration)]
        overlap: Duration,
    },
    /// Revoke a key: every edge knows within a second.
    Revoke { id: String },
    /// Take over a key that clients have already: it is read from standard input and does not leave this machine, only its
    /// hash does.
    Import {
        #[command(flatten)]
        create: Create,
        /// The key's SHA-256 in hex, where the key itself is not at hand.
        #[arg(long)]
        sha256: Option<String>,
    },
}

#[derive(Debug, Args)]
struct Create {
    /// For people: named in usage records.
    name: String,
    /// The tenant that it belongs to.
    #[arg(long, default_value = "")]
    tenant: String,
    /// Named in the header `openai-project`.
    #[arg(long)]
    project: Option<String>,
    /// How long it works, such as `30days`. [default: for ever]
    #[arg(long, value_parser = humantime::parse_duration)]
    expires_in: Option<Duration>,
    #[command(flatten)]
    allowance: Allowance,
}

impl Keys {
    /// Prints what comes of it.
    pub fn run(&self) -> ExitCode {
        match self.answer() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                let _ = writeln!(stderr(), "cloudach keys: {error}");
                ExitCode::FAILURE
            }
        }
    }

    fn answer(&self) -> Result<(), AdminError> {
        let admin = &self.admin;
        match &self.command {
            Command::Create(create) => {
                print_secret(&admin.ask(Method::POST, "/admin/v1/keys", Some(&create.body()))?)
            }
            Command::List { tenant, json } => list(admin, tenant.as_deref(), *json)?,
            Command::Show { id } => table::print_json(&admin.ask(Method::GET, &path(id, ""), None)?),
            Command::Rotate { id, overlap } => {
                let body = json!({ "overlap_seconds": overlap.as_secs() });
                print_secret(&admin.ask(Method::POST, &path(id, "/rotate"), Some(&body))?);
            }
            Command::Revoke { id } => {
                let key = admin.ask(Method::POST, &path(id, "/revoke"), None)?;
                let _ = writeln!(stderr(), "{} is revoked", table::text(&key["id"]));
            }
            Command::Import { create, sha256 } => {
                let mut body = create.body();
                body["sha256"] = match sha256 {
                    Some(sha256) => sha256.clone(),
                    None => hash_of_stdin()?,
                }
                .into();
                let key = admin.ask(Method::POST, "/admin/v1/keys", Some(&body))?;
                let _ = writeln!(stdout(), "{}", table::text(&key["id"]));
            }
        }
        Ok(())
    }
}

impl Create {
    fn body(&self) -> Value {
        let mut body = Value::from(self.allowance.fields());
        body["name"] = self.name.clone().into();
        body["tenant"] = self.tenant.clone().into();
        if let Some(project) = &self.project {
            body["project"] = project.clone().into();
        }
        if let Some(time) = self.expires_in {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            body["expires"] = now.saturating_add(time).as_secs().into();
        }
        body
    }
}

fn list(admin: &AdminAt, tenant: Option<&str>, json: bool) -> Result<(), AdminError> {
    let of_tenant = tenant.map(|tenant| format!("&tenant={}", segment(tenant))).unwrap_or_default();
    let mut rows = Vec::new();
    table::each_page(admin, "/admin/v1/keys", &of_tenant, |key| {
        if json {
            let _ = writeln!(stdout(), "{key}");
        }
        rows.push(
            ["id", "name", "tenant", "hint", "priority", "status"].map(|field| table::text(&key[field]).to_owned()),
        );
    })?;
    if !json {
        table::print(["ID", "NAME", "TENANT", "KEY", "PRIORITY", "STATUS"], &rows);
    }
    Ok(())
}

/// The key alone goes to standard output, for `KEY=$(cloudach keys create ...)`.
fn print_secret(key: &Value) {
    let _ = writeln!(stderr(), "{}: the key is shown this once", table::text(&key["id"]));
    let _ = writeln!(stdout(), "{}", table::text(&key["key"]));
}

fn hash_of_stdin() -> Result<String, AdminError> {
    let mut key = String::new();
    stdin().read_to_string(&mut key).map_err(|error| AdminError::Refused(format!("cannot read the key: {error}")))?;
    match key.trim() {
        "" => Err(AdminError::Refused("standard input holds no key".to_owned())),
        key => Ok(KeyHash::of(key).to_hex()),
    }
}

fn path(id: &str, rest: &str) -> String {
    format!("/admin/v1/keys/{}{rest}", segment(id))
}
