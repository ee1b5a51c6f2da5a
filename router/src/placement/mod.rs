//! Placement: which sidecar runs which model.

//!
//! [`plan`] decides and does nothing, [`conduct`] does and decides nothing; [`course`] remembers for both.

pub mod conduct;
pub mod course;
pub mod decision;
pub mod demand;
pub mod leader;
pub mod lease;
pub mod need;
pub mod plan;
pub mod room;
pub mod situation;
pub mod spec;
pub mod troubles;
