//! The prompt of a request, read alike for every dialect.

use cloudach_proto::v1::{Failed, GenerateRequest, Prompt, PromptText, prompt};
use serde::{Serialize, Serializer};

use super::{ModelInfo, failure::invalid};

/// Makes an empty text the beginning of a document, as OpenAI reads it: engines refuse it. Left as it is where the
/// model's token for that is not known.
pub(super) fn begin(request: &mut GenerateRequest, model: &ModelInfo) {
    let bos = || model.traits.bos_token.as_ref().filter(|bos| !bos.is_empty());
    if let Some(Prompt { prompt: Some(prompt::Prompt::Text(prompt)) }) = &mut request.prompt
        && prompt.text.is_empty()
        && let Some(bos) = bos()
    {
        // The tokenizer would put another one before it.
        *prompt = PromptText { text: bos.clone(), add_special_tokens: false };
    }
}

/// A prompt that is not empty. In JSON it is a string or a list of ids.
#[derive(Debug, Clone, Copy)]
pub(super) enum Input<'a> {
    Text { text: &'a str, add_special_tokens: bool },
    Ids(&'a [u32]),
}

impl<'a> Input<'a> {
    /// About how many bytes of JSON it is, by lines that are broken sometimes and ids of five or six digits.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::Text { text, .. } => text.len() + text.len() / 16,
            Self::Ids(ids) => ids.len() * 7,
        }
    }

    /// The prompt of a generation.
    pub(super) fn of(prompt: Option<&'a Prompt>) -> Result<Self, Failed> {
        Self::named("prompt", prompt)
    }

    /// One that came in this parameter. What is empty is refused in OpenAI's words.
    pub(super) fn named(param: &str, prompt: Option<&'a Prompt>) -> Result<Self, Failed> {
        let input = match prompt.and_then(|prompt| prompt.prompt.as_ref()) {
            Some(prompt::Prompt::Text(text)) => {
                Self::Text { text: &text.text, add_special_tokens: text.add_special_tokens }
            }
            Some(prompt::Prompt::TokenIds(tokens)) => Self::Ids(&tokens.ids),
            None => return Err(invalid(param, "the request has no prompt")),
        };
        let (an, kind) = match input {
            Self::Text { text: "", .. } => ("a", "string"),
            Self::Ids([]) => ("an", "array"),
            input => return Ok(input),
        };
        let message = format!(
            "Invalid '{param}': empty {kind}. Expected {an} {kind} with minimum length 1, but got an empty {kind} \
             instead."
        );
        Err(invalid(param, message))
    }

    /// How many tokens it has. 0: only the engine can tell.
    pub(super) fn known_tokens(self) -> u32 {
        match self {
            Self::Text { .. } => 0,
            Self::Ids(ids) => u32::try_from(ids.len()).unwrap_or(u32::MAX),
        }
    }

    /// For the engine's tokenizer; with ids there is nothing to add to.
    pub(super) fn add_special_tokens(self) -> bool {
        matches!(self, Self::Text { add_special_tokens: true, .. })
    }
}

impl Serialize for Input<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text { text, .. } => to.serialize_str(text),
            Self::Ids(ids) => to.collect_seq(*ids),
        }
    }
}

#[cfg(test)]
mod tests {
    use cloudach_proto::v1::{ModelTraits, TokenIds};

    use super::*;

    fn text(text: &str) -> Prompt {
        let text = PromptText { text: text.into(), add_special_tokens: true };
        Prompt { prompt: Some(prompt::Prompt::Text(text)) }
    }

    #[test]
    fn nothing_is_the_beginning_of_a_document() {
        let begun = |prompt: Prompt, bos_token: Option<&str>| {
            let traits = ModelTraits { bos_token: bos_token.map(str::to_owned), ..ModelTraits::default() };
            let mut request = GenerateRequest { prompt: Some(prompt), ..GenerateRequest::default() };
            begin(&mut request, &ModelInfo { traits, ..ModelInfo::default() });
            request.prompt.unwrap()
        };
        let bos = PromptText { text: "<s>".into(), add_special_tokens: false };
        assert_eq!(begun(text(""), Some("<s>")).prompt, Some(prompt::Prompt::Text(bos)));
        for (prompt, bos_token) in [(text("a"), Some("<s>")), (text(""), None), (text(""), Some(""))] {
            assert_eq!(begun(prompt.clone(), bos_token), prompt, "{bos_token:?}");
        }
    }

    #[test]
    fn an_empty_prompt_is_refused_in_openais_words() {
        let none = Prompt { prompt: Some(prompt::Prompt::TokenIds(TokenIds::default())) };
        let cases = [
            (
                text(""),
                "Invalid 'prompt': empty string. Expected a string with minimum length 1, but got an empty string instead.",
            ),
            (
                none,
                "Invalid 'prompt': empty array. Expected an array with minimum length 1, but got an empty array instead.",
            ),
        ];
        for (prompt, message) in cases {
            let failed = Input::of(Some(&prompt)).unwrap_err();
            assert_eq!((&*failed.param, &*failed.message), ("prompt", message));
        }
    }
}
