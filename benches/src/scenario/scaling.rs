//! What a short answer costs with more edges, more replicas and more models. It should cost the same.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use serde_json::json;
use tokio::time::sleep;

use super::{Measures, cost::Meter, short};
use crate::{
    figure::{Figures, Note},
    rig::{self, Layout, Place, Replicas, Rig, Target},
};

/// Requests one after the other.
const ALONE: usize = 400;

/// Not counted of these.
const WARM: usize = 50;

/// How long nothing is asked.
const QUIET: Duration = Duration::from_secs(2);

/// One size of everything.
#[derive(Debug, Clone, Copy)]
struct Size {
    name: &'static str,
    edges: usize,
    replicas: usize,
    models: usize,
    /// Models that the replicas are of.
    served: usize,
}

const PLAIN: Size = Size { name: "1 edge, 1 replica, 10 models", edges: 1, replicas: 1, models: 10, served: 1 };

const SIZES: [Size; 10] = [
    PLAIN,
    Size { name: "2 edges", edges: 2, ..PLAIN },
    Size { name: "4 edges", edges: 4, ..PLAIN },
    Size { name: "10 replicas", replicas: 10, ..PLAIN },
    Size { name: "100 replicas", replicas: 100, ..PLAIN },
    Size { name: "1,000 replicas", replicas: 1000, ..PLAIN },
    Size { name: "100 models", models: 100, ..PLAIN },
    Size { name: "1,000 models", models: 1000, ..PLAIN },
    Size { name: "10,000 models", models: 10_000, ..PLAIN },
    Size { name: "1,000 replicas of 200 models", replicas: 1000, models: 200, served: 200, ..PLAIN },
];

pub async fn measure(place: &Place, measures: &Measures, figures: &mut Figures) -> Result<()> {
    for size in SIZES {
        let replicas = Replicas::Played { replicas: size.replicas, models: size.served };
        let rig = Rig::start(place, &Layout { edges: size.edges, models: size.models, replicas }).await?;
        match size.measure(&rig, measures, figures.of("scaling", size.name)).await {
            Ok(()) => rig.stop()?,
            Err(error) => return Err(error.context(format!("{}; logs are in {}", size.name, rig.keep().display()))),
        }
    }
    Ok(())
}

impl Size {
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    async fn measure(self, rig: &Rig, measures: &Measures, mut note: Note<'_>) -> Result<()> {
        rig.all_ready(self.replicas as u64).await?;
        let played = rig.played.as_ref().context("nobody plays sidecars")?;
        for process in rig.gateway.iter().filter(|process| process.name == "router") {
            note.figure("RSS of router", "MiB", process.resident()? / 1024.0);
        }
        sleep(QUIET / 2).await;
        for (busy, name) in [(false, "at rest"), (true, "with busy replicas")] {
            played.be_busy(busy);
            let (meter, begun) = (Meter::start(rig)?, Instant::now());
            sleep(QUIET).await;
            let time = begun.elapsed().as_secs_f64();
            for (service, used) in meter.used(rig)?.into_iter().filter(|(service, _)| *service == "router") {
                note.figure(&format!("{service} {name}, of a core"), "%", used.as_secs_f64() / time * 100.0);
            }
        }
        played.be_busy(false);

        let questions: Vec<_> = (0..self.served).map(question).collect();
        let mut times = Histogram::<u64>::new(3)?;
        let mut connection = rig.connect(Target::Gateway).await?;
        for (number, question) in questions.iter().cycle().take(WARM + ALONE).enumerate() {
            let begun = Instant::now();
            connection.ask(&question.request).await?.ok()?;
            if number >= WARM {
                times.record(u64::try_from(begun.elapsed().as_nanos())?)?;
            }
        }
        note.figure("answer after, p50", "us", times.value_at_quantile(0.5) as f64 / 1e3);

        let meter = Meter::start(rig)?;
        let answers = short::ask(rig, Target::Gateway, &questions, measures.time).await?;
        meter.note(rig, &mut note, "an answer", answers as f64)
    }
}

/// A short one, of this model.
fn question(model: usize) -> short::Question {
    let messages = json!([{ "role": "user", "content": "What is the capital of France?" }]);
    let request = rig::chat(json!({ "model": rig::model(model), "messages": messages }), false);
    short::Question { request, is_streamed: false }
}
