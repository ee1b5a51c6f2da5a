//! Names that stand for several models: which of them a request is for. No I/O.

use std::{sync::Arc, time::Duration};

use cloudach_proto::v1::{self, RequestContext};
use sha2::{Digest, Sha256};

use super::Model;

/// A name that stands for several models.
#[derive(Debug, Clone, PartialEq)]
pub struct Route(v1::Route);

/// The model that a request is for, and the route that led there, if one did.
#[derive(Debug, Clone)]
pub struct Routed {
    pub model: Arc<Model>,
    pub route: Option<Arc<Route>>,
}

impl Route {
    pub fn new(told: v1::Route) -> Self {
        Self(told)
    }

    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The models in the order in which they are asked. The same `key` has the same order for as long as the route is the
    /// same, on every edge.
    pub fn order(&self, key: &str) -> impl Iterator<Item = &str> {
        let first = self.first(draw(&["split", &self.0.name, key]));
        let fallbacks = self.0.fallbacks.iter().map(String::as_str);
        first.into_iter().chain(fallbacks.filter(move |&model| Some(model) != first))
    }

    fn models(&self) -> impl Iterator<Item = &str> {
        let split = self.0.split.iter().map(|share| share.model.as_str());
        split.chain(self.0.fallbacks.iter().map(String::as_str))
    }

    /// The model that a request of this `key` is asked of as well.
    pub fn mirror(&self, key: &str) -> Option<&str> {
        let mirror = self.0.mirror.as_ref()?;
        let drawn = draw(&["mirror", &self.0.name, key]);
        #[expect(clippy::cast_precision_loss, reason = "a share is no more exact")]
        let is_copied = (drawn as f64) < mirror.share * u64::MAX as f64;
        is_copied.then_some(&mirror.to)
    }

    fn first(&self, draw: u64) -> Option<&str> {
        let total: u64 = self.0.split.iter().map(|share| u64::from(share.weight)).sum();
        let mut at = draw.checked_rem(total)?;
        for share in &self.0.split {
            match at.checked_sub(share.weight.into()) {
                Some(beyond) => at = beyond,
                None => return Some(&share.model),
            }
        }
        None
    }
}

impl Routed {
    /// Straight to a model.
    pub fn to(model: Arc<Model>) -> Self {
        Self { model, route: None }
    }

    /// Whether a caller who `may` use some names may ask for this. A route is allowed by its own name, or by those of all its
    /// models: else it would depend on the draw.
    pub fn allows(&self, may: impl Fn(&str) -> bool) -> bool {
        match &self.route {
            Some(route) => may(route.name()) || route.models().all(may),
            None => may(&self.model.id),
        }
    }

    /// Whether there are others that may be asked in its place.
    pub fn falls_back(&self) -> bool {
        self.route.as_ref().is_some_and(|route| !route.0.fallbacks.is_empty())
    }

    /// What a caller who may not ask for it is told that it is.
    pub fn name(&self) -> &str {
        self.route.as_ref().map_or(&self.model.id, |route| route.name())
    }

    /// The same context, with no more time than the model and the route have, less what is `spent` of it.
    pub fn bounded(&self, mut context: RequestContext, spent: Duration) -> RequestContext {
        let route = self.route.as_ref().map(|route| route.0.timeout_ms);
        let bounds = route.into_iter().chain([self.model.told.timeout_ms]).filter(|&timeout| timeout > 0);
        let spent = u64::try_from(spent.as_millis()).unwrap_or(u64::MAX);
        context.timeout_ms = bounds.fold(context.timeout_ms, u64::min).saturating_sub(spent).max(1);
        context
    }
}

/// A number that is spread evenly, and the same for the same texts.
fn draw(texts: &[&str]) -> u64 {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    }
    hash.finalize().iter().take(8).fold(0, |number, &byte| number << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn route(split: &[(&str, u32)], fallbacks: &[&str], share: f64) -> Route {
        Route::new(v1::Route {
            name: "r".to_owned(),
            split: split.iter().map(|&(model, weight)| v1::Share { model: model.to_owned(), weight }).collect(),
            fallbacks: fallbacks.iter().map(|&model| model.to_owned()).collect(),
            mirror: Some(v1::Mirror { to: "m".to_owned(), share }),
            timeout_ms: 0,
        })
    }

    #[test]
    fn traffic_is_split_by_weight() {
        let route = route(&[("a", 90), ("b", 10)], &["b", "c"], 0.01);
        let keys: Vec<String> = (0..10_000).map(|key| key.to_string()).collect();
        let of = |model: &str| keys.iter().filter(|key| route.order(key).next() == Some(model)).count();
        let (a, b) = (of("a"), of("b"));
        assert_eq!(a + b, keys.len());
        assert!((8900..=9100).contains(&a), "{a} of 10000");
        let copied = keys.iter().filter(|key| route.mirror(key).is_some()).count();
        assert!((60..=140).contains(&copied), "{copied} of 10000");
        for key in keys.iter().take(100) {
            let order: Vec<&str> = route.order(key).collect();
            assert!(order == ["a", "b", "c"] || order == ["b", "c"], "{order:?}");
            assert_eq!(order, route.order(key).collect::<Vec<_>>());
        }
    }

    proptest! {
        #[test]
        fn whoever_is_drawn_has_a_weight(weights in prop::collection::vec(1..1000u32, 1..5), key: String, share in 0.0..1.0) {
            let names = ["a", "b", "c", "d"];
            let split: Vec<_> = names.into_iter().zip(weights).collect();
            let route = route(&split, &["d", "e"], share);
            let order: Vec<&str> = route.order(&key).collect();
            prop_assert!(split.iter().any(|(name, _)| *name == order[0]));
            prop_assert!(order.iter().enumerate().all(|(at, model)| !order[..at].contains(model)));
            prop_assert_eq!(order.last(), Some(&"e"));
        }

        #[test]
        fn all_or_nothing_are_mirrored(key: String) {
            let (all, none) = (route(&[("a", 1)], &[], 1.0), route(&[("a", 1)], &[], 0.0));
            prop_assert_eq!((all.mirror(&key), none.mirror(&key)), (Some("m"), None));
        }
    }
}
