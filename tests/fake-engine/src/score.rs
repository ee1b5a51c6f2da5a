//! How well a document answers a query: the share of the query's words that it has. The same on every engine.

use std::collections::HashSet;

use crate::vocabulary;

/// From 0 to 1.
pub(crate) fn score(query: &str, document: &str) -> f64 {
    let words = |text: &str| text.split_whitespace().map(str::to_lowercase).collect::<HashSet<_>>();
    let (query, document) = (words(query), words(document));
    let common = u32::try_from(query.intersection(&document).count()).unwrap_or(u32::MAX);
    let all = u32::try_from(query.len().max(1)).unwrap_or(u32::MAX);
    f64::from(common) / f64::from(all)
}

/// How many tokens the pair is.
pub(crate) fn tokens(query: &str, document: &str) -> usize {
    vocabulary::tokenize(query).len() + vocabulary::tokenize(document).len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_more_of_the_words_scores_more() {
        assert!((score("red fox", "A Fox is red") - 1.0).abs() < f64::EPSILON);
        assert!((score("red fox", "a fox") - 0.5).abs() < f64::EPSILON);
        assert!(score("red fox", "whales").abs() < f64::EPSILON);
        assert_eq!(tokens("abcd", "ab"), 3);
    }
}
