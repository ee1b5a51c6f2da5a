//! What a model is built as, and which marks its vocabulary has: what tells the family of a model that ships no chat
//! template.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
};

use cloudach_proto::v1::ModelTraits;
use serde::{Deserialize, de::DeserializeOwned};
use tracing::warn;

use super::template::{Prompting, json};

/// The most tokens that are told: real models have some ten, or a thousand that differ in a number only.
const MOST: usize = 256;

/// The longest token that is told, in bytes.
const LONGEST: usize = 64;

#[derive(Debug, Default, Deserialize)]
struct ModelConfig {
    #[serde(default)]
    architectures: Option<Vec<String>>,
    #[serde(default)]
    model_type: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct TokenizerConfig {
    /// By id.
    #[serde(default)]
    added_tokens_decoder: BTreeMap<String, Added>,
}

#[derive(Debug, Default, Deserialize)]
struct Tokenizer {
    #[serde(default)]
    added_tokens: Vec<Added>,
}

#[derive(Debug, Deserialize)]
struct Added {
    content: String,
}

/// Mistral's own tokenizer file.
#[derive(Debug, Deserialize)]
struct Tekken {
    /// The first such files left them out.
    #[serde(default)]
    special_tokens: Option<Vec<Special>>,
}

#[derive(Debug, Deserialize)]
struct Special {
    token_str: String,
}

/// What the files of the model in `folder` say.
pub(super) async fn of_files(folder: &Path, prompting: &Prompting) -> ModelTraits {
    let config: ModelConfig = read(folder.join("config.json")).await.unwrap_or_default();
    let architecture = config.architectures.and_then(|names| names.into_iter().next()).or(config.model_type);
    of(architecture.unwrap_or_default(), tokens(folder).await, prompting)
}

/// A model's traits, within their bounds.
pub(super) fn of(architecture: String, tokens: Vec<String>, prompting: &Prompting) -> ModelTraits {
    ModelTraits {
        architecture,
        tokens: bounded(tokens),
        bos_token: prompting.bos_token.clone(),
        eos_token: prompting.eos_token.clone(),
    }
}

/// From the first of the files that has any.
async fn tokens(folder: &Path) -> Vec<String> {
    let config: TokenizerConfig = read(folder.join("tokenizer_config.json")).await.unwrap_or_default();
    let mut added: Vec<String> = config.added_tokens_decoder.into_values().map(|added| added.content).collect();
    if added.is_empty() {
        let tokenizer: Tokenizer = read(folder.join("tokenizer.json")).await.unwrap_or_default();
        added.extend(tokenizer.added_tokens.into_iter().map(|added| added.content));
    }
    if added.is_empty()
        && let Some(tekken) = read::<Tekken>(folder.join("tekken.json")).await
    {
        let special = tekken.special_tokens.map(|tokens| tokens.into_iter().map(|token| token.token_str).collect());
        added = special.unwrap_or_else(first_of_tekken);
        // It has a thousand such tokens, of which the file lists those that have a meaning.
        added.extend(["<SPECIAL_998>", "<SPECIAL_999>"].map(str::to_owned));
    }
    added
}

/// The marks of the models whose files leave them out.
fn first_of_tekken() -> Vec<String> {
    ["<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_CALLS]"]
        .map(str::to_owned)
        .into()
}

/// One of those that differ only in a number, and no more than may be told.
fn bounded(tokens: Vec<String>) -> Vec<String> {
    let mut alike: HashMap<String, usize> = HashMap::new();
    let tokens: Vec<_> = tokens.into_iter().filter(|token| token.len() <= LONGEST).collect();
    for token in &tokens {
        *alike.entry(without_numbers(token)).or_default() += 1;
    }
    let mut told = Vec::new();
    for token in tokens {
        let shape = without_numbers(&token);
        match alike.get_mut(&shape) {
            Some(0) => {}
            Some(1) => told.push(token),
            Some(count) => {
                *count = 0;
                told.push(shape);
            }
            None => {}
        }
    }
    told.truncate(MOST);
    told
}

fn without_numbers(token: &str) -> String {
    let mut shape = String::with_capacity(token.len());
    for letter in token.chars() {
        match letter.is_ascii_digit() {
            true if shape.ends_with('#') => {}
            true => shape.push('#'),
            false => shape.push(letter),
        }
    }
    shape
}

/// What cannot be read is not known: the engine has read the same files, and a model that has its own template needs
/// nothing of this.
async fn read<T: DeserializeOwned>(path: PathBuf) -> Option<T> {
    json(&path).await.unwrap_or_else(|error| {
        warn!(%error, "the model's family may not be recognised");
        None
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    async fn traits(files: &[(&str, &str)]) -> (String, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let traits = of_files(folder.path(), &Prompting::default()).await;
        (traits.architecture, traits.tokens)
    }

    #[tokio::test]
    async fn traits_are_found_where_models_have_them() {
        assert_eq!(traits(&[]).await, (String::new(), vec![]));
        let config = ("config.json", r#"{"architectures": ["QwenForCausalLM"], "model_type": "qwen", "x": 1}"#);
        let decoder =
            r#"{"added_tokens_decoder": {"1": {"content": "<a>", "special": true}, "2": {"content": "<b>"}}}"#;
        let tokenizer = r#"{"added_tokens": [{"id": 7, "content": "<c>"}], "model": {"vocab": {"x": 1}}}"#;
        let all = [config, ("tokenizer_config.json", decoder), ("tokenizer.json", tokenizer)];
        assert_eq!(traits(&all).await, ("QwenForCausalLM".into(), vec!["<a>".into(), "<b>".into()]));
        let few = [("config.json", r#"{"model_type": "qwen"}"#), ("tokenizer.json", tokenizer)];
        assert_eq!(traits(&few).await, ("qwen".into(), vec!["<c>".into()]));
        let tekken = [("tekken.json", r#"{"special_tokens": [{"rank": 0, "token_str": "[INST]"}], "vocab": []}"#)];
        assert_eq!(traits(&tekken).await.1, ["[INST]", "<SPECIAL_#>"]);
        let first = traits(&[("tekken.json", r#"{"vocab": []}"#)]).await.1;
        assert!(first.contains(&"[TOOL_CALLS]".into()) && first.contains(&"<SPECIAL_#>".into()), "{first:?}");
        let broken = [("config.json", "{"), ("tokenizer.json", tokenizer)];
        assert_eq!(traits(&broken).await, (String::new(), vec!["<c>".into()]));
    }

    #[test]
    fn one_stands_for_all_that_differ_in_a_number() {
        let tokens = |tokens: &[&str]| bounded(tokens.iter().map(|token| (*token).to_owned()).collect());
        assert_eq!(tokens(&["<r_1>", "<im>", "<r_2>", "<r_17>", "<h1>"]), ["<r_#>", "<im>", "<h1>"]);
        assert_eq!(tokens(&["<a>", &"x".repeat(65)]), ["<a>"]);
        let letters = |index: usize| format!("<{}>", "ab".repeat(index / 26) + &"x".repeat(index % 26));
        let many: Vec<String> = (0..400).map(letters).collect();
        assert_eq!(bounded(many).len(), 256);
    }
}
