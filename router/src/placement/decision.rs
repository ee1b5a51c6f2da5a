//! What the planner decides, and why.

use std::fmt;

/// One command to one replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub replica: String,
    pub model: String,
    pub action: Action,
    /// For people.
    pub reason: String,
}

/// What is to be done with the model.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Load it, or take it back where it is being drained.
    Load,
    Wake,
    Sleep,
    /// Take nothing new and finish what runs; unloading follows.
    Drain,
    Unload,
    LoadAdapter {
        name: String,
        path: String,
    },
    UnloadAdapter {
        name: String,
    },
}

impl Action {
    /// The model is to leave the replica.
    pub fn ends(&self) -> bool {
        matches!(self, Self::Drain | Self::Unload)
    }

    /// The name in logs and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Wake => "wake",
            Self::Sleep => "sleep",
            Self::Drain => "drain",
            Self::Unload => "unload",
            Self::LoadAdapter { .. } => "load_adapter",
            Self::UnloadAdapter { .. } => "unload_adapter",
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {} on {}: {}", self.action.name(), self.model, self.replica, self.reason)
    }
}
