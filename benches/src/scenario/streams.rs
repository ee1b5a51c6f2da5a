//! Streams whose tokens come at the pace of a GPU.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::task::JoinSet;

use super::{BOTH, Measures, cost::Meter};
use crate::{
    figure::Figures,
    rig::{Rig, Target},
    wire::Streamed,
};

/// How many streams, and how fast.
#[derive(Debug, Clone, Copy)]
pub struct Offer {
    scenario: &'static str,
    streams: u32,
    per_second: u32,
}

/// What a core carries with ease: what a token costs is seen here.
pub const FEW: Offer = Offer { scenario: "streams", streams: 100, per_second: 50 };

/// 100,000 tokens a second: how much of it is delivered in time is seen here.
pub const MANY: Offer = Offer { scenario: "flood", streams: 1000, per_second: 100 };

pub async fn measure(rig: &Rig, measures: &Measures, offer: Offer, figures: &mut Figures) -> Result<()> {
    for (target, name) in BOTH {
        let tokens = u32::try_from(measures.time.as_secs())? * offer.per_second;
        let pace = Duration::from_secs(1) / offer.per_second;
        let text = format!("Tell me a story. [[tokens={tokens}]][[eos=false]][[delay={}us]]", pace.as_micros());
        let request = rig.request(target, &text, true);
        let mut clients = JoinSet::new();
        let mut connections = Vec::new();
        // Before the first stream begins: whoever reads streams already is slow to connect.
        for _ in 0..offer.streams {
            connections.push(rig.connect(target).await?);
        }
        let (meter, begun) = (Meter::start(rig)?, Instant::now());
        for mut connection in connections {
            let request = request.clone();
            clients.spawn(async move {
                connection.begin(&request).await?;
                let mut streamed = Streamed::default();
                while !streamed.ended {
                    connection.follow(&mut streamed).await?;
                }
                anyhow::Ok(streamed.tokens)
            });
        }
        let mut counted = None;
        while let Some(client) = clients.join_next().await {
            let told = client??;
            // The gateway counts as OpenAI's tools do: words of the engine may be several tokens.
            ensure!(told >= Some(tokens), "a stream of {tokens} tokens says that it had {told:?}");
            let first = *counted.get_or_insert(told);
            ensure!(told == first, "two streams of the same text say that they had {told:?} and {first:?} tokens");
        }
        let time = begun.elapsed().as_secs_f64();
        let all = f64::from(tokens) * f64::from(offer.streams);
        figures.note(offer.scenario, &format!("{name}, tokens delivered"), "1/s", all / time);
        if target == Target::Gateway {
            meter.note(rig, &mut figures.of(offer.scenario, ""), "a token", all)?;
        }
    }
    Ok(())
}
