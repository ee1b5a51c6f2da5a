//! The synthetic vocabulary: how text becomes token ids and token ids become text, without a table or state.
//!
//! | ids | meaning |
//! |---|---|
//! | 0..256 | one byte |
//! | 256..65 792 | two bytes |
//! | 65 792 | end of sequence, no text |
//! | 65 793..66 817 | the words of generated answers, each with a leading space |
//! | 66 817..132 353 | position in the script's own answer text |
//!
//! Text is always tokenised into bytes and pairs, so a prompt given as text never holds an answer id. That is what
//! makes resuming recognisable: the run of answer ids at the end of a list of ids is what was emitted before.
//! As with a real tokenizer, ids -> text -> ids need not give the same ids; text -> ids -> text always gives the text.

/// The end-of-sequence token.
pub const EOS: u32 = PAIRS + 65_536;
/// One more than the largest token id.
pub const SIZE: u32 = SCRIPTED + MAX_SCRIPTED;
/// How many tokens a scripted answer may have.
pub const MAX_SCRIPTED: u32 = 65_536;

const PAIRS: u32 = 256;
const WORDS: u32 = EOS + 1;
const WORD_COUNT: u32 = 1024;
const SCRIPTED: u32 = WORDS + WORD_COUNT;

const HEADS: [&str; 32] = [
    "ka", "lo", "mi", "ne", "pa", "ro", "su", "ti", "va", "we", "xi", "yo", "za", "bri", "cla", "dro", "fle", "gri",
    "hu", "jo", "kle", "lum", "mar", "nor", "pel", "qua", "rin", "sol", "tam", "ul", "ver", "win",
];
const TAILS: [&str; 32] = [
    "", "ra", "len", "dor", "mi", "sta", "ne", "vo", "ka", "rim", "to", "sha", "bel", "cu", "din", "ef", "gan", "hi",
    "jin", "ko", "la", "mo", "nu", "pi", "que", "so", "tu", "xa", ",", ".", "é", "日本",
];

/// Turns text into token ids: two bytes each, and a single last byte when there is one.
pub fn tokenize(text: &str) -> Vec<u32> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| match *pair {
            [one] => u32::from(one),
            [first, second] => PAIRS + u32::from(first) * 256 + u32::from(second),
            _ => unreachable!("chunks(2) gives one or two bytes"),
        })
        .collect()
}

/// The text in tokens, each with its bytes. A special token is one of them, under the id of its first bytes.
pub fn pieces(text: &str, special: &[String]) -> Vec<(u32, Vec<u8>)> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let next =
            special.iter().filter_map(|token| Some((rest.find(token.as_str())?, token))).min_by_key(|found| found.0);
        let (at, token) = next.map_or((rest.len(), ""), |(at, token)| (at, token.as_str()));
        pieces.extend(tokenize(&rest[..at]).into_iter().map(|id| {
            let mut bytes = Vec::new();
            push_bytes(id, &[], &mut bytes);
            (id, bytes)
        }));
        pieces.extend(tokenize(token).first().map(|id| (*id, token.into())));
        rest = &rest[at + token.len()..];
    }
    pieces
}

/// Appends a token's bytes. Ids of a scripted answer take theirs from `script`; unknown ids have none.
pub fn push_bytes(id: u32, script: &[Box<[u8]>], out: &mut Vec<u8>) {
    if id < PAIRS {
        out.extend(u8::try_from(id));
    } else if id < EOS {
        let pair = id - PAIRS;
        out.extend(u8::try_from(pair / 256));
        out.extend(u8::try_from(pair % 256));
    } else if let Some(position) = scripted_position(id) {
        out.extend_from_slice(script.get(position as usize).map_or(&[], |token| token));
    } else if id != EOS && id < SCRIPTED {
        let word = (id - WORDS) as usize;
        out.push(b' ');
        out.extend_from_slice(HEADS[word / TAILS.len()].as_bytes());
        out.extend_from_slice(TAILS[word % TAILS.len()].as_bytes());
    }
}

/// The text of a list of ids; bytes that are no UTF-8 become replacement characters.
pub fn detokenize(ids: &[u32], script: &[Box<[u8]>]) -> String {
    let mut bytes = Vec::with_capacity(ids.len() * 2);
    for &id in ids {
        push_bytes(id, script, &mut bytes);
    }
    match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    }
}

/// The answer word that a random draw selects.
pub fn word(draw: u64) -> u32 {
    WORDS + u32::try_from(draw % u64::from(WORD_COUNT)).expect("a remainder of 1024 fits")
}

/// The id of the token at this position of a scripted answer.
pub fn scripted(position: u32) -> u32 {
    SCRIPTED + position.min(MAX_SCRIPTED - 1)
}

/// How many ids at the end of a prompt were emitted by an engine before.
pub fn emitted_before(prompt: &[u32]) -> usize {
    prompt.iter().rev().take_while(|&&id| (WORDS..SIZE).contains(&id)).count()
}

fn scripted_position(id: u32) -> Option<u32> {
    (SCRIPTED..SIZE).contains(&id).then(|| id - SCRIPTED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_survives_the_way_through_ids() {
        for text in ["", "a", "ab", "abc", "naïve 日本語 🦀", "<|im_start|>user\n"] {
            assert_eq!(detokenize(&tokenize(text), &[]), text);
        }
    }

    #[test]
    fn special_tokens_are_one_piece_each() {
        let special = ["<|a|>".to_owned(), "<b>".to_owned()];
        let texts = |text: &str| pieces(text, &special).into_iter().map(|piece| piece.1).collect::<Vec<_>>();
        assert_eq!(texts("x<b><|a|>yz<|"), [&b"x"[..], b"<b>", b"<|a|>", b"yz", b"<|"]);
        assert!(texts("").is_empty());
    }

    #[test]
    fn every_answer_word_has_its_own_text() {
        let texts: std::collections::HashSet<String> =
            (0..u64::from(WORD_COUNT)).map(|draw| detokenize(&[word(draw)], &[])).collect();
        assert_eq!(texts.len(), WORD_COUNT as usize);
    }

    #[test]
    fn only_answer_ids_count_as_emitted() {
        let mut prompt = tokenize(" kara lolen");
        assert_eq!(emitted_before(&prompt), 0);
        prompt.extend([word(1), word(2), scripted(5)]);
        assert_eq!(emitted_before(&prompt), 3);
        prompt.push(EOS);
        assert_eq!(emitted_before(&prompt), 0);
    }

    #[test]
    fn ids_outside_the_vocabulary_have_no_text() {
        assert_eq!(detokenize(&[SIZE, u32::MAX, EOS, scripted(3)], &[]), "");
    }
}
