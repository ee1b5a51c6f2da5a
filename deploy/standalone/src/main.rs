//! `cloudach`: the whole gateway in one process, and the operator's commands.

mod admin;
mod admin_token;
mod allowance;
mod at;
mod check;
mod config;
mod fleet;
mod keys;
mod lines;
mod parse;
mod progress;
mod render;
mod schema;
mod table;
mod tenants;
mod top;
mod trace;
mod up;
mod usage;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// An OpenAI-compatible gateway for fleets of GPUs that run vLLM.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run edge, router and sidecars in this process.
    Up(up::Up),
    /// Say whether a configuration file is valid.
    Check(check::Check),
    /// Say which replicas a router has, and what they do.
    Fleet(fleet::Fleet),
    /// Make, list and revoke the keys that clients ask with.
    Keys(Box<keys::Keys>),
    /// Say which models a router has, and why one is not there.
    Models(fleet::Models),
    /// Say what a model's text is read as.
    Parse(parse::Parse),
    /// Say what prompt a chat template makes of a request.
    Render(render::Render),
    /// Translate JSON Schemas into what an engine enforces.
    Schema(schema::Schema),
    /// Make and change the tenants that keys belong to.
    Tenants(Box<tenants::Tenants>),
    /// Watch models, replicas and what they do, live.
    Top(top::Top),
    /// Show what one request did, and when, as the processes remember it.
    Trace(trace::TraceCommand),
    /// Say what was used, and what it cost.
    Usage(Box<usage::Usage>),
}

fn main() -> ExitCode {
    // This binary is also the watchdog that it starts beside each engine.
    cloudach_sidecar::supervise::main_if_asked();
    match Arguments::parse().command {
        Command::Up(up) => up.run(),
        Command::Check(check) => check.run(),
        Command::Fleet(fleet) => fleet.run(),
        Command::Keys(keys) => keys.run(),
        Command::Models(models) => models.run(),
        Command::Parse(parse) => parse.run(),
        Command::Render(render) => render.run(),
        Command::Schema(schema) => schema.run(),
        Command::Tenants(tenants) => tenants.run(),
        Command::Top(top) => top.run(),
        Command::Trace(trace) => trace.run(),
        Command::Usage(usage) => usage.run(),
    }
}
