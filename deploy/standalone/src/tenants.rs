//! `cloudach tenants`: a client of the admin API.

use std::{
    io::{Write, stderr, stdout},
    process::ExitCode,
};

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::Value;

use crate::{
    admin::{AdminAt, AdminError, segment},
    allowance::Allowance,
    table,
};

/// Organisations or projects, whose keys share what they may use.
#[derive(Debug, Args)]
pub struct Tenants {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    admin: AdminAt,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a tenant.
    Create(Said),
    /// Change a tenant: what is said takes the place of what was.
    Set(Said),
    /// List tenants.
    List {
        /// As JSON, a tenant a line.
        #[arg(long)]
        json: bool,
    },
    /// Show a tenant and what it has spent, as JSON.
    Show { id: String },
    /// Remove a tenant; its keys stop working.
    Delete { id: String },
}

#[derive(Debug, Args)]
struct Said {
    /// Letters, digits, `.`, `_` and `-`.
    id: String,
    /// Named in the header `openai-organization`.
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    allowance: Allowance,
}

impl Tenants {
    /// Prints what comes of it.
    pub fn run(&self) -> ExitCode {
        match self.answer() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                let _ = writeln!(stderr(), "cloudach tenants: {error}");
                ExitCode::FAILURE
            }
        }
    }

    fn answer(&self) -> Result<(), AdminError> {
        let admin = &self.admin;
        match &self.command {
            Command::Create(said) => {
                let mut body = said.body();
                body["id"] = said.id.clone().into();
                table::print_json(&admin.ask(Method::POST, "/admin/v1/tenants", Some(&body))?);
            }
            Command::Set(said) => {
                table::print_json(&admin.ask(Method::PATCH, &path(&said.id), Some(&said.body()))?);
            }
            Command::List { json } => list(admin, *json)?,
            Command::Show { id } => table::print_json(&admin.ask(Method::GET, &path(id), None)?),
            Command::Delete { id } => {
                admin.ask(Method::DELETE, &path(id), None)?;
                let _ = writeln!(stderr(), "{id} is removed");
            }
        }
        Ok(())
    }
}

impl Said {
    fn body(&self) -> Value {
        let mut body = Value::from(self.allowance.fields());
        if let Some(name) = &self.name {
            body["name"] = name.clone().into();
        }
        body
    }
}

fn list(admin: &AdminAt, json: bool) -> Result<(), AdminError> {
    let mut rows = Vec::new();
    table::each_page(admin, "/admin/v1/tenants", "", |tenant| {
        if json {
            let _ = writeln!(stdout(), "{tenant}");
        }
        rows.push(["id", "name", "priority"].map(|field| table::text(&tenant[field]).to_owned()));
    })?;
    if !json {
        table::print(["ID", "NAME", "PRIORITY"], &rows);
    }
    Ok(())
}

fn path(id: &str) -> String {
    format!("/admin/v1/tenants/{}", segment(id))
}
