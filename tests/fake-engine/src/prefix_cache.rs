//! Which prompt prefixes an engine has computed before, in whole blocks as engines keep them. Only their hashes.

use std::collections::{HashSet, VecDeque};

use crate::answer::mix;

/// Tokens per block, vLLM's default on a GPU.
pub(crate) const BLOCK: usize = BLOCK_TOKENS as usize;
const BLOCK_TOKENS: u32 = 16;

#[derive(Debug)]
pub(crate) struct PrefixCache {
    blocks: HashSet<u64>,
    oldest_first: VecDeque<u64>,
    capacity: usize,
}

impl PrefixCache {
    pub(crate) fn new(tokens: u32) -> Self {
        let capacity = (tokens as usize / BLOCK).max(1);
        Self { blocks: HashSet::new(), oldest_first: VecDeque::new(), capacity }
    }

    /// Returns how many tokens at the beginning of the prompt are known, and remembers all of it.
    /// Prompts with different salts share nothing. The last token is always computed, as engines do.
    pub(crate) fn look_up(&mut self, prompt: &[u32], salt: &str) -> u32 {
        let mut hash = salt.bytes().fold(0, |hash, byte| mix(hash ^ u64::from(byte)));
        let (mut hits, mut all_known) = (0, true);
        let usable = prompt.len().saturating_sub(1) / BLOCK;
        for (at, block) in prompt.chunks_exact(BLOCK).enumerate() {
            hash = block.iter().fold(hash, |hash, &id| mix(hash ^ u64::from(id)));
            all_known &= self.blocks.contains(&hash);
            if all_known && at < usable {
                hits += BLOCK_TOKENS;
            }
            self.remember(hash);
        }
        hits
    }

    fn remember(&mut self, hash: u64) {
        if !self.blocks.insert(hash) {
            return;
        }
        self.oldest_first.push_back(hash);
        if self.oldest_first.len() > self.capacity
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.blocks.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_blocks_of_a_known_prefix_hit() {
        let prompt: Vec<u32> = (0..40).collect();
        let mut cache = PrefixCache::new(1024);
        assert_eq!(cache.look_up(&prompt, ""), 0);
        assert_eq!(cache.look_up(&prompt, ""), 32);
        assert_eq!(cache.look_up(&prompt[..32], ""), 16);
        assert_eq!(cache.look_up(&prompt, "tenant"), 0);
        assert_eq!(cache.look_up(&prompt[1..], ""), 0);
    }

    #[test]
    fn the_oldest_blocks_go_first() {
        let mut cache = PrefixCache::new(32);
        let block = |start| (start..start + 17).collect::<Vec<u32>>();
        for start in [0, 100, 200] {
            cache.look_up(&block(start), "");
        }
        assert_eq!(cache.look_up(&block(200), ""), 16);
        assert_eq!(cache.look_up(&block(0), ""), 0);
    }
}
