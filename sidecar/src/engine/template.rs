//! The chat template and the special tokens of a model, from the files of its folder as Hugging Face lays them out.

use std::path::{Path, PathBuf};

use cloudach_proto::v1::ChatTemplate;
use serde::{Deserialize, de::DeserializeOwned};
use tokio::fs;

use super::call::EngineError;
use crate::config::EngineConfig;

/// The largest file that is read, in bytes. A tokenizer's settings can list every special token.
const MAX_FILE: u64 = 64 * 1024 * 1024;

/// The name of the template that is for chats, where a model has several.
const DEFAULT: &str = "default";

#[derive(Debug, Default, Deserialize)]
struct TokenizerConfig {
    #[serde(default)]
    chat_template: Option<Templates>,
    #[serde(default)]
    bos_token: Option<Token>,
    #[serde(default)]
    eos_token: Option<Token>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Templates {
    One(String),
    Named(Vec<Named>),
}

#[derive(Debug, Deserialize)]
struct Named {
    name: String,
    template: String,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Token {
    Text(String),
    Described { content: String },
}

/// What is said of how the model is prompted.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Prompting {
    pub(super) source: Option<String>,
    pub(super) bos_token: Option<String>,
    pub(super) eos_token: Option<String>,
}

/// What the files of the model in `folder` say, with what the configuration puts in its place.
pub(super) async fn of_model(folder: Option<&Path>, config: &EngineConfig) -> Result<Prompting, EngineError> {
    let found = match folder {
        Some(folder) => in_folder(folder).await?,
        None => Prompting::default(),
    };
    overridden(found, config).await
}

/// `found`, with what the configuration puts in its place.
pub(super) async fn overridden(found: Prompting, config: &EngineConfig) -> Result<Prompting, EngineError> {
    let source = match &config.chat_template_file {
        Some(path) => Some(text(path).await?.ok_or_else(|| unusable(path, "it does not exist"))?),
        None => found.source,
    };
    Ok(Prompting {
        source,
        bos_token: config.bos_token.clone().or(found.bos_token),
        eos_token: config.eos_token.clone().or(found.eos_token),
    })
}

async fn in_folder(folder: &Path) -> Result<Prompting, EngineError> {
    let tokenizer: TokenizerConfig = json(&folder.join("tokenizer_config.json")).await?.unwrap_or_default();
    let special: TokenizerConfig = json(&folder.join("special_tokens_map.json")).await?.unwrap_or_default();
    // Newer models have the template in a file of its own, which goes before.
    let source = match text(&folder.join("chat_template.jinja")).await? {
        Some(source) => Some(source),
        None => {
            let file: TokenizerConfig = json(&folder.join("chat_template.json")).await?.unwrap_or_default();
            file.chat_template.or(tokenizer.chat_template).and_then(Templates::for_chats)
        }
    };
    Ok(Prompting {
        source,
        bos_token: tokenizer.bos_token.or(special.bos_token).map(Token::text),
        eos_token: tokenizer.eos_token.or(special.eos_token).map(Token::text),
    })
}

impl Prompting {
    /// The chat template, if there is one.
    pub(super) fn template(&self) -> Option<ChatTemplate> {
        let source = self.source.clone()?;
        Some(ChatTemplate { source, bos_token: self.bos_token.clone(), eos_token: self.eos_token.clone() })
    }
}

impl Templates {
    fn for_chats(self) -> Option<String> {
        match self {
            Self::One(source) => Some(source),
            Self::Named(named) => named.into_iter().find(|named| named.name == DEFAULT).map(|named| named.template),
        }
    }
}

impl Token {
    fn text(self) -> String {
        match self {
            Self::Text(text) | Self::Described { content: text } => text,
        }
    }
}

pub(super) async fn json<T: DeserializeOwned>(path: &PathBuf) -> Result<Option<T>, EngineError> {
    let Some(text) = text(path).await? else { return Ok(None) };
    serde_json::from_str(&text).map(Some).map_err(|error| unusable(path, error))
}

/// The text of a file; none when there is no such file.
async fn text(path: &PathBuf) -> Result<Option<String>, EngineError> {
    let Ok(found) = fs::metadata(path).await else { return Ok(None) };
    if found.len() > MAX_FILE {
        return Err(unusable(path, format!("it is larger than {MAX_FILE} bytes")));
    }
    fs::read_to_string(path).await.map(Some).map_err(|error| unusable(path, error))
}

fn unusable(path: &Path, reason: impl ToString) -> EngineError {
    EngineError::ModelFile { path: path.display().to_string(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::Dialect;

    async fn prompting(files: &[(&str, &str)]) -> Prompting {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        in_folder(folder.path()).await.unwrap()
    }

    fn expected(source: &str, bos: Option<&str>, eos: Option<&str>) -> Prompting {
        let text = |text: &str| text.to_owned();
        Prompting { source: Some(text(source)), bos_token: bos.map(text), eos_token: eos.map(text) }
    }

    #[tokio::test]
    async fn templates_are_found_where_models_have_them() {
        assert_eq!(prompting(&[]).await, Prompting::default());
        let plain = r#"{"chat_template": "T", "bos_token": "<s>", "eos_token": {"content": "</s>", "lstrip": false},
            "model_max_length": 1000000000000000019884624838656}"#;
        assert_eq!(prompting(&[("tokenizer_config.json", plain)]).await, expected("T", Some("<s>"), Some("</s>")));
        let named = r#"{"chat_template": [{"name": "rag", "template": "R"}, {"name": "default", "template": "D"}]}"#;
        assert_eq!(prompting(&[("tokenizer_config.json", named)]).await, expected("D", None, None));
        let file = [("tokenizer_config.json", plain), ("chat_template.jinja", "J")];
        assert_eq!(prompting(&file).await, expected("J", Some("<s>"), Some("</s>")));
        let apart = [
            ("tokenizer_config.json", r#"{"bos_token": null}"#),
            ("chat_template.json", r#"{"chat_template": "C"}"#),
            ("special_tokens_map.json", r#"{"bos_token": "<b>", "eos_token": "<e>"}"#),
        ];
        assert_eq!(prompting(&apart).await, expected("C", Some("<b>"), Some("<e>")));
        let none = prompting(&[("tokenizer_config.json", r#"{"bos_token": "<s>"}"#)]).await;
        assert_eq!((none.template(), none.bos_token.as_deref()), (None, Some("<s>")), "known without a template, too");
    }

    #[tokio::test]
    async fn the_configuration_goes_before() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mine.jinja");
        fs::write(&file, "MINE").unwrap();
        let mut config = EngineConfig::attach(Dialect::Vllm, "http://127.0.0.1:1".parse().unwrap());
        config.chat_template_file = Some(file);
        config.eos_token = Some("<end>".into());
        assert_eq!(of_model(None, &config).await.unwrap(), expected("MINE", None, Some("<end>")));
        config.chat_template_file = Some("/nowhere.jinja".into());
        assert!(of_model(None, &config).await.unwrap_err().to_string().contains("/nowhere.jinja"));
    }
}
