//! Whether a batch's input is what it should be, line by line.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hasher};

use crate::batches::batch::BatchError;
use crate::batches::create::Endpoint;
use crate::batches::line::Line;
use crate::invalid::shorten;

/// What is told of a file at most.
const MOST_ERRORS: usize = 100;

/// Looks at each line once.
#[derive(Debug)]
pub struct Checker {
    endpoint: Endpoint,
    most_lines: u32,
    most_bytes: usize,
    /// By 128 bits of hash each: names may be long, and many.
    seen: HashSet<[u64; 2]>,
    model: Option<String>,
    total: u32,
    last: u32,
    errors: Vec<BatchError>,
}

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub struct Checked {
    /// Lines that are requests.
    pub total: u32,
    /// The number of the last one.
    pub last: u32,
    pub model: String,
}

impl Checker {
    /// For so many lines of so many bytes each.
    pub fn new(endpoint: Endpoint, most_lines: u32, most_bytes: usize) -> Self {
        Self {
            endpoint,
            most_lines,
            most_bytes,
            seen: HashSet::new(),
            model: None,
            total: 0,
            last: 0,
            errors: Vec::new(),
        }
    }

    /// Whether the rest need not be looked at.
    pub fn has_seen_enough(&self) -> bool {
        self.errors.len() >= MOST_ERRORS || self.total > self.most_lines
    }

    /// Looks at a line.
    pub fn check(&mut self, number: u32, text: &[u8]) {
        if self.has_seen_enough() {
            return;
        }
        (self.total, self.last) = (self.total + 1, number);
        if let Err(error) = self.look_at(text) {
            self.errors.push(error.at(number));
        }
    }

    fn look_at(&mut self, text: &[u8]) -> Result<(), BatchError> {
        if text.len() > self.most_bytes {
            let message = format!("This line is longer than the {} bytes that this server accepts.", self.most_bytes);
            return Err(BatchError::new("line_too_long", message, None));
        }
        let line = Line::read(text, self.endpoint)?;
        let model = self.model.get_or_insert_with(|| line.model.clone());
        if *model != line.model {
            let message = format!(
                "The model '{}' of this request is not that of the requests before it ('{}'). A batch is for one model.",
                shorten(&line.model),
                shorten(model)
            );
            return Err(BatchError::new("mismatched_model", message, Some("body.model")));
        }
        if !self.seen.insert(hash(&line.custom_id)) {
            let message = format!(
                "The custom_id '{}' for this request is a duplicate of another request. The custom_id parameter must be \
                 unique for each request in a batch.",
                shorten(&line.custom_id)
            );
            return Err(BatchError::new("duplicate_custom_id", message, Some("custom_id")));
        }
        Ok(())
    }

    /// All lines were looked at.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn finish(mut self) -> Result<Checked, Vec<BatchError>> {
        if self.total > self.most_lines {
            let message = format!("The batch has more than the {} requests that this server accepts.", self.most_lines);
            self.errors.insert(0, BatchError::new("too_many_requests", message, None));
        }
        match self.model {
            Some(model) if self.errors.is_empty() => Ok(Checked { total: self.total, last: self.last, model }),
            _ if self.errors.is_empty() => {
                let message = "The input file is empty. Please ensure that the batch contains at least one request.";
                Err(vec![BatchError::new("empty_file", message, None)])
            }
            _ => Err(self.errors),
        }
    }
}

fn hash(text: &str) -> [u64; 2] {
    [0_u8, 1].map(|salt| {
        let mut hasher = DefaultHasher::new();
        hasher.write_u8(salt);
        hasher.write(text.as_bytes());
        hasher.finish()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(custom_id: &str, model: &str) -> String {
        format!(r#"{{"custom_id":"{custom_id}","method":"POST","url":"/v1/completions","body":{{"model":"{model}"}}}}"#)
    }

    fn check(lines: &[String], most: u32) -> Result<Checked, Vec<(Option<u32>, String)>> {
        let mut checker = Checker::new(Endpoint::Completions, most, 200);
        for (number, line) in (1..).zip(lines) {
            checker.check(number * 2, line.as_bytes());
        }
        checker.finish().map_err(|errors| errors.into_iter().map(|error| (error.line, error.code)).collect())
    }

    proptest! {
        #[test]
        fn whatever_is_uploaded_is_counted_or_told(lines in proptest::collection::vec("\\PC{0,40}|\\{\"custom_id\":\"[ab]\",.{0,20}\\}", 0..20)) {
            let told = check(&lines, 9);
            let blank = lines.is_empty();
            prop_assert!(told.is_err() && (blank || !told.unwrap_err().is_empty()));
        }
    }

    #[test]
    fn a_good_file_is_counted() {
        let lines = [line("a", "m"), line("b", "m")];
        assert_eq!(check(&lines, 2), Ok(Checked { total: 2, last: 4, model: "m".to_owned() }));
    }

    #[test]
    fn each_bad_line_is_told() {
        let told = |errors: &[(u32, &str)]| {
            Err(errors.iter().map(|(line, code)| (Some(*line), (*code).to_owned())).collect::<Vec<_>>())
        };
        let lines = [line("a", "m"), "{".to_owned(), line("a", "m"), line("c", "n"), line(&"x".repeat(200), "m")];
        let errors =
            [(4, "invalid_json_line"), (6, "duplicate_custom_id"), (8, "mismatched_model"), (10, "line_too_long")];
        assert_eq!(check(&lines, 9), told(&errors));
        assert_eq!(check(&[], 9), Err(vec![(None, "empty_file".to_owned())]));
        let many: Vec<_> = (0..4).map(|number| line(&number.to_string(), "m")).collect();
        assert_eq!(check(&many, 3), Err(vec![(None, "too_many_requests".to_owned())]));
        let broken = vec!["{".to_owned(); 1000];
        assert_eq!(check(&broken, 5000).unwrap_err().len(), MOST_ERRORS);
    }
}
