//! Short answers as fast as they come, on connections that are kept: what several scenarios ask for.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::task::JoinSet;

use crate::{
    rig::{Rig, Target},
    wire::{Connection, Request, Streamed},
};

/// Requests at once: enough that the core never waits for one.
const AT_ONCE: usize = 64;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Question {
    pub request: Request,
    pub is_streamed: bool,
}

impl Question {
    /// Asked once; the answer.
    pub async fn once(&self, rig: &Rig, target: Target) -> Result<String> {
        let mut connection = rig.connect(target).await?;
        if !self.is_streamed {
            return connection.ask(&self.request).await?.text();
        }
        self.ask(&mut connection).await.map(|()| String::new())
    }

    async fn ask(&self, connection: &mut Connection) -> Result<()> {
        if !self.is_streamed {
            return connection.ask(&self.request).await?.ok().map(drop);
        }
        connection.begin(&self.request).await?;
        let mut streamed = Streamed::default();
        while !streamed.ended {
            connection.follow(&mut streamed).await?;
        }
        ensure!(streamed.tokens > Some(0), "a stream says that it had {:?} tokens", streamed.tokens);
        Ok(())
    }
}

/// Asks these questions in turn for so long; how many answers there were.
pub async fn ask(rig: &Rig, target: Target, questions: &[Question], time: Duration) -> Result<usize> {
    let mut clients = JoinSet::new();
    let until = Instant::now() + time;
    for number in 0..AT_ONCE {
        let mut connection = rig.connect(target).await?;
        // Each begins with another one.
        let questions = questions.to_vec();
        clients.spawn(async move {
            let mut answers = 0_usize;
            while Instant::now() < until {
                let question = questions.get((number + answers) % questions.len()).context("there is no question")?;
                question.ask(&mut connection).await?;
                answers += 1;
            }
            anyhow::Ok(answers)
        });
    }
    let mut answers = 0;
    while let Some(client) = clients.join_next().await {
        answers += client??;
    }
    Ok(answers)
}
