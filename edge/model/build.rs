//! Writes what token counts are made with, in the form in which it is read in place: OpenAI's encodings as tiktoken-rs has them,
//! and the classes of characters as the pattern language that tiktoken-rs uses has them.

// Both are laid out here and read there by the same code.
#[expect(dead_code, reason = "counting reads with it, too")]
#[path = "src/tokens/class.rs"]
mod class;
#[expect(dead_code, reason = "counting reads with it, too")]
#[path = "src/tokens/slot.rs"]
mod slot;

use std::{collections::BTreeMap, env, error::Error, fs, path::Path};

use regex_syntax::hir::{Class as Characters, HirKind};
use tiktoken_rs::CoreBPE;

use crate::{
    class::{BLOCK, Class},
    slot::{EMPTY, Place},
};

fn main() -> Result<(), Box<dyn Error>> {
    for file in ["build.rs", "src/tokens/class.rs", "src/tokens/slot.rs"] {
        println!("cargo:rerun-if-changed={file}");
    }
    let out = env::var("OUT_DIR")?;
    let out = Path::new(&out);
    write_vocabulary(out, "o200k_base", &tiktoken_rs::o200k_base()?)?;
    write_vocabulary(out, "cl100k_base", &tiktoken_rs::cl100k_base()?)?;
    write_classes(out)
}

/// The bytes of all tokens in the order of their ids, where those of each end, and a table from bytes to ids.
fn write_vocabulary(out: &Path, name: &str, encoding: &CoreBPE) -> Result<(), Box<dyn Error>> {
    let special = encoding.special_tokens();
    let (mut bytes, mut ends) = (Vec::new(), Vec::new());
    let mut ordinary = Vec::new();
    for id in 0..slot::IDS {
        // Ids that stand for nothing have no bytes.
        if let Ok(token) = encoding.decode_bytes(&[id]) {
            if !special.iter().any(|name| name.as_bytes() == token) {
                ordinary.push((id, token.clone()));
            }
            bytes.extend(token);
            ends.resize(id as usize, ends.last().copied().unwrap_or(0));
            ends.push(u32::try_from(bytes.len())?);
        }
    }
    let longest = ordinary.iter().map(|(_, token)| token.len()).max().unwrap_or(0);
    let mut slots = vec![EMPTY; (ordinary.len() * 4 / 3).next_power_of_two()];
    for (id, token) in ordinary {
        let place = Place::of(&token, slots.len());
        let free = place.probes().find(|at| slots[*at] == EMPTY).ok_or("the table is full")?;
        slots[free] = place.slot(id);
    }
    fs::write(out.join(format!("{name}.bytes")), bytes)?;
    fs::write(out.join(format!("{name}.ends")), little_endian(&ends))?;
    fs::write(out.join(format!("{name}.slots")), little_endian(&slots))?;
    fs::write(out.join(format!("{name}.longest")), longest.to_string())?;
    Ok(())
}

fn little_endian(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// The class of every character, in blocks; blocks that are alike are written once.
fn write_classes(out: &Path) -> Result<(), Box<dyn Error>> {
    let mut all = vec![Class::REST; 0x11_0000];
    let classes = [
        (r"[\p{Lu}\p{Lt}]", Class::UPPER),
        (r"\p{Ll}", Class::LOWER),
        (r"[\p{Lm}\p{Lo}]", Class::OTHER_LETTER),
        (r"\p{M}", Class::MARK),
        (r"\p{N}", Class::NUMBER),
        (r"[\s--[\r\n]]", Class::SPACE),
        (r"[\r\n]", Class::NEWLINE),
    ];
    for (pattern, class) in classes {
        let pattern = regex_syntax::parse(pattern)?;
        let HirKind::Class(Characters::Unicode(characters)) = pattern.kind() else {
            return Err("a class of characters is none".into());
        };
        for range in characters.iter() {
            let range = &mut all[range.start() as usize..=range.end() as usize];
            if range.iter().any(|before| *before != Class::REST) {
                return Err("a character has two classes".into());
            }
            range.fill(class);
        }
    }
    let (mut numbers, mut index, mut blocks) = (BTreeMap::new(), Vec::new(), Vec::new());
    for block in all.chunks(BLOCK) {
        let next = numbers.len();
        let number = *numbers.entry(block.to_vec()).or_insert_with(|| {
            blocks.extend(block.iter().map(|class| class.bits()));
            next
        });
        index.push(u8::try_from(number)?);
    }
    fs::write(out.join("classes.index"), index)?;
    fs::write(out.join("classes.blocks"), blocks)?;
    Ok(())
}
