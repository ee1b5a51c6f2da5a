//! The ids that clients see, made of random bytes from outside.

/// Of a chat completion: `chatcmpl-` and 29 letters and digits.
pub fn chat_completion(random: [u8; 29]) -> String {
    alphanumeric("chatcmpl-", &random)
}

/// Of a text completion: `cmpl-` and 29 letters and digits.
pub fn completion(random: [u8; 29]) -> String {
    alphanumeric("cmpl-", &random)
}

/// Of a call of a tool: `call_` and 24 letters and digits.
pub fn tool_call(random: [u8; 24]) -> String {
    alphanumeric("call_", &random)
}

/// Of an order of documents: `rerank-` and 32 hexadecimal digits.
pub fn rerank(random: [u8; 16]) -> String {
    format!("rerank-{:032x}", u128::from_be_bytes(random))
}

/// Of scores: `score-` and 32 hexadecimal digits.
pub fn score(random: [u8; 16]) -> String {
    format!("score-{:032x}", u128::from_be_bytes(random))
}

/// Of a request, for the header `x-request-id`: `req_` and 32 hexadecimal digits.
pub fn request(random: [u8; 16]) -> String {
    format!("req_{:032x}", u128::from_be_bytes(random))
}

/// Of a file: `file-` and 32 hexadecimal digits, which sort by age.
pub fn file(ms: u64, random: [u8; AGED_BYTES]) -> String {
    aged("file-", ms, random)
}

/// Of a batch: `batch_` and 32 hexadecimal digits, which sort by age.
pub fn batch(ms: u64, random: [u8; AGED_BYTES]) -> String {
    aged("batch_", ms, random)
}

/// Of a line of a batch's output: `batch_req_` and 32 hexadecimal digits.
pub fn batch_request(random: [u8; 16]) -> String {
    format!("batch_req_{:032x}", u128::from_be_bytes(random))
}

/// Whether a text may be the id of a file of ours.
pub fn is_file(id: &str) -> bool {
    id.strip_prefix("file-").is_some_and(is_aged)
}

/// Whether a text may be the id of a batch of ours.
pub fn is_batch(id: &str) -> bool {
    id.strip_prefix("batch_").is_some_and(is_aged)
}

/// Bytes of chance in an id that sorts by age.
pub const AGED_BYTES: usize = 10;

/// The milliseconds since 1970, and chance behind them.
fn aged(prefix: &str, ms: u64, random: [u8; AGED_BYTES]) -> String {
    let chance = random.iter().fold(0_u128, |sum, byte| (sum << 8) | u128::from(*byte));
    format!("{prefix}{:012x}{chance:020x}", ms & 0xffff_ffff_ffff)
}

fn is_aged(digits: &str) -> bool {
    digits.len() == 12 + 2 * AGED_BYTES && digits.bytes().all(|byte| HEX.contains(&byte))
}

pub(crate) const ALPHANUMERIC: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

fn alphanumeric(prefix: &str, random: &[u8]) -> String {
    let mut id = String::with_capacity(prefix.len() + random.len());
    id.push_str(prefix);
    id.extend(random.iter().map(|byte| char::from(ALPHANUMERIC[usize::from(*byte) % ALPHANUMERIC.len()])));
    id
}

/// Bytes of chance in the id of a response. All of its items bear them as well.
pub const RESPONSE_BYTES: usize = 21;

/// What stands where an item has its number. No response has so many.
const NO_ITEM: u32 = u32::MAX;

/// Of a response: `resp_` and 50 hexadecimal digits.
pub fn response(random: [u8; RESPONSE_BYTES]) -> String {
    let mut stem = String::with_capacity(2 * RESPONSE_BYTES);
    for byte in random {
        stem.push(char::from(HEX[usize::from(byte >> 4)]));
        stem.push(char::from(HEX[usize::from(byte & 15)]));
    }
    format!("resp_{stem}{:08x}", mixed(&stem, NO_ITEM))
}

/// Of an item of a response: a prefix such as `msg_` and 50 hexadecimal digits, most of them the response's. `number` is
/// unique among the items of a response.
pub fn response_item(prefix: &str, response: &str, number: u32) -> String {
    let stem = stem(response).unwrap_or_default();
    format!("{prefix}{stem}{:08x}", mixed(stem, number))
}

/// The response that an item was made for. `None`: the id is none of ours.
pub fn response_of_item(item: &str) -> Option<String> {
    let stem = stem(item)?;
    Some(format!("resp_{stem}{:08x}", mixed(stem, NO_ITEM)))
}

/// Of a conversation: `conv_` and 50 hexadecimal digits.
pub fn conversation(random: [u8; RESPONSE_BYTES]) -> String {
    response(random).replacen("resp_", "conv_", 1)
}

/// Whether a text may be the id of a conversation of ours.
pub fn is_conversation(id: &str) -> bool {
    id.starts_with("conv_") && is_response(&id.replacen("conv_", "resp_", 1))
}

/// Whether a text may be the id of a response of ours.
pub fn is_response(id: &str) -> bool {
    id.starts_with("resp_") && response_of_item(id).as_deref() == Some(id)
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// What a response and its items have in common.
fn stem(id: &str) -> Option<&str> {
    let (_, digits) = id.split_once('_')?;
    let is_ours = digits.len() == 2 * RESPONSE_BYTES + 8 && digits.bytes().all(|byte| HEX.contains(&byte));
    is_ours.then(|| &digits[..2 * RESPONSE_BYTES])
}

/// Different for different numbers.
fn mixed(stem: &str, number: u32) -> u32 {
    let hash = stem.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash ^ number.wrapping_mul(0x9e37_79b1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_batches_sort_by_age() {
        let (old, new) = (file(1_800_000_000_000, [255; AGED_BYTES]), file(1_800_000_000_001, [0; AGED_BYTES]));
        assert!(old < new && is_file(&old) && !is_batch(&old));
        assert_eq!(old.len(), "file-".len() + 32);
        assert!(is_batch(&batch(0, [1; AGED_BYTES])));
        for other in ["", "file-", "file-1", &old[..20], &old.replace('f', "F"), &format!("{old}0"), "batch_\u{e9}"] {
            assert!(!is_file(other) && !is_batch(other), "{other}");
        }
    }

    #[test]
    fn items_lead_to_their_response() {
        let id = response([7; RESPONSE_BYTES]);
        assert_eq!(id.len(), "resp_".len() + 50);
        assert!(is_response(&id));
        let items: Vec<_> = (0..100).map(|number| response_item("msg_", &id, number)).collect();
        for item in &items {
            assert_eq!(response_of_item(item).as_ref(), Some(&id));
            assert!(!is_response(&item.replace("msg_", "resp_")));
        }
        let distinct: std::collections::BTreeSet<_> = items.iter().collect();
        assert_eq!(distinct.len(), items.len());
        for other in ["", "resp_", "msg_1", "item-7", &id[..30], &id.replace('0', "G"), "resp_\u{e9}"] {
            assert!(!is_response(other), "{other}");
        }
    }
}
