//! What replicas have read already: a bounded memory of hashed prompt blocks for each.
//!
//! Blocks are of the prompt as it comes, text or ids, not the engine's: they say what two prompts share without a
//! tokenizer. Each block's hash holds all before it, so one look tells of the whole prefix. The tenant's salt is the
//! first thing hashed: who shares no cache shares no block.

use cloudach_proto::v1::{GenerateRequest, prompt};
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Bytes of a block: about a hundred tokens of text.
const BLOCK: usize = 512;

/// Blocks of a prompt that are looked at: 2 MiB of it.
const MOST_BLOCKS: usize = 4096;

/// Blocks that are remembered of a replica, 32 bytes each: some millions of tokens, more than a GPU has room for. Those
/// that were not seen for long are forgotten first.
const REMEMBERED: usize = 65_536;

/// Bytes of text that a token has, about. Of a prompt of ids each has four as well.
const BYTES_PER_TOKEN: usize = 4;

/// A prompt as hashed blocks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Blocks {
    hashes: Vec<u64>,
    bytes: usize,
}

impl Blocks {
    /// Those of a request. `seed` is this process's own, so that nobody outside can make prompts that fall together.
    pub fn of(request: &GenerateRequest, seed: u64) -> Self {
        let salt = request.sampling.as_ref().and_then(|sampling| sampling.cache_salt.as_deref()).unwrap_or_default();
        let seed = xxh3_64_with_seed(salt.as_bytes(), xxh3_64_with_seed(request.model.as_bytes(), seed));
        match request.prompt.as_ref().and_then(|prompt| prompt.prompt.as_ref()) {
            Some(prompt::Prompt::Text(text)) => Self::of_bytes(text.text.as_bytes(), seed),
            Some(prompt::Prompt::TokenIds(tokens)) => {
                let most = MOST_BLOCKS * BLOCK / size_of::<u32>();
                let head = &tokens.ids[..tokens.ids.len().min(most)];
                let bytes: Vec<u8> = head.iter().flat_map(|id| id.to_le_bytes()).collect();
                Self { bytes: tokens.ids.len() * BYTES_PER_TOKEN, ..Self::of_bytes(&bytes, !seed) }
            }
            None => Self::default(),
        }
    }

    fn of_bytes(bytes: &[u8], seed: u64) -> Self {
        let mut before = seed;
        let hashes = bytes.chunks_exact(BLOCK).take(MOST_BLOCKS).map(|block| {
            before = xxh3_64_with_seed(block, before);
            before
        });
        Self { hashes: hashes.collect(), bytes: bytes.len() }
    }

    /// About how many tokens the prompt has.
    pub fn tokens(&self) -> u32 {
        tokens(self.bytes)
    }
}

/// The greatest number from 1 to `most` that is so, or 0: each is so where a greater one is. The nearer the guess, the fewer
/// are asked: two, where it is right.
fn last_that(is_so: impl Fn(usize) -> bool, guess: usize, most: usize) -> usize {
    let guess = guess.min(most);
    // Between these two, the first included, is the answer: in steps that double away from the guess.
    let (mut low, mut high) = (guess, guess);
    let mut step = 1;
    while low > 0 && !is_so(low) {
        high = low - 1;
        low = low.saturating_sub(step);
        step *= 2;
    }
    if low == guess {
        high = most;
        while low < high {
            let next = (low + step).min(most);
            if !is_so(next) {
                high = next - 1;
                break;
            }
            low = next;
            step *= 2;
        }
    }
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if is_so(middle) { low = middle } else { high = middle - 1 }
    }
    low
}

fn tokens(bytes: usize) -> u32 {
    u32::try_from(bytes / BYTES_PER_TOKEN).unwrap_or(u32::MAX)
}

/// What one replica has read.
#[derive(Debug)]
pub struct Read {
    blocks: Cache<u64, ()>,
    trust: Mutex<Trust>,
}

impl Default for Read {
    fn default() -> Self {
        Self { blocks: Cache::new(REMEMBERED), trust: Mutex::default() }
    }
}

impl Read {
    /// How many tokens of the prompt the replica is believed to have. `guess` is how many blocks it may have, and becomes how
    /// many it has: most replicas have as many as the one that was asked before.
    pub fn cached_tokens(&self, blocks: &Blocks, guess: &mut usize) -> u32 {
        // A block is there only with those before it, so the last one can be searched for.
        let has = |count: usize| blocks.hashes.get(count - 1).is_some_and(|hash| self.blocks.peek(hash).is_some());
        *guess = last_that(has, *guess, blocks.hashes.len());
        if *guess == 0 {
            return 0;
        }
        self.trust.lock().discount(tokens(*guess * BLOCK))
    }

    /// The replica reads this prompt.
    pub fn note(&self, blocks: &Blocks) {
        // The first ones last: they are to be forgotten last.
        for &hash in blocks.hashes.iter().rev() {
            if self.blocks.get(&hash).is_none() {
                self.blocks.insert(hash, ());
            }
        }
    }

    /// Another engine answers there: it has read nothing.
    pub fn forget(&self) {
        self.blocks.clear();
        *self.trust.lock() = Trust::default();
    }

    /// The replica said how many of the tokens it was believed to have it had.
    pub fn learn(&self, believed: u32, had: u32) {
        self.trust.lock().learn(believed, had);
    }
}

