//! How a model is prompted and read: by which chat template and which formats, and who says so.

use std::{fmt::Display, str::FromStr, sync::Arc};

use cloudach_model::{
    reading::{ReasoningFormat, ToolFormat, detect},
    template::{
        ChatTemplate, Source,
        families::{self, Family, Traits},
    },
};
use cloudach_proto::v1::{self, ModelTraits};
use tracing::{error, info, warn};

/// What is decided of a model once it is known.
#[derive(Debug)]
pub struct Prompting {
    pub template: Template,
    pub formats: Formats,
    /// For people: whose template it is, and why.
    why: String,
}

/// A model's chat template.
#[derive(Debug, Clone)]
pub enum Template {
    /// The model has none.
    None,
    Compiled(Arc<ChatTemplate>),
    /// It cannot be compiled; says why.
    Broken(String),
}

/// How a model writes what is no plain answer.
#[derive(Debug, Clone, Copy, Default)]
pub struct Formats {
    pub tools: Option<ToolFormat>,
    pub reasoning: Option<ReasoningFormat>,
}

impl Prompting {
    /// The catalogue goes before the model, and the model before its family.
    pub fn of(model: &v1::Model) -> Self {
        let traits = model.traits.clone().unwrap_or_default();
        let tokens: Vec<&str> = traits.tokens.iter().map(String::as_str).collect();
        let architecture = Some(&*traits.architecture).filter(|name| !name.is_empty());
        let found = match (&model.chat_template, &model.template_family) {
            (Some(told), family) if model.chat_template_is_catalogues || family.is_none() => {
                let whose = if model.chat_template_is_catalogues { "the catalogue's" } else { "the model's own" };
                let formats = detect(&told.source, &tokens, architecture);
                Self::compiled(&source(told), formats, whose.to_owned())
            }
            (_, Some(name)) => match name.parse() {
                Ok(family) => Self::of_family(family, &traits, &"the catalogue"),
                Err(error) => Self::without(Template::Broken(error.to_string()), "the catalogue's".to_owned()),
            },
            (_, None) => match families::recognise(&Traits { architecture, tokens: &tokens }) {
                Some(recognised) => Self::of_family(recognised.family, &traits, &recognised),
                None => {
                    let why = "it ships none, and its configuration shows no family that is known";
                    Self::without(Template::None, format!("none: {why} ({})", shown(&traits)))
                }
            },
        };
        let formats = Formats {
            tools: named(model, model.tool_format.as_deref(), found.formats.tools),
            reasoning: named(model, model.reasoning_format.as_deref(), found.formats.reasoning),
        };
        Self { formats, ..found }
    }

    /// Whether two reports of a model lead to the same.
    pub fn is_same(one: &v1::Model, other: &v1::Model) -> bool {
        one.chat_template == other.chat_template
            && one.chat_template_is_catalogues == other.chat_template_is_catalogues
            && one.template_family == other.template_family
            && one.traits == other.traits
            && one.tool_format == other.tool_format
            && one.reasoning_format == other.reasoning_format
    }

    /// Why the model cannot be prompted, though it has a template.
    pub fn broken(&self) -> Option<&str> {
        match &self.template {
            Template::Broken(why) => Some(why),
            Template::None | Template::Compiled(_) => None,
        }
    }

    /// Logs what was decided.
    pub fn tell(&self, model: &str) {
        if let Some(error) = self.broken() {
            error!(model, template = self.why, error, "model not ready: its chat template cannot be used");
            return;
        }
        let tools = self.formats.tools.map_or("none", |format| format.name());
        let reasoning = self.formats.reasoning.map_or("none", |format| format.name());
        info!(model, template = self.why, tools, reasoning, "model known");
    }

    fn of_family(family: &Family, traits: &ModelTraits, by: &dyn Display) -> Self {
        let source = family.source(traits.bos_token.as_deref(), traits.eos_token.as_deref());
        Self::compiled(&source, family.formats(), format!("family {}, by {by}", family.name))
    }

    fn compiled(source: &Source<'_>, formats: (Option<ToolFormat>, Option<ReasoningFormat>), why: String) -> Self {
        let template = match ChatTemplate::compile(source) {
            Ok(template) => Template::Compiled(Arc::new(template)),
            Err(error) => Template::Broken(error.to_string()),
        };
        Self { template, formats: Formats { tools: formats.0, reasoning: formats.1 }, why }
    }

    fn without(template: Template, why: String) -> Self {
        Self { template, formats: Formats::default(), why }
    }
}

