//! What people and programs are shown.

use serde_json::{Value, json};

use crate::{
    figure::{Compared, Figures, Pair},
    scenario::Scenario,
};

/// Says what is being measured.
#[expect(clippy::print_stderr, reason = "progress of minutes of work, for who waits")]
pub fn progress(round: u32, rounds: u32, scenario: Scenario) {
    eprintln!("round {round} of {rounds}: {}", scenario.about());
}

/// Prints the medians, and between what they lie.
#[expect(clippy::print_stdout, reason = "the result")]
pub fn table(machine: &str, figures: &Figures) {
    println!("{machine}\n");
    let width = figures.all().iter().map(|figure| figure.name.len()).max().unwrap_or_default().max(44);
    println!("{:<12} {:<width$} {:>12} {:>10} .. {:<10} unit", "scenario", "figure", "median", "least", "most");
    let mut scenario = "";
    for figure in figures.all() {
        let shown = if figure.scenario == scenario { "" } else { &figure.scenario };
        scenario = &figure.scenario;
        let (median, least, most) = (figure.median(), figure.least(), figure.most());
        println!("{shown:<12} {:<width$} {median:>12.2} {least:>10.2} .. {most:<10.2} {}", figure.name, figure.unit);
    }
}

/// Prints the medians of two builds, and what this one has of the other's.
#[expect(clippy::print_stdout, reason = "the result")]
pub fn compared(machine: &str, compared: &Compared) {
    println!("{machine}\n");
    println!("{:<12} {:<44} {:>12} {:>12} {:>8} unit", "scenario", "figure", "this", "other", "ratio");
    let mut scenario = "";
    for Pair { this, other, ratio } in compared.pairs() {
        let shown = if this.scenario == scenario { "" } else { &this.scenario };
        scenario = &this.scenario;
        let (name, unit) = (&this.name, this.unit);
        println!("{shown:<12} {name:<44} {:>12.2} {:>12.2} {ratio:>8.3} {unit}", this.median(), other.median());
    }
}

/// The same with the figures of every round.
pub fn json(machine: &str, rounds: u32, figures: &Figures) -> Value {
    let figures: Vec<_> = figures
        .all()
        .iter()
        .map(|figure| {
            json!({
                "scenario": figure.scenario, "figure": figure.name, "unit": figure.unit,
                "median": figure.median(), "values": figure.values,
            })
        })
        .collect();
    json!({ "machine": machine, "rounds": rounds, "figures": figures })
}
