//! What must not be seen is replaced, in whole texts: whatever pieces they came in.

use std::borrow::Cow;

use regex::{NoExpand, Regex};

/// How texts are redacted.
#[derive(Debug)]
pub struct Redaction {
    pub rules: Vec<Rule>,
    /// In bytes, as all here.
    pub longest: usize,
    /// What rules find is no longer.
    pub margin: usize,
}

/// What is replaced by what.
#[derive(Debug)]
pub struct Rule {
    pub pattern: Regex,
    pub with: String,
}

impl Redaction {
    /// A text as it may be seen. Of one that is cut off at its end the last bytes are left off: a rule may have found something
    /// there, had it gone on.
    pub fn of(&self, text: &str, mut is_cut: bool) -> String {
        let mut text = Cow::Borrowed(text);
        for rule in &self.rules {
            if let Cow::Owned(replaced) = rule.pattern.replace_all(&text, NoExpand(&rule.with)) {
                text = Cow::Owned(replaced);
            }
            // Replacements may be longer than what they replace.
            if text.len() > self.longest {
                is_cut = true;
                text = Cow::Owned(start(&text, self.longest).to_owned());
            }
        }
        match is_cut && !self.rules.is_empty() {
            true => start(&text, text.len().saturating_sub(self.margin)).to_owned(),
            false => text.into_owned(),
        }
    }
}

/// Its first bytes, of whole characters.
pub fn start(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn redaction(rules: &[(&str, &str)]) -> Redaction {
        let rules = rules
            .iter()
            .map(|(pattern, with)| Rule { pattern: Regex::new(pattern).unwrap(), with: (*with).to_owned() });
        Redaction { rules: rules.collect(), longest: 1000, margin: 20 }
    }

    #[test]
    fn rules_follow_one_another_and_replacements_are_as_they_are() {
        let redaction = redaction(&[(r"\d{4,}", "<$0>"), ("(?i)secret <", "[")]);
        assert_eq!(redaction.of("a SECRET 12345 b 123", false), "a [$0> b 123");
    }

    #[test]
    fn the_end_of_what_is_cut_is_left_off() {
        let redaction = redaction(&[(r"\d{16}", "#")]);
        let text = "a long enough beginning 4111 1111";
        assert_eq!(redaction.of(text, true), text[..text.len() - 20]);
        assert_eq!((redaction.of("short", true), redaction.of("short", false)), (String::new(), "short".to_owned()));
        // With no rules there is nothing to be found.
        assert_eq!(self::redaction(&[]).of("short", true), "short");
    }

    proptest! {
        #[test]
        fn no_secret_is_left_and_nothing_grows_without_end(
            words in prop::collection::vec("[a-zäß ]{0,6}|[0-9]{0,9}", 0..300), is_cut: bool,
        ) {
            let text = words.concat();
            let redaction = redaction(&[(r"[0-9]{4,8}", "a replacement that is rather long"), ("[a-z]", "XXXXXXXX")]);
            let redacted = redaction.of(&text, is_cut);
            prop_assert!(redacted.len() <= 1000);
            prop_assert!(!Regex::new("[0-9]{4}").unwrap().is_match(&redacted), "{}", redacted);
        }
    }
}
