//! Where a replica has an adapter that it may serve: ready for its batch, or still to be copied there. No I/O.

use std::fmt;

/// Where a replica has an adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Residency {
    /// Ready for its batch.
    Resident,
    /// It is to be copied into a place that is free.
    Absent,
    /// It is to be copied to where another one is, which has to come back later.
    Crowded,
}

/// What copying an adapter costs, in tokens of prompt that could be read meanwhile: some tens of megabytes, between two of
/// the engine's steps.
const COPIED: f32 = 256.0;

/// The same where another one gives way: it is copied again, too, and while all are in use the request waits.
const PUSHES_OUT: f32 = 1024.0;

impl Residency {
    /// Of an adapter, where these are in so many places. None: the engine does not say.
    pub fn of(resident: &[String], slots: usize, name: &str) -> Option<Self> {
        match slots {
            0 => None,
            _ if resident.iter().any(|adapter| adapter == name) => Some(Self::Resident),
            slots if resident.len() < slots => Some(Self::Absent),
            _ => Some(Self::Crowded),
        }
    }

    /// What it costs to have it ready, in tokens of prompt.
    pub fn cost(self) -> f32 {
        match self {
            Self::Resident => 0.0,
            Self::Absent => COPIED,
            Self::Crowded => PUSHES_OUT,
        }
    }
}

impl fmt::Display for Residency {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Resident => "resident",
            Self::Absent => "absent",
            Self::Crowded => "crowded",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_replica_reports() {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let of = |resident: &[&str], slots| Residency::of(&names(resident), slots, "a");
        for (resident, slots, expected) in [
            (&[][..], 0, None),
            (&["a"], 0, None),
            (&[], 1, Some(Residency::Absent)),
            (&["b"], 2, Some(Residency::Absent)),
            (&["b"], 1, Some(Residency::Crowded)),
            (&["b", "c"], 2, Some(Residency::Crowded)),
            (&["b", "a"], 2, Some(Residency::Resident)),
        ] {
            assert_eq!(of(resident, slots), expected, "{resident:?} of {slots}");
        }
    }
}
