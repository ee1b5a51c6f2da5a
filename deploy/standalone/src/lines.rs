//! Commands that read JSON lines and write JSON lines: one for each, in their order, errors included.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::ExitCode;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// The longest line that is read, in bytes.
const LONGEST: u64 = 64 * 1024 * 1024;

/// Why a line has no result.
#[derive(Debug, Serialize)]
pub struct Fault {
    /// For programs.
    pub kind: &'static str,
    /// For people.
    pub message: String,
}

#[derive(Serialize)]
struct Failed {
    error: Fault,
}

/// Answers every line of the standard input on the standard output.
pub fn answer<T: DeserializeOwned>(answer: impl Fn(T) -> Result<Value, Fault>) -> ExitCode {
    match all(io::stdin().lock(), io::stdout().lock(), answer) {
        Ok(()) => ExitCode::SUCCESS,
        // Who reads has heard enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot go on: {error}");
            ExitCode::FAILURE
        }
    }
}

fn all<T: DeserializeOwned>(
    input: impl Read,
    mut output: impl Write,
    answer: impl Fn(T) -> Result<Value, Fault>,
) -> io::Result<()> {
    let mut input = BufReader::new(input);
    let mut line = Vec::new();
    loop {
        line.clear();
        if (&mut input).take(LONGEST).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        if line.len() as u64 == LONGEST && line.last() != Some(&b'\n') {
            return Err(io::Error::other(format!("a line is longer than {LONGEST} bytes")));
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let read = serde_json::from_slice(&line)
            .map_err(|error| Fault { kind: "invalid_input", message: format!("the line cannot be read: {error}") });
        match read.and_then(&answer) {
            Ok(value) => serde_json::to_writer(&mut output, &value)?,
            Err(error) => serde_json::to_writer(&mut output, &Failed { error })?,
        }
        output.write_all(b"\n")?;
        output.flush()?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_answered_in_its_order() {
        let input = b"{\"a\": 1}\n\nno json\n{\"a\": -1}\n{\"a\": 2}";
        let mut output = Vec::new();
        let answer = |value: Value| match value["a"].as_i64() {
            Some(number) if number > 0 => Ok(number.into()),
            _ => Err(Fault { kind: "negative", message: "it is".to_owned() }),
        };
        all(&input[..], &mut output, answer).expect("memory takes all of it");
        let output = String::from_utf8(output).expect("JSON is UTF-8");
        let lines: Vec<&str> = output.lines().collect();
        assert_eq!(lines.len(), 4);
        assert_eq!((lines[0], lines[3]), ("1", "2"));
        assert!(lines[1].contains("\"kind\":\"invalid_input\""), "{}", lines[1]);
        assert_eq!(lines[2], r#"{"error":{"kind":"negative","message":"it is"}}"#);
    }
}
