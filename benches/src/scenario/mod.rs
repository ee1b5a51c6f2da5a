//! What is measured. Each scenario is a file.

mod churn;
mod cost;
mod idle;
mod kinds;
mod latency;
mod leaving;
mod prompts;
mod scaling;
mod short;
mod streams;
mod unary;
mod whole;

use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;

use crate::{
    figure::Figures,
    rig::{Place, Rig, Target},
};

/// See each one's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    Latency,
    Unary,
    Streams,
    Flood,
    Whole,
    Leaving,
    Prompts,
    Churn,
    Tools,
    Schema,
    Idle,
    #[value(name = "idle-50k")]
    IdleMany,
    Scaling,
}

/// How much is measured.
#[derive(Debug, Clone)]
pub struct Measures {
    /// For how long.
    pub time: Duration,
    /// How many streams are open and quiet.
    pub idle: usize,
    /// What is in the names of the sizes that are measured.
    pub size: String,
}

impl Scenario {
    /// All of them, but for what takes minutes and gigabytes; what leaves memory behind comes last.
    pub fn all() -> Vec<Self> {
        Self::value_variants().iter().copied().filter(|scenario| *scenario != Self::IdleMany).collect()
    }

    pub fn about(self) -> &'static str {
        match self {
            Self::Latency => "one connection, one request after the other",
            Self::Unary => "short answers as fast as they come",
            Self::Streams => "100 streams of 50 tokens a second",
            Self::Flood => "1,000 streams of 100 tokens a second",
            Self::Whole => "100 whole answers of 50 tokens a second",
            Self::Leaving => "clients that leave their streams",
            Self::Prompts => "prompts of 100,000 tokens",
            Self::Churn => "clients that come, ask once and go",
            Self::Tools => "short answers with a dozen tools",
            Self::Schema => "short answers that follow a schema",
            Self::Idle => "streams that are open and quiet",
            Self::IdleMany => "50,000 streams that are open and quiet, over 3 edges and sidecars",
            Self::Scaling => "more edges, more replicas, more models",
        }
    }

    /// Whether it starts the processes that it needs itself.
    pub fn is_alone(self) -> bool {
        matches!(self, Self::IdleMany | Self::Scaling)
    }

    pub async fn measure_alone(self, place: &Place, measures: &Measures, figures: &mut Figures) -> Result<()> {
        match self {
            Self::IdleMany => idle::measure_many(place, figures).await,
            Self::Scaling => scaling::measure(place, measures, figures).await,
            _ => Ok(()),
        }
    }

    pub async fn measure(self, rig: &Rig, measures: &Measures, figures: &mut Figures) -> Result<()> {
        match self {
            Self::Latency => latency::measure(rig, figures).await,
            Self::Unary => unary::measure(rig, measures, figures).await,
            Self::Streams => streams::measure(rig, measures, streams::FEW, figures).await,
            Self::Flood => streams::measure(rig, measures, streams::MANY, figures).await,
            Self::Whole => whole::measure(rig, measures, figures).await,
            Self::Leaving => leaving::measure(rig, figures).await,
            Self::Prompts => prompts::measure(rig, measures, figures).await,
            Self::Idle => idle::measure(rig, measures, figures).await,
            Self::Churn => churn::measure(rig, measures, figures).await,
            Self::Tools => kinds::tools(rig, measures, figures).await,
            Self::Schema => kinds::schema(rig, measures, figures).await,
            Self::IdleMany | Self::Scaling => Ok(()),
        }
    }
}

/// The engine alone first, then the gateway.
const BOTH: [(Target, &str); 2] = [(Target::Engine, "engine alone"), (Target::Gateway, "gateway")];