fn source(told: &v1::ChatTemplate) -> Source<'_> {
    Source { template: &told.source, bos_token: told.bos_token.as_deref(), eos_token: told.eos_token.as_deref() }
}

/// For people who wonder why no family was recognised.
fn shown(traits: &ModelTraits) -> String {
    const TOKENS: usize = 12;
    let architecture = if traits.architecture.is_empty() { "architecture unknown" } else { &traits.architecture };
    let tokens = traits.tokens.iter().take(TOKENS).map(String::as_str).collect::<Vec<_>>().join(" ");
    if tokens.is_empty() {
        format!("{architecture}, no token that tells")
    } else {
        format!("{architecture} with {tokens}")
    }
}

/// The format of this name, or none by the name `none`; `found` where it has no name.
fn named<F: FromStr<Err: Display>>(model: &v1::Model, name: Option<&str>, found: Option<F>) -> Option<F> {
    match name {
        None => found,
        Some("none") => None,
        Some(name) => name
            .parse()
            .inspect_err(|error| warn!(model = model.id, %error, "the catalogue names a format that is not known"))
            .ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(change: impl FnOnce(&mut v1::Model)) -> Prompting {
        let tokens = ["<|im_start|>", "<|im_end|>", "<tool_call>"].map(str::to_owned).into();
        let traits = ModelTraits { architecture: "Qwen2ForCausalLM".to_owned(), tokens, ..ModelTraits::default() };
        let mut model = v1::Model { traits: Some(traits), ..v1::Model::default() };
        change(&mut model);
        Prompting::of(&model)
    }

    fn template(source: &str) -> Option<v1::ChatTemplate> {
        Some(v1::ChatTemplate { source: source.to_owned(), ..v1::ChatTemplate::default() })
    }

    #[test]
    fn the_catalogue_goes_before_the_model_and_the_model_before_its_family() {
        let family = known(|_| {});
        assert_eq!(family.why, "family qwen-2.5, by Qwen2ForCausalLM with <|im_start|> <|im_end|> <tool_call>");
        assert_eq!(known(|model| model.chat_template = template("own")).why, "the model's own");
        let named = known(|model| {
            model.chat_template = template("own");
            model.template_family = Some("llama-3.1".to_owned());
        });
        assert_eq!(named.why, "family llama-3.1, by the catalogue");
        let catalogues = known(|model| {
            model.chat_template = template("catalogue");
            model.chat_template_is_catalogues = true;
            model.template_family = Some("llama-3.1".to_owned());
        });
        assert_eq!(catalogues.why, "the catalogue's");
        let none = known(|model| model.traits = None);
        assert!(matches!(none.template, Template::None) && none.why.starts_with("none: "), "{}", none.why);
    }

    #[test]
    fn formats_are_the_familys_unless_the_catalogue_names_them() {
        let formats = |prompting: Prompting| {
            let Formats { tools, reasoning } = prompting.formats;
            (tools.map(|format| format.name()), reasoning.map(|format| format.name()))
        };
        assert_eq!(formats(known(|_| {})), (Some("hermes"), None));
        let named = known(|model| {
            model.tool_format = Some("none".to_owned());
            model.reasoning_format = Some("qwen3".to_owned());
        });
        assert_eq!(formats(named), (None, Some("qwen3")));
        let by_architecture = known(|model| {
            model.chat_template = template("{% if tools %}<tool_call>{% endif %}");
            model.traits =
                Some(ModelTraits { architecture: "Ernie4_5_MoeForCausalLM".to_owned(), ..ModelTraits::default() });
        });
        assert_eq!(formats(by_architecture), (Some("ernie45"), None));
    }

    #[test]
    fn what_cannot_be_used_says_why() {
        let broken = known(|model| model.chat_template = template("a\n{% endif %}"));
        assert!(broken.broken().unwrap().contains("line 2"), "{broken:?}");
        let unknown = known(|model| model.template_family = Some("llama-9".to_owned()));
        assert!(unknown.broken().unwrap().contains("no template family `llama-9`"), "{unknown:?}");
        assert_eq!(known(|_| {}).broken(), None);
    }

    /// The model's own words on its first token go before the family's.
    #[test]
    fn families_take_the_models_tokens() {
        let prompting = known(|model| {
            model.template_family = Some("llama-3".to_owned());
            model.traits = Some(ModelTraits { bos_token: Some("<begin>".to_owned()), ..ModelTraits::default() });
        });
        let Template::Compiled(template) = prompting.template else { panic!("it compiles") };
        assert!(template.starts_with_bos("<begin><|start_header_id|>"));
    }
}
