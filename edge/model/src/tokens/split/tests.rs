use std::sync::LazyLock;

use fancy_regex::Regex;
use proptest::prelude::*;

use super::*;

/// As tiktoken-rs has it, which keeps this one to itself.
const CL100K_BASE: &str = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s";

/// Each with its pattern.
static SPLITS: LazyLock<[(Split, Regex); 2]> = LazyLock::new(|| {
    let regex = |pattern| Regex::new(pattern).unwrap();
    [(o200k_base, regex(tiktoken_rs::O200K_BASE_PAT_STR)), (cl100k_base, regex(CL100K_BASE))]
});

fn by_hand(split: Split, text: &str) -> Vec<&str> {
    let mut begin = 0;
    let mut next = || {
        let end = split(text, begin);
        let piece = &text[begin..end];
        begin = end;
        (!piece.is_empty()).then_some(piece)
    };
    let pieces = std::iter::from_fn(&mut next).collect();
    assert_eq!(begin, text.len(), "{text:?} is left in part");
    pieces
}

fn by_pattern<'t>(pattern: &Regex, text: &'t str) -> Vec<&'t str> {
    pattern.find_iter(text).map(|piece| piece.unwrap().as_str()).collect()
}

/// The class of every character is the pattern language's.
#[test]
fn characters_are_in_the_classes_of_the_patterns() {
    let class = |pattern| Regex::new(pattern).unwrap();
    let classes = [
        (class(r"[\p{Lu}\p{Lt}]"), Class::UPPER),
        (class(r"\p{Ll}"), Class::LOWER),
        (class(r"[\p{Lm}\p{Lo}]"), Class::OTHER_LETTER),
        (class(r"\p{M}"), Class::MARK),
        (class(r"\p{N}"), Class::NUMBER),
        (class(r"[\s&&[^\r\n]]"), Class::SPACE),
        (class(r"[\r\n]"), Class::NEWLINE),
    ];
    // All at once: what is found in all characters, one after the other.
    let all: String = ('\0'..=char::MAX).collect();
    let mut seen = 0;
    for (pattern, expected) in classes {
        for found in pattern.find_iter(&all) {
            let found = found.unwrap().as_str().chars().next().unwrap();
            assert_eq!(super::class(found), expected, "{found:?}");
            seen += 1;
        }
    }
    let rest = all.chars().filter(|character| super::class(*character) == Class::REST).count();
    assert_eq!(seen + rest, all.chars().count());
}

/// A piece depends on what is behind its beginning alone, and on classes and a few letters: these are all, and all orders of five.
#[test]
fn every_short_text_is_split_as_by_the_pattern() {
    const ALL: [char; 13] = ['A', 'a', 's', 'l', '中', '\u{301}', '1', ' ', '\t', '\n', '/', '!', '\''];
    const LENGTH: u32 = 5;
    for (split, pattern) in &*SPLITS {
        let mut text = String::new();
        for number in 0..ALL.len().pow(LENGTH) {
            text.clear();
            text.extend((0..LENGTH).map(|place| ALL[number / ALL.len().pow(place) % ALL.len()]));
            assert_eq!(by_hand(*split, &text), by_pattern(pattern, &text), "{text:?}");
        }
    }
}

/// Characters that patterns treat alike, and those that they name.
fn character() -> impl Strategy<Value = char> {
    let one_of = |characters: &'static str| prop::sample::select(characters.chars().collect::<Vec<_>>());
    prop_oneof![
        2 => one_of("AZÄЖΣǅ"),
        2 => one_of("azßжς"),
        2 => one_of("中あªʰꟸ"),
        2 => one_of("\u{301}\u{93f}\u{20dd}\u{fe0f}"),
        2 => one_of("17²½Ⅷ٣"),
        3 => one_of(" \t\u{b}\u{85}\u{a0}\u{3000}\u{2028}"),
        2 => one_of("\r\n"),
        2 => one_of("/!-€\0\u{200d}🙂\u{ad}\u{e000}"),
        4 => one_of("''sStTrReEvVmMlLdDſ’"),
        1 => any::<char>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn random_texts_are_split_as_by_the_pattern(
        runs in prop::collection::vec((character(), prop_oneof![9 => Just(1), 1 => 2..20_usize]), 0..40),
    ) {
        let text: String = runs.into_iter().flat_map(|(character, times)| std::iter::repeat_n(character, times)).collect();
        for (split, pattern) in &*SPLITS {
            prop_assert_eq!(by_hand(*split, &text), by_pattern(pattern, &text));
        }
    }
}
