//! What the chunks of a stream have in common: nearly all of them differ by nothing but a token's text and its id. Where that holds,
//! these two are read, and the rest is compared: half of what a token took the sidecar was reading names that were the same
//! each time. No I/O.

use memchr::{memchr2, memmem};

const TEXT: &[u8] = b"\"text\":\"";
const IDS: &[u8] = b"\"token_ids\":[";

/// A chunk without its text and its ids.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shape {
    bytes: Box<[u8]>,
    /// Where the text stood.
    text: usize,
    /// Where the ids stood.
    ids: usize,
}

impl Shape {
    /// That of a chunk in which these were read. None: it is not of the kind, or they may stand elsewhere.
    pub(super) fn of(chunk: &[u8], text: &str, ids: &[u32]) -> Option<Self> {
        let text_begins = memmem::find(chunk, TEXT)? + TEXT.len();
        let text_ends = text_begins + text.len();
        let ids_begin = text_ends + memmem::find(chunk.get(text_ends..)?, IDS)? + IDS.len();
        let ids_end = ids_begin + chunk[ids_begin..].iter().position(|&byte| byte == b']')?;
        let bytes = [&chunk[..text_begins], &chunk[text_ends..ids_begin], &chunk[ids_end..]].concat();
        let shape = Self { bytes: bytes.into(), text: text_begins, ids: ids_begin - text.len() };
        let (read_text, read_ids) = shape.read(chunk)?;
        (read_text == text && read_ids == ids).then_some(shape)
    }

    /// The text and the ids of a chunk that is the same otherwise. None: it is another one, or its text has escapes.
    pub(super) fn read<'a>(&self, chunk: &'a [u8]) -> Option<(&'a str, Vec<u32>)> {
        let (before, rest) = self.bytes.split_at(self.text);
        let (between, behind) = rest.split_at(self.ids - self.text);
        let rest = chunk.strip_prefix(before)?;
        let (text, rest) = rest.split_at(memchr2(b'"', b'\\', rest)?);
        let ids = rest.strip_prefix(between)?.strip_suffix(behind)?;
        let text = str::from_utf8(text).ok().filter(|text| text.bytes().all(|byte| byte >= b' '))?;
        let ids =
            if ids.is_empty() { Vec::new() } else { ids.split(|&byte| byte == b',').map(id).collect::<Option<_>>()? };
        Some((text, ids))
    }
}

/// A number as JSON has it.
fn id(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || digits.starts_with(b"0") && digits.len() > 1 {
        return None;
    }
    digits.iter().try_fold(0_u32, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u32::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn chunk(text: &str, ids: &[u32]) -> String {
        let (text, ids) = (json!(text), json!(ids));
        format!(
            r#"{{"id":"c","model":"\"text\":","choices":[{{"index":0,"text":{text},"logprobs":null,"token_ids":{ids}}}]}}"#
        )
    }

    fn shape() -> Shape {
        Shape::of(chunk("The", &[504, 0]).as_bytes(), "The", &[504, 0]).unwrap()
    }

    #[test]
    fn what_differs_is_read() {
        for (text, ids) in [("", &[][..]), (" capital", &[3575]), ("日本 🦀", &[1, 0, 20, u32::MAX])] {
            assert_eq!(shape().read(chunk(text, ids).as_bytes()), Some((text, ids.to_vec())));
        }
    }

    #[test]
    fn other_chunks_are_not_of_the_shape() {
        let good = chunk("The", &[504]);
        for (from, to) in [
            ("The", "\\n"),
            ("The", "a\nb"),
            ("null", "{}"),
            ("[504]", "[01]"),
            ("[504]", "[1,]"),
            ("[504]", "[-1]"),
            ("[504]", "[1.5]"),
            ("[504]", "[4294967296]"),
            ("[504]", "[504],\"finish_reason\":\"stop\""),
            ("\"c\"", "\"d\""),
            ("]}", "]} "),
        ] {
            let other = good.replacen(from, to, 1);
            assert_ne!(other, good);
            assert_eq!(shape().read(other.as_bytes()), None, "{other}");
        }
        assert_eq!(shape().read(b""), None);
        let broken = [good.as_bytes(), b""]
            .concat()
            .iter()
            .map(|&byte| if byte == b'T' { 0xff } else { byte })
            .collect::<Vec<_>>();
        assert_eq!(shape().read(&broken), None);
    }

    #[test]
    fn what_stands_elsewhere_is_not_learnt() {
        for chunk in [
            // The first of either is another one.
            r#"{"other":{"text":"no"},"choices":[{"text":"The","token_ids":[504]}]}"#,
            r#"{"choices":[{"text":"The","other":{"token_ids":[1]},"token_ids":[504]}]}"#,
            r#"{"choices":[{"token_ids":[504],"text":"The"}]}"#,
            r#"{"choices": [{"text": "The", "token_ids": [504]}]}"#,
            r#"{"choices":[{"text":"The","token_ids":null}]}"#,
            "",
        ] {
            assert_eq!(Shape::of(chunk.as_bytes(), "The", &[504]), None, "{chunk}");
        }
        assert_eq!(Shape::of(chunk("a\"b", &[1]).as_bytes(), "a\"b", &[1]), None);
    }

    proptest! {
        /// Whatever is read by a shape is what a reader of JSON reads.
        #[test]
        fn it_reads_what_json_says(text in "\\PC{0,20}|[\"\\\\\n\t a]{0,6}", ids in proptest::collection::vec(any::<u32>(), 0..5), at in 0_usize..200, byte in any::<u8>()) {
            let mut bytes = chunk(&text, &ids).into_bytes();
            if let Some((read, read_ids)) = shape().read(&bytes) {
                prop_assert_eq!((read, read_ids), (&*text, ids));
            } else {
                prop_assert!(text.contains(['"', '\\']) || text.chars().any(char::is_control));
            }
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
            if let Some((read, read_ids)) = shape().read(&bytes) {
                let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
                prop_assert_eq!(&json["choices"][0]["text"], read);
                prop_assert_eq!(&json["choices"][0]["token_ids"], &json!(read_ids));
            }
        }
    }
}
