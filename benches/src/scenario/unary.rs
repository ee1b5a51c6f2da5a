//! Short answers, as many as one core of the gateway can take.

use std::time::Instant;

use anyhow::Result;

use super::{BOTH, Measures, cost::Meter, short};
use crate::{
    figure::Figures,
    rig::{Rig, Target},
};

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
pub async fn measure(rig: &Rig, measures: &Measures, figures: &mut Figures) -> Result<()> {
    for (target, name) in BOTH {
        let request = rig.request(target, "What is the capital of France? [[tokens=1]]", false);
        let question = short::Question { request, is_streamed: false };
        let (meter, begun) = (Meter::start(rig)?, Instant::now());
        let answers = short::ask(rig, target, &[question], measures.time).await? as f64;
        figures.note("unary", &format!("{name}, answers"), "1/s", answers / begun.elapsed().as_secs_f64());
        if target == Target::Gateway {
            meter.note(rig, &mut figures.of("unary", ""), "an answer", answers)?;
        }
    }
    Ok(())
}
