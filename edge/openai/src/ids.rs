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

/// Of a request, for the header `x-request-id`: `req_` and 32 hexadecimal digits.
pub fn request(random: [u8; 16]) -> String {
    format!("req_{:032x}", u128::from_be_bytes(random))
}

pub(crate) const ALPHANUMERIC: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

fn alphanumeric(prefix: &str, random: &[u8]) -> String {
    let mut id = String::with_capacity(prefix.len() + random.len());
    id.push_str(prefix);
    id.extend(random.iter().map(|byte| char::from(ALPHANUMERIC[usize::from(*byte) % ALPHANUMERIC.len()])));
    id
}
