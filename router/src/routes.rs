//! Names that stand for several models: their traffic is split, falls back, or is copied. Edges choose among the models,
//! since each has its own chat template; the router says what there is to choose from.

use std::{collections::BTreeMap, time::Duration};

use cloudach_proto::v1;
use serde::Deserialize;

use crate::catalogue::Entry;

/// Models that one route may lead to, in its split and as fallbacks.
const MOST_MODELS: usize = 64;

/// The largest weight: beyond it shares are told apart by no test.
const MOST_WEIGHT: u32 = 1_000_000;

/// A name that stands for several models of the catalogue.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// How many requests of all their weights together go to each model. Those of a session stay with one.
    pub split: BTreeMap<String, u32>,
    /// Asked in this order, with the same request, when no replica of the model that was chosen is ready, or its queue has
    /// refused it, or another one just now.
    #[serde(default)]
    pub fallbacks: Vec<String>,
    /// Some requests are asked of another model as well. Absent: none.
    #[serde(default)]
    pub mirror: Option<Mirror>,
    /// The longest that its requests may take, where that is less than the model's own. Absent: as the model.
    #[serde(default, with = "humantime_serde")]
    pub timeout: Option<Duration>,
}

/// Copies of requests, whose answers nobody is shown. They are urgent to nobody, and given up where there are many.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mirror {
    /// The model that is asked.
    pub to: String,
    /// The share of requests that are copied, above 0 and up to 1.
    pub share: f64,
}

/// Why a route leads nowhere.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum RouteError {
    #[error("the route `{route}` splits among no model")]
    Nowhere { route: String },
    #[error("the route `{route}` leads to `{model}`, which the catalogue does not have")]
    Unknown { route: String, model: String },
    #[error("the route `{route}` leads to the route `{other}`; routes lead to models, or they could lead in circles")]
    Route { route: String, other: String },
    #[error("the route `{route}` gives `{model}` a weight of {weight}; weights are 1 to {MOST_WEIGHT}")]
    Weight { route: String, model: String, weight: u32 },
    #[error("the route `{route}` names more than {MOST_MODELS} models")]
    TooMany { route: String },
    #[error("the route `{route}` mirrors a share of {share}; shares are above 0 and up to 1")]
    Share { route: String, share: f64 },
    #[error("`{0}` has a time-out of 0; leave it out")]
    NoTime(String),
}

/// Checks that every route leads to models.
///
/// # Errors
/// The first that does not.
pub fn check(routes: &BTreeMap<String, Route>, models: &BTreeMap<String, Entry>) -> Result<(), RouteError> {
    let timeouts = models.iter().map(|(name, entry)| (name, entry.timeout));
    let mut timeouts = timeouts.chain(routes.iter().map(|(name, route)| (name, route.timeout)));
    if let Some((name, _)) = timeouts.find(|(_, timeout)| timeout.is_some_and(|timeout| timeout.as_millis() == 0)) {
        return Err(RouteError::NoTime(name.clone()));
    }
    for (name, route) in routes {
        let route_name = || name.clone();
        if route.split.is_empty() {
            return Err(RouteError::Nowhere { route: route_name() });
        }
        if route.split.len() + route.fallbacks.len() > MOST_MODELS {
            return Err(RouteError::TooMany { route: route_name() });
        }
        let mirrored = route.mirror.iter().map(|mirror| &mirror.to);
        for model in route.split.keys().chain(&route.fallbacks).chain(mirrored) {
            if routes.contains_key(model) {
                return Err(RouteError::Route { route: route_name(), other: model.clone() });
            }
            if !models.contains_key(model) {
                return Err(RouteError::Unknown { route: route_name(), model: model.clone() });
            }
        }
        if let Some((model, &weight)) = route.split.iter().find(|(_, weight)| !(1..=MOST_WEIGHT).contains(*weight)) {
            return Err(RouteError::Weight { route: route_name(), model: model.clone(), weight });
        }
        if let Some(share) = route.mirror.as_ref().map(|mirror| mirror.share)
            && !(share > 0.0 && share <= 1.0)
        {
            return Err(RouteError::Share { route: route_name(), share });
        }
    }
    Ok(())
}

/// A route as edges are told it.
pub fn told(name: &str, route: &Route) -> v1::Route {
    v1::Route {
        name: name.to_owned(),
        split: route.split.iter().map(|(model, &weight)| v1::Share { model: model.clone(), weight }).collect(),
        fallbacks: route.fallbacks.clone(),
        mirror: route.mirror.as_ref().map(|mirror| v1::Mirror { to: mirror.to.clone(), share: mirror.share }),
        timeout_ms: route.timeout.map_or(0, millis),
    }
}

/// A time-out as edges are told it.
pub fn millis(timeout: Duration) -> u64 {
    u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use cloudach_service::config;

    use super::*;
    use crate::catalogue::{Catalogue, CatalogueError, Names};

    #[test]
    fn routes_lead_to_models() {
        let check = |route: &str| {
            let yaml = format!(
                "models: {{a: {{}}, b: {{aliases: [c]}}}}\nroutes:\n  other: {{split: {{a: 1}}}}\n  r: {route}\n"
            );
            match Names::check(config::parse::<Catalogue>(&yaml).unwrap()) {
                Ok(names) => Ok(names.routes().count()),
                Err(CatalogueError::Route(error)) => Err(error),
                Err(error) => panic!("{error}"),
            }
        };
        let well = "{split: {a: 90, b: 10}, fallbacks: [b, a], mirror: {to: b, share: 0.01}, timeout: 30s}";
        assert_eq!(check(well), Ok(2));
        let route = || "r".to_owned();
        let model = |name: &str| name.to_owned();
        for (wrong, error) in [
            ("{split: {}}", RouteError::Nowhere { route: route() }),
            ("{split: {z: 1}}", RouteError::Unknown { route: route(), model: model("z") }),
            ("{split: {c: 1}}", RouteError::Unknown { route: route(), model: model("c") }),
            ("{split: {a: 1}, fallbacks: [z]}", RouteError::Unknown { route: route(), model: model("z") }),
            ("{split: {a: 1}, mirror: {to: z, share: 1}}", RouteError::Unknown { route: route(), model: model("z") }),
            ("{split: {r: 1}}", RouteError::Route { route: route(), other: route() }),
            ("{split: {a: 1}, fallbacks: [other]}", RouteError::Route { route: route(), other: model("other") }),
            ("{split: {a: 1, b: 0}}", RouteError::Weight { route: route(), model: model("b"), weight: 0 }),
            ("{split: {a: 1}, mirror: {to: b, share: 0}}", RouteError::Share { route: route(), share: 0.0 }),
            ("{split: {a: 1}, mirror: {to: b, share: 1.5}}", RouteError::Share { route: route(), share: 1.5 }),
            ("{split: {a: 1}, timeout: 0s}", RouteError::NoTime(route())),
        ] {
            assert_eq!(check(wrong), Err(error), "{wrong}");
        }
    }

    #[test]
    fn a_route_has_a_name_of_its_own() {
        for name in ["a", "b", "''"] {
            let yaml = format!("models: {{a: {{aliases: [b]}}}}\nroutes: {{{name}: {{split: {{a: 1}}}}}}\n");
            assert!(Names::check(config::parse::<Catalogue>(&yaml).unwrap()).is_err(), "{name}");
        }
    }
}
