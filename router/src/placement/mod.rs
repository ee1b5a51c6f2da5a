//! Placement: which sidecar runs which model.

pub mod decision;
pub mod need;
pub mod plan;
pub mod room;
pub mod situation;
pub mod spec;
pub mod troubles;
