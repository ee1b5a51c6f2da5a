//! New keys: random, and recognisable as keys of this gateway by people and by programs that look for leaked ones.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

/// What every key begins with.
const PREFIX: &str = "sk-cloudach-";

/// What of a key is kept to recognise it by, at both ends, in characters.
const SHOWN: usize = 4;

/// A key that nobody has yet.
///
/// # Errors
/// The system gives no random bytes.
pub fn new_key() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)))
}

/// How a key is recognised by who has it. Of its 43 random characters 35 stay unknown.
pub fn hint(key: &str) -> String {
    let random = key.strip_prefix(PREFIX).unwrap_or(key);
    let prefix = &key[..key.len() - random.len()];
    let chars: Vec<char> = random.chars().collect();
    if chars.len() < 6 * SHOWN {
        return format!("{prefix}...");
    }
    let text = |chars: &[char]| chars.iter().collect::<String>();
    format!("{prefix}{}...{}", text(&chars[..SHOWN]), text(&chars[chars.len() - SHOWN..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_recognised_and_not_known_by_their_hints() {
        let key = new_key().unwrap();
        assert!(key.starts_with("sk-cloudach-") && key.len() == 12 + 43, "{key}");
        assert_ne!(key, new_key().unwrap());
        let hint = hint(&key);
        assert_eq!(hint, format!("{}...{}", &key[..16], &key[51..]));
        assert_eq!(super::hint("short"), "...");
        assert_eq!(super::hint(&"x".repeat(24)), "xxxx...xxxx");
    }
}
