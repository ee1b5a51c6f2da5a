//! Whether token ids that a client sends are tokens at all. Engines say it each in its own words, or not before they
//! have begun.

use std::path::Path;

use cloudach_proto::v1::Failed;
use serde::Deserialize;

use super::{call::EngineError, failure::invalid, prompt::Input, template::json};

#[derive(Debug, Default, Deserialize)]
struct ModelConfig {
    #[serde(default)]
    vocab_size: Option<u32>,
    /// Where models of several modalities have it.
    #[serde(default)]
    text_config: Option<TextConfig>,
}

#[derive(Debug, Deserialize)]
struct TextConfig {
    #[serde(default)]
    vocab_size: Option<u32>,
}

/// How many tokens the model in `folder` knows. 0: it is not said.
pub(super) async fn of_model(folder: Option<&Path>) -> Result<u32, EngineError> {
    let Some(folder) = folder else { return Ok(0) };
    let config: ModelConfig = json(&folder.join("config.json")).await?.unwrap_or_default();
    Ok(config.vocab_size.or(config.text_config.and_then(|text| text.vocab_size)).unwrap_or(0))
}

/// Refuses ids that are beyond a vocabulary of so many tokens, in OpenAI's words (recording 261). 0: not known.
pub(super) fn check(input: Input<'_>, vocabulary: u32) -> Result<(), Failed> {
    let (Input::Ids(ids), Some(last)) = (input, vocabulary.checked_sub(1)) else { return Ok(()) };
    match ids.iter().find(|id| **id > last) {
        None => Ok(()),
        Some(id) => Err(invalid(
            "",
            format!("Invalid token in prompt: {id}. Minimum value is 0, maximum value is {last} (inclusive)."),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_beyond_the_vocabulary_are_refused() {
        assert!(check(Input::Ids(&[0, 9]), 10).is_ok());
        let failed = check(Input::Ids(&[3, 10]), 10).unwrap_err();
        assert_eq!(
            (&*failed.message, &*failed.param),
            ("Invalid token in prompt: 10. Minimum value is 0, maximum value is 9 (inclusive).", "")
        );
        assert!(check(Input::Ids(&[u32::MAX]), 0).is_ok(), "not known");
        assert!(check(Input::Text { text: "a", add_special_tokens: true }, 1).is_ok());
    }

    #[tokio::test]
    async fn the_size_stands_in_the_models_config() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(of_model(None).await.unwrap(), 0);
        assert_eq!(of_model(Some(folder.path())).await.unwrap(), 0, "no config.json");
        let config = folder.path().join("config.json");
        std::fs::write(&config, r#"{"vocab_size": 49152, "x": 1}"#).unwrap();
        assert_eq!(of_model(Some(folder.path())).await.unwrap(), 49_152);
        std::fs::write(&config, r#"{"text_config": {"vocab_size": 7}}"#).unwrap();
        assert_eq!(of_model(Some(folder.path())).await.unwrap(), 7);
    }
}
