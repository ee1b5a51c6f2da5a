//! The catalogue: which models exist and by which names clients may ask for them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use arc_swap::{ArcSwap, Guard};

use cloudach_proto::v1::{self, EngineCounts, TokenCounting, token_counting};
use cloudach_service::config::{self, ConfigError};
use serde::Deserialize;

use crate::{
    config::Source,
    pick::Policy,
    placement::spec::Spec,
    routes::{self, Route, RouteError},
};

/// The models, by the name that clients use.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    #[serde(default)]
    pub models: BTreeMap<String, Entry>,
    /// Names that stand for several models.
    #[serde(default)]
    pub routes: BTreeMap<String, Route>,
}

/// What is said of one model.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Entry {
    /// Further names for it.
    pub aliases: Vec<String>,
    /// Shown to clients as `owned_by`.
    pub owned_by: Option<String>,
    /// Shown to clients as `created`, in seconds since 1970.
    pub created: u64,
    /// How the token counts that clients see are made.
    pub counting: Counting,
    /// The most tokens of prompt and answer together. Absent: what the engine reports.
    pub context_length: Option<u32>,
    /// A chat template (Jinja) to use instead of the model's own.
    pub chat_template: Option<String>,
    /// The family whose chat template is used instead of the model's own, by its name (`llama-3.1`, `qwen-2.5`, ...).
    /// Absent: the model's own, or that of the family that the model's configuration shows.
    pub template_family: Option<String>,
    /// How the model writes calls, by vLLM's name for it (`hermes`, `llama3_json`, ...), or `none`. Absent: what its chat
    /// template shows.
    pub tool_format: Option<String>,
    /// How the model marks reasoning, by vLLM's name for it (`qwen3`, `deepseek_r1`, ...), or `none`. Absent: what its
    /// chat template shows.
    pub reasoning_format: Option<String>,
    /// What its tokens cost. Absent: nothing.
    pub prices: Option<Prices>,
    /// By what a replica is picked for a request.
    pub policy: Policy,
    /// The most requests that a replica works on at a time; others wait in the router, which is fair between tenants.
    /// Absent: until some wait in the engine's own queue.
    pub max_concurrent: Option<u32>,
    /// How and where it is loaded. Absent: nowhere; it is served by the sidecars that have it as their own.
    pub placement: Option<Spec>,
    /// The longest that a request may take, where that is less than the edge's `limits.request_time`. Absent: as there.
    #[serde(with = "humantime_serde")]
    pub timeout: Option<Duration>,
}

/// What a million tokens cost, in US dollars.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Prices {
    pub prompt: Price,
    /// Prompt tokens that the engine still had. Absent: as much as the others.
    pub cached: Option<Price>,
    pub completion: Price,
}

/// A price for a million tokens: exact to a millionth of a dollar.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "f64")]
pub struct Price(u64);

/// The number is no price.
#[derive(Debug, thiserror::Error)]
#[error("a price is the dollars that a million tokens cost, from 0 to 1000000")]
pub struct NotAPrice;

impl TryFrom<f64> for Price {
    type Error = NotAPrice;

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
    fn try_from(dollars: f64) -> Result<Self, NotAPrice> {
        if (0.0..=1e6).contains(&dollars) { Ok(Self((dollars * 1e6).round() as u64)) } else { Err(NotAPrice) }
    }
}

impl From<&Prices> for v1::Prices {
    fn from(prices: &Prices) -> Self {
        let cached = prices.cached.map(|price| price.0);
        Self { prompt: prices.prompt.0, cached, completion: prices.completion.0 }
    }
}

/// How the token counts that clients see are made.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Counting {
    /// As OpenAI's tools count: by the tiktoken encoding of this name.
    Tiktoken(Encoding),
    /// As the engine counts.
    Engine,
}

/// A tiktoken encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    O200kBase,
    Cl100kBase,
}

