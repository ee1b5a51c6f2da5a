//! What routers may order, and what comes of it.

use std::sync::Arc;

use cloudach_proto::v1::{CommandOutcome, LoadAdapter, LoadModel, RouterCommand, router_command::Command};
use parking_lot::Mutex;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use super::moves;
use crate::{
    assignment,
    process::EngineProcess,
    sidecar::Sidecar,
    state::{Draining, Phase},
};

/// Carries out the commands of all routers.
#[derive(Debug)]
pub(crate) struct Commands {
    /// The highest epoch that any router has used: what an older leader orders is refused.
    epoch: Mutex<u64>,
    tasks: TaskTracker,
    end: CancellationToken,
}

impl Commands {
    /// What is carried out belongs to `tasks`, and ends with `end`.
    pub(crate) fn new(tasks: TaskTracker, end: CancellationToken) -> Self {
        Self { epoch: Mutex::default(), tasks, end }
    }

    /// Does what `order` says; the outcome says why when it was not done. What has begun is brought to its end also when
    /// nobody waits for the outcome any more.
    pub(super) async fn carry_out(&self, sidecar: &Arc<Sidecar>, order: RouterCommand) -> CommandOutcome {
        let RouterCommand { epoch, command_id, command, reason } = order;
        info!(epoch, command_id, ?command, reason, "command received");
        let done = match self.accept(epoch) {
            Ok(()) => {
                let (sidecar, end) = (sidecar.clone(), self.end.clone());
                let obeying =
                    async move { end.run_until_cancelled(obey(&sidecar, command)).await.unwrap_or_else(stopping) };
                self.tasks.spawn(obeying).await.unwrap_or_else(|_| stopping())
            }
            Err(reason) => Err(reason),
        };
        match done {
            Ok(()) => CommandOutcome { command_id, done: true, detail: String::new() },
            Err(reason) => {
                warn!(command_id, reason, "command not carried out");
                Self::refused(command_id, reason)
            }
        }
    }

    pub(super) fn refused(command_id: u64, reason: impl Into<String>) -> CommandOutcome {
        CommandOutcome { command_id, done: false, detail: reason.into() }
    }

    fn accept(&self, epoch: u64) -> Result<(), String> {
        let mut highest = self.epoch.lock();
        if epoch < *highest {
            return Err(format!("epoch {epoch} is over; the leader's is {highest}"));
        }
        *highest = epoch;
        Ok(())
    }
}

fn stopping() -> Result<(), String> {
    Err("this sidecar is stopping".to_owned())
}

async fn obey(sidecar: &Sidecar, command: Option<Command>) -> Result<(), String> {
    match command.ok_or("this sidecar does not know the command")? {
        Command::Load(order) => load(sidecar, &order),
        Command::Unload(order) => {
            has(sidecar, &order.model)?;
            moves::unload(sidecar).await
        }
        Command::Sleep(order) => {
            has(sidecar, &order.model)?;
            moves::sleep(sidecar, order.level).await
        }
        Command::Wake(order) => {
            has(sidecar, &order.model)?;
            moves::wake(sidecar).await
        }
        Command::Drain(_) => {
            sidecar.states.drain(Draining::Refusing);
            Ok(())
        }
        Command::LoadAdapter(order) => {
            has(sidecar, &order.model)?;
            load_adapter(sidecar, order).await
        }
        Command::UnloadAdapter(order) => {
            has(sidecar, &order.model)?;
            // First, so that nothing new comes for it.
            sidecar.states.remove_adapter(&order.adapter);
            sidecar.engine.unload_adapter(&order.adapter).await.map_err(|error| error.to_string())
        }
    }
}

fn has(sidecar: &Sidecar, model: &str) -> Result<(), String> {
    let now = sidecar.states.now();
    if model == now.model {
        return Ok(());
    }
    if now.model.is_empty() {
        return Err(format!("this sidecar has no model, so it does not have `{model}`"));
    }
    Err(format!("this sidecar's model is `{}`, not `{model}`", now.model))
}

/// Also ends a drain: this is how a drained replica is taken back.
fn load(sidecar: &Sidecar, order: &LoadModel) -> Result<(), String> {
    let Some(managed) = &sidecar.managed else {
        has(sidecar, &order.model)?;
        if sidecar.states.now().phase == Phase::Unloading {
            return Err(format!("`{}` is being unloaded", order.model));
        }
        sidecar.states.end_drain();
        sidecar.process.iter().for_each(|process| process.set_wanted(true));
        return Ok(());
    };
    let process = sidecar.process.as_ref().ok_or("this sidecar starts no engine")?;
    let now = sidecar.states.now();
    if now.leaving {
        return stopping();
    }
    let there = !matches!(now.phase, Phase::Unloaded | Phase::Unloading | Phase::Failed(_));
    if now.model == order.model && there {
        sidecar.states.end_drain();
        return Ok(());
    }
    let command = assignment::command(&sidecar.command, managed, order)?;
    sidecar.states.take(&order.model)?;
    sidecar.states.end_drain();
    start(process, command);
    Ok(())
}

fn start(process: &EngineProcess, command: Vec<String>) {
    process.set_command(command);
    process.set_wanted(true);
}

async fn load_adapter(sidecar: &Sidecar, order: LoadAdapter) -> Result<(), String> {
    if let Some(managed) = &sidecar.managed {
        assignment::check_source(managed, &order.path)?;
    }
    let Phase::Ready(before) = sidecar.states.now().phase else {
        return Err("only a ready model takes adapters".to_owned());
    };
    sidecar.engine.load_adapter(&order.adapter, &order.path).await.map_err(|error| error.to_string())?;
    // Another engine may have come meanwhile, and that does not have it.
    match sidecar.states.now().phase {
        Phase::Ready(now) if Arc::ptr_eq(&before, &now) => {
            sidecar.states.add_adapter(order.adapter);
            Ok(())
        }
        _ => Err("the engine was lost meanwhile".to_owned()),
    }
}
