//! Long prompts: each one new, or the next turn of a long conversation; and each as the engine alone is asked it.

use std::{
    fmt::Write,
    time::{Duration, Instant},
};

use anyhow::Result;
use serde_json::{Value, json};

use super::Measures;
use crate::{
    figure::Figures,
    rig::{Rig, Target, messages},
    wire::Request,
};

/// Words of a prompt of about 100,000 tokens.
const WORDS: usize = 75_000;

/// Turns of the conversation; each further one adds one part in so many.
const TURNS: usize = 20;

pub async fn measure(rig: &Rig, measures: &Measures, figures: &mut Figures) -> Result<()> {
    let mut seed = Words(0x5eed ^ u64::from(std::process::id()));
    let mut fresh = || vec![json!({ "role": "user", "content": seed.text(WORDS) })];
    let mut new = Times::default();
    let until = Instant::now() + measures.time;
    while Instant::now() < until {
        new.ask(rig, fresh()).await?;
    }
    new.note(figures, "all new");

    let mut said: Vec<Value> =
        (0..TURNS).map(|turn| json!({ "role": role(turn), "content": seed.text(WORDS / TURNS) })).collect();
    let mut known = Times::default();
    Times::default().ask(rig, said.clone()).await?;
    let until = Instant::now() + measures.time;
    while Instant::now() < until {
        // The oldest two turns are not let go of: only what a client adds is new.
        said.truncate(TURNS - 1);
        said.push(json!({ "role": role(TURNS - 1), "content": seed.text(WORDS / TURNS) }));
        known.ask(rig, said.clone()).await?;
    }
    known.note(figures, "95 % seen before");
    Ok(())
}

fn role(turn: usize) -> &'static str {
    if turn.is_multiple_of(2) { "user" } else { "assistant" }
}

/// What requests of one kind took.
#[derive(Debug, Default)]
struct Times {
    all: Vec<Duration>,
    engine: Vec<Duration>,
    cpu: Duration,
}

impl Times {
    async fn ask(&mut self, rig: &Rig, mut said: Vec<Value>) -> Result<()> {
        said.push(json!({ "role": "user", "content": "Go on. [[tokens=1]]" }));
        let text: String = said.iter().filter_map(|said| said["content"].as_str()).collect();
        let request = messages(&said.into(), false);
        let cpu = front(rig)?;
        self.all.push(time(rig, Target::Gateway, &request).await?);
        self.cpu += front(rig)?.saturating_sub(cpu);
        self.engine.push(time(rig, Target::Engine, &Target::Engine.request(&text, false)).await?);
        Ok(())
    }

    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    fn note(&mut self, figures: &mut Figures, name: &str) {
        let median = |times: &mut Vec<Duration>| {
            times.sort_unstable();
            times[times.len() / 2].as_secs_f64() * 1e3
        };
        let (gateway, engine) = (median(&mut self.all), median(&mut self.engine));
        let per_core = self.all.len() as f64 / self.cpu.as_secs_f64().max(0.001);
        figures.note("prompts", &format!("{name}, per core of edge and router"), "1/s", per_core);
        figures.note("prompts", &format!("{name}, answer after, p50"), "ms", gateway);
        figures.note("prompts", &format!("{name}, engine alone, p50"), "ms", engine);
        figures.note("prompts", &format!("{name}, added, p50"), "ms", gateway - engine);
    }
}

async fn time(rig: &Rig, target: Target, request: &Request) -> Result<Duration> {
    let mut connection = rig.connect(target).await?;
    let begun = Instant::now();
    connection.ask(request).await?.ok()?;
    Ok(begun.elapsed())
}

/// Processor time of the edge and the router.
fn front(rig: &Rig) -> Result<Duration> {
    Ok(rig.gateway[0].cpu()? + rig.gateway[1].cpu()?)
}

/// Text that nobody has counted before.
struct Words(u64);

impl Words {
    fn text(&mut self, words: usize) -> String {
        const KNOWN: [&str; 16] = [
            "the",
            "river",
            "carries",
            "stones",
            "from",
            "mountains",
            "which",
            "nobody",
            "remembers",
            "building",
            "towns",
            "between",
            "winter",
            "markets",
            "slowly",
            "again",
        ];
        let mut text = String::with_capacity(words * 8);
        for _ in 0..words {
            // Steps of a linear congruence: the same on every machine.
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let drawn = self.0 >> 40;
            match drawn % 5 {
                0 => drop(write!(text, "{} ", drawn % 1000)),
                _ => text.extend([KNOWN[(drawn >> 8) as usize % KNOWN.len()], " "]),
            }
        }
        text
    }
}
