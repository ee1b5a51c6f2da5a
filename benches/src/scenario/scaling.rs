//! What a short answer costs with more edges, more replicas and more models. It should cost the same.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use cloudach_proto::v1::ModelPhase;
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

/// In which a replica is so often not ready, and ready again.
const CHANGES: u32 = 20;

const SHORT: &str = "What is the capital of France?";

/// One size of everything.
#[derive(Debug, Clone, Copy)]
struct Size {
    name: &'static str,
    edges: usize,
    replicas: usize,
    models: usize,
    /// Models that the replicas are of.
    served: usize,
    /// The other models have a place.
    placed: bool,
}

const PLAIN: Size =
    Size { name: "1 edge, 1 replica, 10 models", edges: 1, replicas: 1, models: 10, served: 1, placed: false };

const SIZES: [Size; 11] = [
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
    Size { name: "the same, 10,000 more placed", replicas: 1000, models: 10_200, served: 200, placed: true, ..PLAIN },
];

pub async fn measure(place: &Place, measures: &Measures, figures: &mut Figures) -> Result<()> {
    for size in SIZES.into_iter().filter(|size| size.name.contains(&measures.size)) {
        let replicas = Replicas::Played { replicas: size.replicas, models: size.served };
        let begun = Instant::now();
        let layout = Layout { edges: size.edges, models: size.models, placed: size.placed, replicas };
        let rig = Rig::start(place, &layout).await?;
        rig.all_ready(size.replicas as u64).await?;
        figures.note("scaling", &format!("{}: all ready after", size.name), "s", begun.elapsed().as_secs_f64());
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
        let played = rig.played.as_ref().context("nobody plays sidecars")?;
        sleep(QUIET / 2).await;
        for process in rig.gateway.iter().take(self.edges + 1).skip(self.edges - 1) {
            note.figure(&format!("RSS of {}", process.name), "MiB", process.resident()? / 1024.0);
        }
        let meter = Meter::start(rig)?;
        sleep(QUIET).await;
        let at_rest = meter.used(rig)?;
        played.be_busy(true);
        let meter = Meter::start(rig)?;
        sleep(QUIET).await;
        let busy = meter.used(rig)?;
        played.be_busy(false);
        for (used, name) in [(&at_rest, "at rest"), (&busy, "with busy replicas")] {
            for (service, used) in used {
                let share = used.as_secs_f64() / QUIET.as_secs_f64();
                note.figure(&format!("{service} {name}, of a core"), "%", share * 100.0);
            }
        }

        let meter = Meter::start(rig)?;
        for change in 0..CHANGES {
            played.change(if change % 2 == 0 { ModelPhase::Loading } else { ModelPhase::Ready }).await?;
            sleep(QUIET / CHANGES).await;
        }
        for ((service, used), (_, at_rest)) in meter.used(rig)?.into_iter().zip(&at_rest) {
            let each = used.saturating_sub(*at_rest).as_secs_f64() / f64::from(CHANGES);
            note.figure(&format!("a replica changes: {service}"), "ms", each * 1e3);
        }
        rig.all_ready(self.replicas as u64).await?;

        let questions: Vec<_> = (0..self.served).map(|model| question(model, SHORT)).collect();
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

        let rest = |service: &str, time: Duration| {
            let used = at_rest.iter().find(|(name, _)| *name == service).map_or(Duration::ZERO, |(_, used)| *used);
            used.mul_f64(time.as_secs_f64() / QUIET.as_secs_f64())
        };
        let beginning = "You are a helpful assistant of the town's library. ".repeat(160);
        let long = |number: usize| format!("{beginning} Reader {number} asks: {}", "and what else? ".repeat(500));
        let long: Vec<_> = (0..16).map(|number| question(0, &long(number))).collect();
        for (questions, name) in [(questions, "an answer"), (long, "one to a prompt of 16 KB")] {
            let (meter, begun) = (Meter::start(rig)?, Instant::now());
            let answers = short::ask(rig, Target::Gateway, &questions, measures.time).await?;
            for (service, used) in meter.used(rig)? {
                // What it does at rest it does meanwhile too.
                let used = used.saturating_sub(rest(service, begun.elapsed()));
                let each = used.as_secs_f64() * 1e6 / answers.max(1) as f64;
                note.figure(&format!("{name}: of it in the {service}"), "us", each);
            }
        }
        Ok(())
    }
}

/// What this model is asked.
fn question(model: usize, text: &str) -> short::Question {
    let messages = json!([{ "role": "user", "content": text }]);
    let request = rig::chat(json!({ "model": rig::model(model), "messages": messages }), false);
    short::Question { request, is_streamed: false }
}