/// How far a replica has what it is believed to have: its cache may be smaller, or off.
#[derive(Debug)]
struct Trust {
    share: f32,
    /// It has said of one prompt at least that it had a part of it. Engines that never say so do not tell.
    tells: bool,
}

impl Default for Trust {
    fn default() -> Self {
        Self { share: 1.0, tells: false }
    }
}

impl Trust {
    /// How much one answer changes.
    const STEP: f32 = 0.1;

    #[expect(clippy::cast_precision_loss, reason = "a figure to compare")]
    fn learn(&mut self, believed: u32, had: u32) {
        self.tells |= had > 0;
        if self.tells && believed > 0 {
            let share = (had as f32 / believed as f32).min(1.0);
            self.share += (share - self.share) * Self::STEP;
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share of it"
    )]
    fn discount(&self, tokens: u32) -> u32 {
        (tokens as f32 * self.share) as u32
    }
}

#[cfg(test)]
mod tests {
    use cloudach_proto::v1::{Prompt, PromptText, Sampling, TokenIds};
    use proptest::prelude::*;

    use super::*;

    fn text(text: &str, salt: Option<&str>) -> Blocks {
        let text = PromptText { text: text.to_owned(), add_special_tokens: false };
        let request = GenerateRequest {
            prompt: Some(Prompt { prompt: Some(prompt::Prompt::Text(text)) }),
            sampling: Some(Sampling { cache_salt: salt.map(str::to_owned), ..Sampling::default() }),
            ..GenerateRequest::default()
        };
        Blocks::of(&request, 7)
    }

    impl Read {
        fn cached(&self, blocks: &Blocks) -> u32 {
            self.cached_tokens(blocks, &mut 0)
        }
    }

    fn ids(ids: Vec<u32>) -> Blocks {
        let prompt = Some(Prompt { prompt: Some(prompt::Prompt::TokenIds(TokenIds { ids })) });
        Blocks::of(&GenerateRequest { prompt, ..GenerateRequest::default() }, 7)
    }

    #[test]
    fn what_begins_alike_is_known_as_far_as_it_does() {
        let seen = Read::default();
        let system = "x".repeat(4 * BLOCK);
        seen.note(&text(&format!("{system}{}", "a".repeat(2 * BLOCK)), None));
        let cached = |prompt: &str| seen.cached(&text(prompt, None));
        assert_eq!(cached(&system), 512);
        assert_eq!(cached(&format!("{system}{}", "b".repeat(2 * BLOCK))), 512);
        assert_eq!(cached(&format!("{system}{}", "a".repeat(9 * BLOCK))), 768);
        assert_eq!(cached(&format!("y{system}")), 0);
        assert_eq!(seen.cached(&text(&system, Some("other tenant"))), 0);
        assert_eq!(seen.cached(&text("short", None)), 0);
        assert_eq!((text("", None), ids(Vec::new()).tokens()), (Blocks::default(), 0));
    }

    #[test]
    fn ids_are_known_as_text_is() {
        let seen = Read::default();
        let conversation: Vec<u32> = (0..1000).collect();
        seen.note(&ids(conversation[..600].to_vec()));
        let blocks = ids(conversation);
        assert_eq!((seen.cached(&blocks), blocks.tokens()), (512, 1000));
    }

    #[test]
    fn who_has_not_what_it_should_is_believed_less() {
        let seen = Read::default();
        let blocks = text(&"x".repeat(4 * BLOCK), None);
        seen.note(&blocks);
        (0..50).for_each(|_| seen.learn(512, 0));
        assert_eq!(seen.cached(&blocks), 512, "it may be one that never tells");
        seen.learn(512, 500);
        (0..50).for_each(|_| seen.learn(512, 0));
        assert!(seen.cached(&blocks) < 10);
        (0..50).for_each(|_| seen.learn(512, 512));
        assert!(seen.cached(&blocks) > 500);
    }

    #[test]
    fn another_engine_has_read_nothing() {
        let seen = Read::default();
        let blocks = text(&"x".repeat(4 * BLOCK), None);
        seen.note(&blocks);
        seen.learn(512, 500);
        (0..50).for_each(|_| seen.learn(512, 0));
        seen.forget();
        assert_eq!(seen.cached(&blocks), 0);
        seen.note(&blocks);
        assert_eq!(seen.cached(&blocks), 512, "and is believed again");
    }

    #[test]
    fn the_last_is_found_from_any_guess() {
        for most in 0..40 {
            for last in 0..=most {
                for guess in 0..=most + 2 {
                    let asked = std::cell::Cell::new(0);
                    let is_so = |number| {
                        assert!((1..=most).contains(&number));
                        asked.set(asked.get() + 1);
                        number <= last
                    };
                    assert_eq!(last_that(is_so, guess, most), last, "of {most} from {guess}");
                    let away = guess.min(most).abs_diff(last);
                    assert!(
                        asked.get() <= 2 + 2 * (usize::BITS - away.leading_zeros()),
                        "{asked:?} for {last} from {guess}"
                    );
                }
            }
        }
    }

    proptest! {
        #[test]
        fn no_more_is_known_than_is_shared(one in "[ab]{0,3000}", two in "[ab]{0,3000}") {
            let seen = Read::default();
            seen.note(&text(&one, None));
            let shared = one.bytes().zip(two.bytes()).take_while(|(a, b)| a == b).count();
            prop_assert_eq!(seen.cached(&text(&two, None)), tokens(shared / BLOCK * BLOCK));
        }
    }
}
