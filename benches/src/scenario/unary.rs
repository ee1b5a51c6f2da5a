//! Short answers, as many as one core of the gateway can take.

use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::JoinSet;

use super::{BOTH, Measures};
use crate::{figure::Figures, rig::Rig};

/// Requests at once: enough that the core never waits for one.
const AT_ONCE: usize = 64;

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
pub async fn measure(rig: &Rig, measures: &Measures, figures: &mut Figures) -> Result<()> {
    for (target, name) in BOTH {
        let request = target.request("What is the capital of France? [[tokens=1]]", false);
        let mut clients = JoinSet::new();
        let (cpu, begun) = (rig.each_cpu()?, Instant::now());
        let until = begun + measures.time;
        for _ in 0..AT_ONCE {
            let (mut connection, request) = (rig.connect(target).await?, request.clone());
            clients.spawn(async move {
                let mut answers = 0_usize;
                while Instant::now() < until {
                    connection.ask(&request).await?.ok()?;
                    answers += 1;
                }
                anyhow::Ok(answers)
            });
        }
        let mut answers = 0;
        while let Some(client) = clients.join_next().await {
            answers += client??;
        }
        let (time, after) = (begun.elapsed(), rig.each_cpu()?);
        figures.note("unary", &format!("{name}, answers"), "1/s", answers as f64 / time.as_secs_f64());
        if name == "gateway" {
            let used: Vec<_> = cpu.iter().zip(&after).map(|(before, after)| after.saturating_sub(*before)).collect();
            figures.note("unary", "processor time of an answer", "us", per(used.iter().sum(), answers));
            for (process, used) in rig.gateway.iter().zip(used) {
                figures.note("unary", &format!("of it in the {}", process.name), "us", per(used, answers));
            }
        }
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn per(time: Duration, count: usize) -> f64 {
    time.as_secs_f64() * 1e6 / count.max(1) as f64
}
