//! Token counts and texts of tokens against tiktoken-rs, over all kinds of text.

use std::fs;

use cloudach_model::tokens::{Encoding, count, decode};
use proptest::prelude::*;
use tiktoken_rs::CoreBPE;

fn both() -> [(Encoding, &'static CoreBPE); 2] {
    [
        (Encoding::O200kBase, tiktoken_rs::o200k_base_singleton()),
        (Encoding::Cl100kBase, tiktoken_rs::cl100k_base_singleton()),
    ]
}

fn assert_counted(text: &str) {
    for (encoding, tiktoken) in both() {
        let shown: String = text.chars().take(200).collect();
        assert_eq!(count(encoding, text), tiktoken.count_ordinary(text) as u64, "{} of {shown:?}", encoding.name());
    }
}

#[test]
fn texts_of_all_kinds_are_counted_alike() {
    let texts = [
        "The quick brown fox — it's THEY'LL, we’ve; don'T 'tis 'Twas o'clock.",
        "def f(x):\n\treturn {'a': [1, 2.5e-3]}  # done\r\n\r\n\r\n    pass\n",
        "https://example.org/a/b?c=d#e //comment/////\n/\n/ \\\\ \n\n  \n",
        "Съешь же ещё этих мягких французских булок, да выпей чаю. ЁЖИК'С",
        "我能吞下玻璃而不伤身体。「鋼の錬金術師」ガラスを食べられます。나는 유리를 먹을 수 있어요.",
        "ऋषियों को सताने वाले தமிழ் مرحبا بالعالم שלום עולם ภาษาไทย ქართული",
        "e\u{301}e\u{301}\u{301} \u{301}a A\u{301}B z̸̡̛̗͇a̵̢͝l̷̨g̶̛o̴͝ ﷽ ﬁ ǅ ǈungla",
        "👩‍👩‍👧‍👦🚀🇩🇪❤️‍🔥👍🏽 ☃️ 🏴󠁧󠁢󠁥󠁮󠁧󠁿",
        "0123456789 ٠١٢٣٤٥٦٧٨٩ ⅷ½² 1,000,000.00 2026-11-27T14:22:20Z",
        "\0\u{1}\u{7f}\u{85}\u{a0}\u{ad}\u{200b}\u{2028}\u{feff}\u{fffd}\u{e000}\u{10ffff}",
        "<|endoftext|><|fim_prefix|><|im_start|>user<|endofprompt|> <|",
        "aaaaaaaaAAAAAAAAaaaa AbCdEfGhIjKlMnOpQrStUvWxYz iPhone McDonald HTTPServer's XMLHttpRequest",
        "TG9yZW0gaXBzdW0gZG9sb3Igc2l0IGFtZXQsIGNvbnNlY3RldHVyIGFkaXBpc2Npbmcg==",
        " \t \t\u{3000}\u{3000}x \n \n x\n x\t\n",
        " ",
        "  ",
        "\n ",
        " \n",
        "\r\n\r",
        "'",
        "''",
        "'s",
        " 's",
        "'ſ",
    ];
    for text in texts {
        assert_counted(text);
        // From every character on and to every character.
        for (at, _) in text.char_indices() {
            assert_counted(&text[at..]);
            assert_counted(&text[..at]);
        }
    }
    for file in
        ["Cargo.toml", "src/tokens/split.rs", "tests/cases/families.jsonl", "../../README.md", "../../Cargo.lock"]
    {
        let path = format!("{}/{file}", env!("CARGO_MANIFEST_DIR"));
        assert_counted(&fs::read_to_string(path).unwrap());
    }
}

#[test]
fn every_character_is_counted_alike() {
    let assigned = ('\0'..='\u{323af}').chain('\u{e0000}'..='\u{e01ef}');
    let others = ('\u{323b0}'..=char::MAX).step_by(997);
    let all: Vec<char> = assigned.chain(others).collect();
    for some in all.chunks(512) {
        assert_counted(&some.iter().map(|c| format!("{c}a A{c}'s {c}{c}1")).collect::<String>());
    }
}

/// Bytes of them, where they are no text by themselves.
#[test]
fn every_id_is_the_same_bytes() {
    for (encoding, tiktoken) in both() {
        for id in 0..300_000 {
            let theirs = tiktoken.decode_bytes(&[id]).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            assert_eq!(decode(encoding, &[id]).ok(), theirs, "{id} of {}", encoding.name());
        }
    }
}

/// Long pieces are merged in another way than short ones, from a hundred bytes on.
#[test]
fn long_pieces_are_counted_alike() {
    for unit in [
        "a", "A", " ", "\t", "\n", "\r\n", "!", "=", "ab", "abc", "aAaB", "你", "你好", "é", "e\u{301}", "🙂", "🇩🇪",
        "/", "0", "_-", "\0",
    ] {
        for times in (0..130).chain([1_000, 20_000]) {
            assert_counted(&unit.repeat(times));
            assert_counted(&(unit.repeat(times) + "x"));
        }
    }
}

/// A piece of a pattern's class, which can be long.
fn piece() -> impl Strategy<Value = String> {
    let scale = prop_oneof![8 => 0..12_usize, 2 => 12..90_usize, 1 => 90..600_usize];
    let alphabet = prop::sample::select(vec![
        "abcdefghijklmnopqrstuvwxyz",
        "etaoin",
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        "aAbBeEsStT",
        "0123456789",
        " ",
        " \t\n\r",
        "\n",
        ".,;:!?-_/\\()[]{}<>=+*&^%$#@~`|\"'",
        "'sStTlLvVeErRdDmM",
        "你好世界我们的一是不了人在有他这上个",
        "абвгдежзийклмнопрстуфхцчшщъыьэюя",
        "ぁあぃいうえおガギグゲ",
        "\u{300}\u{301}\u{308}ae",
        "🙂🚀👍\u{200d}\u{fe0f}🏽",
        "اأإبتثجحخدذرزسش",
        "한국어가나다라마바사",
    ]);
    (alphabet, scale).prop_flat_map(|(alphabet, length)| {
        let characters = prop::sample::select(alphabet.chars().collect::<Vec<_>>());
        prop::collection::vec(characters, length).prop_map(String::from_iter)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_texts_are_counted_alike(pieces in prop::collection::vec(piece(), 0..8)) {
        assert_counted(&pieces.concat());
    }

    #[test]
    fn random_characters_are_counted_alike(text in any::<String>()) {
        assert_counted(&text);
    }

    /// As it comes from a text that was cut anywhere.
    #[test]
    fn random_bytes_are_counted_alike(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        assert_counted(&String::from_utf8_lossy(&bytes));
    }
}
