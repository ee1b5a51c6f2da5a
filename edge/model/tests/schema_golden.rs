//! Translated schemas of clients, builders and the standard's own test suite, under the decoder they are meant for.

mod schema_decoder;

use std::collections::BTreeMap;
use std::path::Path;

use cloudach_model::schema::{Dialect, translate};
use schema_decoder::Decoder;
use serde::Deserialize;
use serde_json::Value;

const FILES: [&str; 5] = ["real", "pydantic", "style", "nasty", "suite"];

/// What is known not to pass, and why.
const MISSES: [(&str, &str); 33] = [
    ("real-045", UNIQUE),
    ("pydantic-set-m", UNIQUE),
    ("suite-uniqueItems-00", UNIQUE),
    ("suite-uniqueItems-01", UNIQUE),
    ("nasty-contains", CONTAINS),
    ("suite-contains-00", CONTAINS),
    ("suite-contains-01", CONTAINS),
    ("suite-contains-04", CONTAINS),
    ("suite-contains-06", CONTAINS),
    ("suite-maxContains-01", CONTAINS),
    ("suite-maxContains-02", CONTAINS),
    ("suite-maxContains-03", CONTAINS),
    ("suite-minContains-02", CONTAINS),
    ("suite-minContains-03", CONTAINS),
    ("suite-minContains-07", CONTAINS),
    ("suite-unevaluatedItems-21", CONTAINS),
    ("suite-unevaluatedItems-22", CONTAINS),
    ("suite-not-01", FRACTION),
    ("suite-oneOf-00", FRACTION),
    ("suite-oneOf-06", FRACTION),
    ("suite-patternProperties-02", NAMES),
    ("suite-unevaluatedProperties-39", NAMES),
    ("suite-unevaluatedProperties-21", "`$dynamicRef` with two targets is refused"),
    ("nasty-self-ref-root", ORDER),
    ("nasty-property-named-like-keywords", ORDER),
    ("suite-allOf-01", ORDER),
    ("suite-dependentRequired-03", ORDER),
    ("suite-propertyNames-05", ORDER),
    ("suite-const-11", FORM),
    ("suite-const-13", FORM),
    ("suite-enum-09", FORM),
    ("suite-enum-10", FORM),
    ("suite-enum-11", FORM),
];
const UNIQUE: &str = "refused: no grammar compares items";
const CONTAINS: &str = "refused: no words for `contains` in arrays without a small `maxItems`";
const FRACTION: &str = "refused: no words for numbers that are no integers";
const NAMES: &str = "refused: no words for names that match one pattern and not another one";
const ORDER: &str = "the decoder writes members in the schema's order, the case has them in another one";
const FORM: &str = "the decoder writes an integer without a fraction, the case has 1.0";

#[derive(Deserialize)]
struct Case {
    id: String,
    #[serde(default)]
    expect: Expect,
    schema: Value,
    #[serde(default)]
    valid: Vec<Value>,
    #[serde(default)]
    invalid: Vec<Value>,
}

#[derive(Deserialize, Default, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Expect {
    #[default]
    Accept,
    Refuse,
    RefuseOrEmpty,
}

#[test]
fn translations_accept_the_same_values() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/schemas");
    if !folder.is_dir() {
        assert!(std::env::var_os("CI").is_none(), "{} is missing", folder.display());
        eprintln!("skipped: {} is missing", folder.display());
        return;
    }
    let decoder = Decoder::new();
    let mut missed = BTreeMap::new();
    for file in FILES {
        let cases = std::fs::read_to_string(folder.join(format!("{file}.json"))).unwrap();
        let cases: Vec<Case> = serde_json::from_str(&cases).unwrap();
        let mut passed = 0;
        for case in &cases {
            match check(case, &decoder, Dialect::Vllm) {
                Ok(()) => passed += 1,
                Err(Miss::Lenient(what)) => panic!("{}: {what}", case.id),
                Err(Miss::Narrow(what)) => {
                    missed.insert(case.id.clone(), what);
                }
            }
            // The other dialect may refuse more, but never takes what is invalid.
            if let Err(Miss::Lenient(what)) = check(case, &decoder, Dialect::LlamaCpp) {
                panic!("{} for llama.cpp: {what}", case.id);
            }
        }
        println!("{file}: {passed} of {}", cases.len());
    }
    let known: BTreeMap<&str, &str> = MISSES.into_iter().collect();
    for (id, what) in &missed {
        let reason = known.get(id.as_str()).unwrap_or_else(|| panic!("{id} no longer passes: {what}"));
        println!("miss {id}: {reason}");
    }
    for id in known.keys() {
        assert!(missed.contains_key(*id), "{id} passes now");
    }
}

enum Miss {
    /// Something invalid was taken.
    Lenient(String),
    /// Something valid was not.
    Narrow(String),
}

fn check(case: &Case, decoder: &Decoder, dialect: Dialect) -> Result<(), Miss> {
    let schema = match (translate(&case.schema, dialect), &case.expect) {
        (Err(_), Expect::Refuse | Expect::RefuseOrEmpty) => return Ok(()),
        // Nothing is valid: an error says so.
        (Err(_), Expect::Accept) if case.valid.is_empty() => return Ok(()),
        (Err(error), Expect::Accept) => return Err(Miss::Narrow(error.to_string())),
        (Ok(schema), Expect::Refuse) => return Err(Miss::Lenient(format!("became {schema}"))),
        (Ok(schema), _) => schema,
    };
    let mut follower =
        decoder.follow(&schema).map_err(|error| Miss::Lenient(format!("{schema} does not compile: {error}")))?;
    for value in &case.invalid {
        if follower.takes_value(value) != (false, false) {
            return Err(Miss::Lenient(format!("{schema} takes {value}")));
        }
    }
    for value in &case.valid {
        if follower.takes_value(value) != (true, true) {
            return Err(Miss::Narrow(format!("{schema} does not take {value}")));
        }
    }
    Ok(())
}
