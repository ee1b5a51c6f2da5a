//! What routers may order, and what comes of it.

use cloudach_proto::v1::{CommandOutcome, RouterCommand, router_command::Command};
use parking_lot::Mutex;
use tracing::{info, warn};

use crate::{
    sidecar::Sidecar,
    state::{Draining, Phase},
};

/// Carries out the commands of all routers.
#[derive(Debug, Default)]
pub(crate) struct Commands {
    /// The highest epoch that any router has used: what an older leader orders is refused.
    epoch: Mutex<u64>,
}

impl Commands {
    /// Does what `order` says; the outcome says why when it was not done.
    pub(super) async fn carry_out(&self, sidecar: &Sidecar, order: RouterCommand) -> CommandOutcome {
        let RouterCommand { epoch, command_id, command } = order;
        info!(epoch, command_id, ?command, "command received");
        let done = match self.accept(epoch) {
            Ok(()) => obey(sidecar, command).await,
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

async fn obey(sidecar: &Sidecar, command: Option<Command>) -> Result<(), String> {
    match command.ok_or("this sidecar does not know the command")? {
        Command::Load(order) => {
            serves(sidecar, &order.model)?;
            load(sidecar);
            Ok(())
        }
        Command::Unload(order) => {
            serves(sidecar, &order.model)?;
            unload(sidecar)
        }
        Command::Sleep(order) => {
            serves(sidecar, &order.model)?;
            sleep(sidecar, order.level).await
        }
        Command::Wake(order) => {
            serves(sidecar, &order.model)?;
            wake(sidecar).await
        }
        Command::Drain(_) => {
            sidecar.states.drain(Draining::Refusing);
            Ok(())
        }
        Command::LoadAdapter(order) => {
            serves(sidecar, &order.model)?;
            sidecar.engine.load_adapter(&order.adapter, &order.path).await.map_err(|error| error.to_string())?;
            sidecar.adapters.lock().insert(order.adapter);
            Ok(())
        }
    }
}

fn serves(sidecar: &Sidecar, model: &str) -> Result<(), String> {
    if model == sidecar.model {
        return Ok(());
    }
    Err(format!("this sidecar's model is `{}`, not `{model}`", sidecar.model))
}

/// Also ends a drain: this is how a drained replica is taken back.
fn load(sidecar: &Sidecar) {
    sidecar.states.end_drain();
    if let Some(process) = &sidecar.process {
        process.set_wanted(true);
    }
}

fn unload(sidecar: &Sidecar) -> Result<(), String> {
    let process = sidecar.process.as_ref().ok_or("this sidecar did not start its engine, so it cannot stop it")?;
    // Told first, so that nothing new comes.
    sidecar.states.set_phase(Phase::Unloaded);
    process.set_wanted(false);
    Ok(())
}

async fn sleep(sidecar: &Sidecar, level: u32) -> Result<(), String> {
    let Phase::Ready(model) = sidecar.states.phase() else {
        return Err("only a ready model can be put to sleep".to_owned());
    };
    // Told first, so that nothing new comes while the engine empties its memory.
    sidecar.states.set_phase(Phase::Sleeping(model.clone()));
    sidecar.engine.sleep(level).await.map_err(|error| {
        sidecar.states.set_phase(Phase::Ready(model));
        error.to_string()
    })
}

async fn wake(sidecar: &Sidecar) -> Result<(), String> {
    let Phase::Sleeping(model) = sidecar.states.phase() else {
        return Err("the model does not sleep".to_owned());
    };
    sidecar.engine.wake().await.map_err(|error| error.to_string())?;
    sidecar.states.set_phase(Phase::Ready(model));
    Ok(())
}
