//! What counting tokens costs, beside tiktoken-rs: `cargo bench -p cloudach-model --bench tokens`.

#![expect(clippy::print_stdout, reason = "figures are what a bench is for")]

use std::hint::black_box;
use std::time::Instant;

use cloudach_model::tokens::{Encoding, count};

const ROUNDS: u32 = 7;

/// Of each text, in bytes.
const SIZE: usize = 300_000;

fn main() {
    let texts = [
        ("prose", "The quick brown fox jumps over the lazy dog, and nobody minds that it does so again and again. "),
        (
            "rare words",
            "Phthalocyanine antidisestablishmentarianism floccinaucinihilipilification, Llanfairpwllgwyngyll: xqzvk ",
        ),
        (
            "code",
            "    fn count(&self, text: &str) -> Result<u64, Error> {\n        self.pieces(text).map(|piece| piece.len() as u64).sum()\n    }\n\n",
        ),
        ("JSON", r#"{"id":"c0ffee42","values":[1,2.5,-3e10,null],"nested":{"a":"b\n","ünï":"çödé"}},"#),
        ("numbers", "3.14159265358979 2026-11-27T14:22:20.123456Z 0xdeadbeef 192.168.178.1 "),
        ("Chinese", "我能吞下玻璃而不伤身体，因为这只是一个测试句子。"),
        ("Chinese without a stop", "我能吞下玻璃而不伤身体因为这只是一个测试句子"),
        ("Russian", "Съешь же ещё этих мягких французских булок, да выпей чаю. "),
        ("Hindi", "ऋषियों को सताने वाले दुष्ट राक्षसों के राजा रावण का सर्वनाश करने वाले विष्णु। "),
        ("emoji", "👩‍👩‍👧‍👦🚀🇩🇪 ❤️‍🔥 "),
        ("base64", "TG9yZW0gaXBzdW0gZG9sb3Igc2l0IGFtZXQsIGNvbnNlY3RldHVyIGFkaXBpc2Npbmcg"),
        ("one letter", "a"),
        ("spaces", " "),
        ("line ends", "\n"),
    ];
    println!("{:>9} {:>9} {:>9} {:>9}  {SIZE} bytes of", "tokens", "ours", "tiktoken", "times");
    for encoding in [Encoding::O200kBase, Encoding::Cl100kBase] {
        let tiktoken = match encoding {
            Encoding::O200kBase => tiktoken_rs::o200k_base_singleton(),
            Encoding::Cl100kBase => tiktoken_rs::cl100k_base_singleton(),
        };
        for (what, repeated) in texts {
            let text = repeated.repeat(SIZE.div_ceil(repeated.len()));
            let (tokens, ours) = best(|| count(encoding, black_box(&text)));
            let (same, theirs) = best(|| tiktoken.count_ordinary(black_box(&text)) as u64);
            assert_eq!(tokens, same, "{what}");
            let times = theirs / ours;
            println!(
                "{tokens:>9} {:>6.2} ms {:>6.2} ms {times:>9.1}  {what}, {}",
                ours * 1e3,
                theirs * 1e3,
                encoding.name()
            );
        }
    }
}

/// What it comes to, and the best of some rounds in seconds.
fn best(work: impl Fn() -> u64) -> (u64, f64) {
    let mut best = f64::INFINITY;
    let mut result = 0;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        result = black_box(work());
        best = best.min(start.elapsed().as_secs_f64());
    }
    (result, best)
}
