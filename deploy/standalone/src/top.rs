//! `cloudach top`: models, replicas and what they do, as their metrics tell it now.

mod page;
mod rates;
mod screen;
mod snapshot;
mod view;

use std::{
    collections::VecDeque,
    io::{IsTerminal, Write, stderr, stdout},
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use tokio::time::sleep;

use crate::{admin::AdminError, at::At, table};
use snapshot::Snapshot;
use view::{Table, View};

/// Over how many looks rates are taken: of a few looks, those of one would jump.
const LOOKS: usize = 5;

/// Looks are no closer together than this.
const SHORTEST: Duration = Duration::from_millis(200);

/// What models and replicas do, live. `q` ends it.
#[derive(Debug, Args)]
pub struct Top {
    #[command(flatten)]
    at: At,
    /// How long it is from one look to the next. Rates are those of the last five.
    #[arg(long, default_value = "2s", value_parser = humantime_serde::re::humantime::parse_duration)]
    every: Duration,
    /// Look twice, print tables, and end. Also where the output is no terminal.
    #[arg(long)]
    once: bool,
}

/// The looks of late, the oldest first.
#[derive(Debug, Default)]
struct Looks(VecDeque<Snapshot>);

impl Looks {
    fn push(&mut self, snapshot: Snapshot) {
        self.0.push_back(snapshot);
        if self.0.len() > LOOKS + 1 {
            self.0.pop_front();
        }
    }

    /// What is to be seen. None: nothing was looked at yet.
    fn view(&self) -> Option<View> {
        Some(view::of(self.0.front()?, self.0.back()?))
    }
}

impl Top {
    /// Shows it until it is ended.
    pub fn run(&self) -> ExitCode {
        match self.show() {
            Ok(code) => code,
            Err(error) => {
                let _ = writeln!(stderr(), "cloudach top: {error}");
                ExitCode::FAILURE
            }
        }
    }

    fn show(&self) -> Result<ExitCode, AdminError> {
        let token = self.at.token()?;
        let every = self.every.max(SHORTEST);
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(AdminError::Runtime)?;
        if self.once || !stdout().is_terminal() {
            return Ok(runtime.block_on(self.once(every, token.as_deref())));
        }
        runtime.block_on(screen::run(&self.at, token.as_deref(), every)).map_err(AdminError::Terminal)?;
        Ok(ExitCode::SUCCESS)
    }

    async fn once(&self, every: Duration, token: Option<&str>) -> ExitCode {
        let mut looks = Looks::default();
        looks.push(Snapshot::take(&self.at, token).await);
        sleep(every).await;
        let last = Snapshot::take(&self.at, token).await;
        let answers = !last.processes.is_empty();
        looks.push(last);
        let Some(view) = looks.view() else { return ExitCode::FAILURE };
        for problem in &view.problems {
            let _ = writeln!(stderr(), "cloudach top: {problem}");
        }
        if !answers {
            return ExitCode::FAILURE;
        }
        let text_of = |table: &Table| table::text_of(table.titles.iter().copied(), &table.rows);
        let [processes, together] = &view.head;
        let _ = write!(stdout(), "{processes}\n{together}\n\n{}\n{}", text_of(&view.models), text_of(&view.replicas));
        ExitCode::SUCCESS
    }
}