impl Default for Counting {
    fn default() -> Self {
        Self::Tiktoken(Encoding::O200kBase)
    }
}

impl From<&Counting> for TokenCounting {
    fn from(counting: &Counting) -> Self {
        let kind = match counting {
            Counting::Tiktoken(Encoding::O200kBase) => token_counting::Kind::Tiktoken("o200k_base".to_owned()),
            Counting::Tiktoken(Encoding::Cl100kBase) => token_counting::Kind::Tiktoken("cl100k_base".to_owned()),
            Counting::Engine => token_counting::Kind::Engine(EngineCounts {}),
        };
        Self { kind: Some(kind) }
    }
}

/// Why a catalogue cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("the name `{name}` stands for both `{first}` and `{second}`; a name stands for one model")]
    NameTaken { name: String, first: String, second: String },
    #[error("a model or a route has an empty name or alias")]
    EmptyName,
    #[error("the placement of `{model}` makes no sense: {problem}")]
    Placement { model: String, problem: &'static str },
    #[error(transparent)]
    Route(#[from] RouteError),
}

/// The catalogue that holds now. Clones share it.
#[derive(Debug, Clone)]
pub struct Current(Arc<ArcSwap<Names>>);

impl Current {
    /// This one, at first.
    pub fn new(names: Names) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(names)))
    }

    /// What it is now. Whoever looks twice may see two of them.
    pub fn now(&self) -> Guard<Arc<Names>> {
        self.0.load()
    }

    /// From now on it is this one.
    pub fn replace(&self, names: Names) {
        self.0.store(Arc::new(names));
    }
}

/// A catalogue whose names are known to be unique.
#[derive(Debug, Clone)]
pub struct Names {
    models: BTreeMap<String, Entry>,
    by_name: HashMap<String, String>,
    routes: BTreeMap<String, Route>,
}

impl Names {
    /// Reads and checks the catalogue.
    ///
    /// # Errors
    /// When the file is unusable or a name is not unique.
    pub fn load(source: &Source) -> Result<Self, CatalogueError> {
        Self::load_text(source).map(|(names, _)| names)
    }

    /// The same, with the text where it is that of a file.
    ///
    /// # Errors
    /// As for [`Names::load`].
    pub fn load_text(source: &Source) -> Result<(Self, Option<String>), CatalogueError> {
        match source {
            Source::File(path) => {
                let text = config::text(path)?;
                let invalid = |reason| ConfigError::Invalid { path: path.clone(), reason };
                Ok((Self::check(config::parse(&text).map_err(invalid)?)?, Some(text)))
            }
            Source::Here(catalogue) => Ok((Self::check(catalogue.clone())?, None)),
        }
    }

    /// Checks that every name stands for one model.
    ///
    /// # Errors
    /// Names the two models that share a name.
    pub fn check(catalogue: Catalogue) -> Result<Self, CatalogueError> {
        let mut by_name: HashMap<String, String> = HashMap::new();
        let mut models = catalogue.models;
        for (id, entry) in &models {
            if let Some(problem) = entry.placement.as_ref().and_then(Spec::problem) {
                return Err(CatalogueError::Placement { model: id.clone(), problem });
            }
        }
        // An adapter is a model of its own: what is said of its base holds for it, but for the names and the place.
        let adapters: Vec<_> = models
            .iter()
            .flat_map(|(id, entry)| {
                let names = entry.placement.iter().flat_map(|spec| spec.adapters.keys());
                names.map(|name| {
                    let placement = None;
                    (name.clone(), id.clone(), Entry { aliases: Vec::new(), placement, ..entry.clone() })
                })
            })
            .collect();
        for (name, base, entry) in adapters {
            if models.insert(name.clone(), entry).is_some() {
                return Err(CatalogueError::NameTaken { first: name.clone(), name, second: base });
            }
        }
        for (id, entry) in &models {
            for name in std::iter::once(id).chain(&entry.aliases) {
                if name.is_empty() {
                    return Err(CatalogueError::EmptyName);
                }
                if let Some(first) = by_name.insert(name.clone(), id.clone()) {
                    return Err(CatalogueError::NameTaken { name: name.clone(), first, second: id.clone() });
                }
            }
        }
        for name in catalogue.routes.keys() {
            if name.is_empty() {
                return Err(CatalogueError::EmptyName);
            }
            if let Some(first) = by_name.get(name) {
                let (first, second) = (first.clone(), format!("the route {name}"));
                return Err(CatalogueError::NameTaken { name: name.clone(), first, second });
            }
        }
        routes::check(&catalogue.routes, &models)?;
        Ok(Self { models, by_name, routes: catalogue.routes })
    }

