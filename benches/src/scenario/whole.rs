//! Whole answers whose tokens come at the pace of a GPU: nobody sees one before it is complete, and it is carried all the same.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::task::JoinSet;

use super::{BOTH, Measures, cost::Meter};
use crate::{
    figure::Figures,
    rig::{Rig, Target},
};

const ANSWERS: u32 = 100;
const PER_SECOND: u32 = 50;

pub async fn measure(rig: &Rig, measures: &Measures, figures: &mut Figures) -> Result<()> {
    for (target, name) in BOTH {
        let tokens = u32::try_from(measures.time.as_secs())? * PER_SECOND;
        let pace = Duration::from_secs(1) / PER_SECOND;
        let text = format!("Tell me a story. [[tokens={tokens}]][[eos=false]][[delay={}us]]", pace.as_micros());
        let request = rig.request(target, &text, false);
        let mut clients = JoinSet::new();
        let (meter, begun) = (Meter::start(rig)?, Instant::now());
        for _ in 0..ANSWERS {
            let (mut connection, request) = (rig.connect(target).await?, request.clone());
            clients.spawn(async move {
                let answer: Value = serde_json::from_str(&connection.ask(&request).await?.text()?)?;
                answer["usage"]["completion_tokens"].as_u64().context("an answer does not say how many tokens it has")
            });
        }
        while let Some(client) = clients.join_next().await {
            let told = client??;
            ensure!(told >= u64::from(tokens), "an answer of {tokens} tokens says that it has {told}");
        }
        let all = f64::from(tokens) * f64::from(ANSWERS);
        figures.note("whole", &format!("{name}, tokens"), "1/s", all / begun.elapsed().as_secs_f64());
        if target == Target::Gateway {
            meter.note(rig, &mut figures.of("whole", ""), "a token", all)?;
        }
    }
    Ok(())
}
