//! The properties that the fuzz targets check (docs/fuzzing.md), with the committed seeds and with random inputs of the
//! targets' words.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops where it is")]

use std::fs;
use std::path::{Path, PathBuf};

use cloudach_model::reading::ToolFormat;
use properties::reading::Family;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

#[path = "../fuzz/src/lib.rs"]
mod properties;

/// A target's name and what it checks.
type Target = (String, Box<dyn Fn(&[u8])>);

#[test]
fn seeds_hold() {
    for (target, check) in targets() {
        let seeds = fs::read_dir(fuzz().join("seeds").join(&target)).unwrap();
        let seeds: Vec<PathBuf> = seeds.map(|seed| seed.unwrap().path()).collect();
        assert!(seeds.len() > 3, "{target} has no seeds");
        for seed in seeds {
            println!("{}", seed.display());
            check(&fs::read(&seed).unwrap());
        }
    }
}

/// More inputs: `PROPTEST_CASES=20000`.
#[test]
fn random_inputs_hold() {
    for (target, check) in targets() {
        let words = words(&target);
        let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
        let cases = config.cases;
        let mut runner = TestRunner::new(config);
        let choices = prop::collection::vec(any::<u8>(), if target == "template" { 48 } else { 6 });
        let word = prop_oneof![4 => (0..words.len()).prop_map(move |number| words[number].clone()), 1 => ".{0,3}"];
        let input = (choices, prop::collection::vec(word, 0..24));
        for _ in 0..cases {
            let (mut input, words) = input.new_tree(&mut runner).unwrap().current();
            words.iter().for_each(|word| input.extend(word.as_bytes()));
            println!("{target}: {}", input.escape_ascii());
            check(&input);
        }
    }
}

#[test]
fn every_format_has_a_target() {
    for format in ToolFormat::all() {
        let families = Family::ALL.iter().filter(|family| family.tool_formats().contains(&format.name()));
        assert_eq!(families.count(), 1, "{}", format.name());
    }
}

fn targets() -> Vec<Target> {
    let mut targets: Vec<Target> = vec![
        ("calls".to_owned(), Box::new(properties::calls::check)),
        ("schema".to_owned(), Box::new(properties::schema::check)),
        ("template".to_owned(), Box::new(properties::template::check)),
    ];
    for family in Family::ALL {
        let check = move |data: &[u8]| properties::reading::check(family, data);
        targets.push((format!("{family:?}").to_lowercase(), Box::new(check)));
    }
    targets
}

/// The words of a target's dictionary, in libFuzzer's notation.
fn words(target: &str) -> Vec<String> {
    let dictionary = fs::read_to_string(fuzz().join("dictionaries").join(format!("{target}.dict"))).unwrap();
    let words = dictionary.lines().filter_map(|line| line.strip_prefix('"')?.strip_suffix('"'));
    words.map(word).collect()
}

fn word(escaped: &str) -> String {
    let mut word = Vec::new();
    let mut rest = escaped.as_bytes();
    while let Some((sign, after)) = rest.split_first() {
        rest = after;
        match (sign, after.first()) {
            (b'\\', Some(b'x')) => {
                word.push(u8::from_str_radix(std::str::from_utf8(&after[1..3]).unwrap(), 16).unwrap());
                rest = &after[3..];
            }
            (b'\\', Some(escaped)) => {
                word.push(*escaped);
                rest = &after[1..];
            }
            _ => word.push(*sign),
        }
    }
    String::from_utf8(word).unwrap()
}

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}