    /// The model that `name`, an id or an alias, stands for.
    pub fn resolve(&self, name: &str) -> Option<&str> {
        self.by_name.get(name).map(String::as_str)
    }

    /// What is said of a model, by its id.
    pub fn entry(&self, model: &str) -> Option<&Entry> {
        self.models.get(model)
    }

    /// All names that stand for several models.
    pub fn routes(&self) -> impl Iterator<Item = (&str, &Route)> {
        self.routes.iter().map(|(name, route)| (name.as_str(), route))
    }

    /// All models, by id.
    pub fn models(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.models.iter().map(|(id, entry)| (id.as_str(), entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(yaml: &str) -> Result<Names, CatalogueError> {
        Names::check(config::parse(yaml).unwrap())
    }

    #[test]
    fn aliases_lead_to_their_model() {
        let names = names(
            "models:\n  org/big:\n    aliases: [gpt-4o, big]\n    counting: engine\n  small:\n    counting: {tiktoken: cl100k_base}\n",
        )
        .unwrap();
        assert_eq!(names.resolve("gpt-4o"), Some("org/big"));
        assert_eq!(names.resolve("org/big"), Some("org/big"));
        assert_eq!(names.resolve("unknown"), None);
    }

    #[test]
    fn prices_are_dollars_for_a_million_tokens() {
        let prices: Prices = config::parse("prompt: 0.15\ncompletion: 0.6\n").unwrap();
        let told = v1::Prices::from(&prices);
        assert_eq!((told.prompt, told.cached, told.completion), (150_000, None, 600_000));
        for wrong in ["prompt: -1\n", "prompt: 1e9\n", "promt: 1\n", "prompt: .nan\n"] {
            assert!(config::parse::<Prices>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_name_stands_for_one_model() {
        let error = names("models:\n  a: {aliases: [x]}\n  b: {aliases: [x]}\n").unwrap_err();
        assert!(matches!(error, CatalogueError::NameTaken { name, .. } if name == "x"));
        assert!(names("models:\n  a: {aliases: [a]}\n").is_err());
    }

    #[test]
    fn an_adapter_is_a_model_of_its_own() {
        let yaml = |adapter: &str| {
            format!(
                "models:\n  base:\n    aliases: [b]\n    context_length: 9\n    placement:\n      source: /m\n      \
                 memory_mib: 5\n      adapters: {{{adapter}: /a}}\n  other: {{}}\n"
            )
        };
        let named = names(&yaml("polite")).unwrap();
        assert_eq!(named.resolve("polite"), Some("polite"));
        let polite = named.models().find(|(id, _)| *id == "polite").unwrap().1.clone();
        assert_eq!((polite.context_length, polite.placement.is_none()), (Some(9), true));
        for taken in ["other", "base", "b"] {
            assert!(matches!(names(&yaml(taken)).unwrap_err(), CatalogueError::NameTaken { .. }), "{taken}");
        }
        let wrong = names("models:\n  a: {placement: {source: /m, memory_mib: 5, min: 2}}\n").unwrap_err();
        assert_eq!(wrong.to_string(), "the placement of `a` makes no sense: `min` is more than `max`");
    }
}
