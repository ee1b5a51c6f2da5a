//! The beginning of a GGUF file, where it says what the model is built as. Nothing else of it is read.

use std::path::Path;

use tokio::{fs::File, io::AsyncReadExt};

/// How much of the file is read, in bytes: what is looked for stands first.
const BEGINNING: u64 = 64 * 1024;

/// The key whose value is looked for.
const ARCHITECTURE: &[u8] = b"general.architecture";

/// The format's number for a text as a value.
const TEXT: u32 = 8;

/// What the model in this file is built as; none when there is no such file here, or it does not say.
pub(super) async fn architecture(path: &Path) -> Option<String> {
    let file = File::open(path).await.ok()?;
    let mut beginning = Vec::new();
    file.take(BEGINNING).read_to_end(&mut beginning).await.ok()?;
    read(&beginning)
}

fn read(mut bytes: &[u8]) -> Option<String> {
    let magic: [u8; 4] = take(&mut bytes)?;
    let version = u32::from_le_bytes(take(&mut bytes)?);
    if magic != *b"GGUF" || !(2..=3).contains(&version) {
        return None;
    }
    let _tensors: [u8; 8] = take(&mut bytes)?;
    let pairs = u64::from_le_bytes(take(&mut bytes)?);
    for _ in 0..pairs {
        let key = text(&mut bytes)?;
        let kind = u32::from_le_bytes(take(&mut bytes)?);
        if key == ARCHITECTURE && kind == TEXT {
            return String::from_utf8(text(&mut bytes)?.to_vec()).ok();
        }
        skip(&mut bytes, kind)?;
    }
    None
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    bytes.split_off(..N)?.try_into().ok()
}

fn text<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(u64::from_le_bytes(take(bytes)?)).ok()?;
    bytes.split_off(..length)
}

/// Passes over a value. None for lists: they are of tokens, behind which nothing is looked for.
fn skip(bytes: &mut &[u8], kind: u32) -> Option<()> {
    let length = match kind {
        0 | 1 | 7 => 1,
        2 | 3 => 2,
        4..=6 => 4,
        10..=12 => 8,
        TEXT => return text(bytes).map(drop),
        _ => return None,
    };
    bytes.split_off(..length).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<u8> {
        [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
    }

    fn file(pairs: &[(&str, u32, Vec<u8>)]) -> Vec<u8> {
        let mut file =
            [b"GGUF".as_slice(), &3_u32.to_le_bytes(), &[0; 8], &(pairs.len() as u64).to_le_bytes()].concat();
        for (key, kind, value) in pairs {
            file.extend([told(key), kind.to_le_bytes().to_vec(), value.clone()].concat());
        }
        file
    }

    #[test]
    fn the_architecture_stands_among_the_first_pairs() {
        let architecture = ("general.architecture", 8, told("qwen3moe"));
        let name = ("general.name", 8, told("Llama"));
        let number = ("general.file_type", 4, vec![1, 0, 0, 0]);
        let whole = file(&[name.clone(), number.clone(), architecture.clone()]);
        assert_eq!(read(&whole).as_deref(), Some("qwen3moe"));
        let needed = whole.len();
        for length in 0..needed {
            assert_eq!(read(&whole[..length]), None, "cut at {length}");
        }
        let list = ("tokenizer.ggml.tokens", 9, vec![8, 0, 0, 0]);
        assert_eq!(read(&file(&[name, list, architecture])), None);
        assert_eq!(read(&file(&[number])), None);
        assert_eq!(read(&file(&[("general.name", 8, u64::MAX.to_le_bytes().to_vec())])), None, "a length of nonsense");
    }
}
