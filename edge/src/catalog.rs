//! The models that exist, as the routers tell them; and which router has replicas of which.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use arc_swap::{ArcSwap, ArcSwapOption};
use cloudach_proto::v1::{Capabilities, CatalogSnapshot, ErrorCode, Failed};
use cloudach_service::{grpc::Dial, stop::Running};
use parking_lot::Mutex;
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};
use tracing::info;

use self::{
    follow::{RECEIVED, follow},
    wants::Wants,
};
pub use self::{
    model::{Counting, Model},
    prompting::{Formats, Template},
    routes::{Route, Routed},
};
use crate::{error::ApiError, upstream::WITHIN};

mod follow;
mod model;
mod prompting;
mod routes;
mod wants;

/// How much of an unknown name is repeated to the client, in characters.
const SHOWN_NAME: usize = 200;

/// For how long routes pass over a model that had no room.
const LEAST_CROWDED: Duration = Duration::from_secs(1);
const MOST_CROWDED: Duration = Duration::from_secs(10);

/// How often a model that is waited for is asked for anew.
const ASKED_EVERY: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
struct Models {
    by_id: BTreeMap<String, Arc<Model>>,
    by_alias: HashMap<String, Arc<Model>>,
    routes: BTreeMap<String, Arc<Route>>,
}

/// The catalogue, kept up to date. The last one known stays when the routers are away.
#[derive(Debug, Clone)]
pub struct Catalog {
    models: Arc<ArcSwapOption<Models>>,
    replacing: Arc<Mutex<()>>,
    /// For each router, the models of which it has replicas that are ready.
    serves: Arc<[ArcSwap<HashSet<String>>]>,
    wants: Wants,
    /// Until when requests wait for the first catalogue.
    expected: Instant,
    /// How long a model is waited for that is brought about.
    load_time: Duration,
    changed: watch::Sender<()>,
    /// Models that had no room, and until when routes pass them over. No more than there are models.
    crowded: Arc<Mutex<HashMap<String, Instant>>>,
}

impl Catalog {
    /// Follows the catalogues of all routers. They are of the same file; what their replicas have said may differ
    /// for moments.
    pub fn follow(routers: &[Dial], load_time: Duration, running: &Running) -> Self {
        let serves = routers.iter().map(|_| ArcSwap::default());
        let wants = Wants::of(routers, running);
        let catalog = Self {
            models: Arc::default(),
            replacing: Arc::default(),
            serves: serves.collect(),
            wants,
            expected: Instant::now() + WITHIN,
            load_time,
            changed: watch::Sender::new(()),
            crowded: Arc::default(),
        };
        running.ready.set(RECEIVED, false);
        for (index, router) in routers.iter().enumerate() {
            let following = follow(catalog.clone(), index, router.clone(), running.clone());
            running.background.spawn(running.kill.clone().run_until_cancelled_owned(following));
        }
        catalog
    }

    /// Whether the router at this place of the configuration has a replica of `model` that is ready.
    pub fn is_served_by(&self, router: usize, model: &str) -> bool {
        self.serves.get(router).is_some_and(|serves| serves.load().contains(model))
    }

    /// The model that `name`, an id or an alias, stands for.
    ///
    /// # Errors
    /// No such model, or no catalogue yet.
    pub fn model(&self, name: &str) -> Result<Arc<Model>, ApiError> {
        let models = self.models.load();
        let models = models.as_ref().ok_or(ApiError::NoRouter)?;
        let model = models.by_id.get(name).or_else(|| models.by_alias.get(name));
        model.cloned().ok_or_else(|| ApiError::UnknownModel(name.chars().take(SHOWN_NAME).collect()))
    }

    /// The model that a request for `name` is for, if it writes text. Of those of a route it is the one that `key` is for, or
    /// its first fallback of which a replica is ready, and has room as far as is known.
    ///
    /// # Errors
    /// No such model, it does not generate, or it cannot be prompted.
    pub async fn generating(&self, name: &str, key: &str) -> Result<Routed, ApiError> {
        self.received().await;
        let Some(route) = self.route(name) else {
            return generates(self.known(name).await?).map(Routed::to);
        };
        if let Some(model) = self.of_route(&route, key, &[]) {
            return Ok(Routed { model, route: Some(route) });
        }
        let first = route.order(key).next().ok_or_else(|| ApiError::UnknownModel(name.to_owned()))?;
        let model = generates(self.known(first).await?)?;
        Ok(Routed { model, route: Some(route) })
    }

    /// The next model that a request is for when those that were `tried` had no place for it.
    pub fn after(&self, routed: &Routed, key: &str, tried: &[String]) -> Option<Routed> {
        let route = routed.route.as_ref().filter(|_| routed.falls_back())?;
        let model = self.of_route(route, key, tried)?;
        Some(Routed { model, route: Some(route.clone()) })
    }

    /// The first model of a route that is served and has room, or else the first that is served; none of those that were
    /// `tried`.
    fn of_route(&self, route: &Route, key: &str, tried: &[String]) -> Option<Arc<Model>> {
        let now = Instant::now();
        let served = |id: &str| self.serves.iter().any(|serves| serves.load().contains(id));
        let has_room = |id: &str| self.crowded.lock().get(id).is_none_or(|until| now >= *until);
        let able = |id: &str| {
            if tried.iter().any(|tried| tried == id) {
                return None;
            }
            let model = self.model(id).ok().filter(|model| model.told.capabilities.is_some() && served(id))?;
            generates(model).ok()
        };
        let with_room = route.order(key).filter(|id| has_room(id)).find_map(able);
        with_room.or_else(|| route.order(key).find_map(able))
    }

    /// A request of this model was not answered: where the model had no room, routes pass it over for as long as a client
    /// is told to wait.
    pub fn note_refusal(&self, model: &str, error: &ApiError) {
        if let ApiError::Upstream(failed) = error
            && failed.code() == ErrorCode::Overloaded
        {
            let wait = Duration::from_millis(failed.retry_after_ms).clamp(LEAST_CROWDED, MOST_CROWDED);
            self.crowded.lock().insert(model.to_owned(), Instant::now() + wait);
        }
    }

    fn route(&self, name: &str) -> Option<Arc<Route>> {
        self.models.load().as_ref()?.routes.get(name).cloned()
    }

    /// What `name` stands for, to be shown: of a route any of its models.
    ///
    /// # Errors
    /// No such name, or no catalogue yet.
    pub fn shown(&self, name: &str) -> Result<Routed, ApiError> {
        let models = self.models.load();
        let routed = models.as_ref().and_then(|models| models.shown(models.routes.get(name)?));
        routed.map_or_else(|| self.model(name).map(Routed::to), Ok)
    }

    /// The model that `name` stands for, if it embeds. Vectors of different models cannot be compared: no route leads there.
    ///
    /// # Errors
    /// No such model, or it does not embed.
    pub async fn embedding(&self, name: &str) -> Result<Arc<Model>, ApiError> {
        self.able(name, |can| can.embed, ApiError::CannotEmbed).await
    }

    /// The model that `name` stands for, if it scores. Nor can scores of different models be compared.
    ///
    /// # Errors
    /// No such model, or it does not score.
    pub async fn scoring(&self, name: &str) -> Result<Arc<Model>, ApiError> {
        self.able(name, |can| can.score, ApiError::CannotScore).await
    }

    /// The model that `name` stands for, if its tokens can be known. Each has its own.
    ///
    /// # Errors
    /// No such model, or its engine does not tell.
    pub async fn tokenizing(&self, name: &str) -> Result<Arc<Model>, ApiError> {
        self.able(name, |can| can.tokenize, ApiError::CannotTokenize).await
    }

    async fn able(
        &self,
        name: &str,
        is_able: impl Fn(&Capabilities) -> bool,
        refusal: ApiError,
    ) -> Result<Arc<Model>, ApiError> {
        self.received().await;
        if self.route(name).is_some() {
            return Err(refusal);
        }
        let model = self.known(name).await?;
        if model.told.capabilities.is_some_and(|capabilities| !is_able(&capabilities)) {
            Err(refusal)
        } else {
            Ok(model)
        }
    }

    /// Waits for the catalogue of an edge that has just started: who sends a request may not have heard of that.
    async fn received(&self) {
        if self.models.load().is_none() {
            let mut changes = self.changed.subscribe();
            let _ = timeout_at(self.expected, changes.wait_for(|()| self.models.load().is_some())).await;
        }
    }

    /// The model that `name` stands for, when it is known what it can do and how it is prompted: once one of its replicas
    /// was ready. Where one is brought about, it is waited for.
    async fn known(&self, name: &str) -> Result<Arc<Model>, ApiError> {
        let model = self.model(name)?;
        if model.told.capabilities.is_some() {
            return Ok(model);
        }
        let until = Instant::now() + self.load_time;
        let mut changes = self.changed.subscribe();
        loop {
            let model = self.model(name)?;
            if model.told.capabilities.is_some() {
                return Ok(model);
            }
            self.wants.want(&model.id);
            let now = Instant::now();
            if !model.told.comes_when_asked || now >= until {
                let message = format!("no replica of `{}` has been ready yet", model.id);
                return Err(Failed::retryable(ErrorCode::ModelUnavailable, message).into());
            }
            // Asked for anew now and then: routers remember it for a while only.
            let _ = timeout_at(until.min(now + ASKED_EVERY), changes.changed()).await;
        }
    }

    /// All names with their models: ids first, then aliases, then routes.
    ///
    /// # Errors
    /// No catalogue yet.
    pub fn all(&self) -> Result<Vec<(String, Routed)>, ApiError> {
        let models = self.models.load();
        let models = models.as_ref().ok_or(ApiError::NoRouter)?;
        let mut aliases: Vec<_> = models.by_alias.iter().collect();
        aliases.sort_by_key(|(alias, _)| *alias);
        let plain = models.by_id.iter().chain(aliases).map(|(name, model)| (name, Some(Routed::to(model.clone()))));
        let routes = models.routes.iter().map(|(name, route)| (name, models.shown(route)));
        Ok(plain.chain(routes).filter_map(|(name, routed)| Some((name.clone(), routed?))).collect())
    }

    /// For people: which models are not ready, and why. Empty when all are.
    pub fn waits_for(&self) -> Vec<String> {
        let models = self.models.load();
        let Some(models) = models.as_ref() else { return vec!["the catalogue".to_owned()] };
        models.by_id.values().filter_map(|model| Some(format!("{}: {}", model.id, model.waits_for()?))).collect()
    }

    fn replace(&self, snapshot: CatalogSnapshot) {
        // One at a time: what one router's replicas have said must not be overwritten by another that has not heard.
        let _one = self.replacing.lock();
        let old = self.models.load();
        let mut models = Models::default();
        for told in snapshot.models {
            let old = old.as_ref().and_then(|old| old.by_id.get(&told.id));
            let model = Arc::new(Model::new(told, old.map(|model| &**model)));
            for alias in &model.told.aliases {
                models.by_alias.insert(alias.clone(), model.clone());
            }
            models.by_id.insert(model.id.clone(), model);
        }
        models.routes =
            snapshot.routes.into_iter().map(|told| (told.name.clone(), Arc::new(Route::new(told)))).collect();
        info!(models = models.by_id.len(), "catalogue received");
        self.models.store(Some(Arc::new(models)));
        self.changed.send_replace(());
    }
}

impl Models {
    fn shown(&self, route: &Arc<Route>) -> Option<Routed> {
        let model = self.by_id.get(route.order("").next()?)?;
        Some(Routed { model: model.clone(), route: Some(route.clone()) })
    }
}

/// The model, if it writes text.
fn generates(model: Arc<Model>) -> Result<Arc<Model>, ApiError> {
    if model.told.capabilities.is_some_and(|capabilities| !capabilities.generate) {
        return Err(ApiError::CannotGenerate);
    }
    if let Some(why) = model.prompting.broken() {
        return Err(ApiError::BrokenTemplate(why.to_owned()));
    }
    Ok(model)
}

#[cfg(test)]
mod tests {
    use cloudach_proto::v1::{self, ChatTemplate};

    use super::*;

    fn catalog() -> Catalog {
        Catalog {
            models: Arc::default(),
            replacing: Arc::default(),
            serves: Arc::new([]),
            wants: Wants::default(),
            expected: Instant::now(),
            load_time: Duration::ZERO,
            changed: watch::Sender::new(()),
            crowded: Arc::default(),
        }
    }

    fn ready(template: &str) -> v1::Model {
        v1::Model {
            id: "m".to_owned(),
            chat_template: Some(ChatTemplate { source: template.to_owned(), ..ChatTemplate::default() }),
            capabilities: Some(Capabilities { generate: true, ..Capabilities::default() }),
            ready_replicas: 1,
            ..v1::Model::default()
        }
    }

    #[tokio::test]
    async fn a_model_with_a_broken_template_is_not_ready() {
        let catalog = catalog();
        catalog.replace(CatalogSnapshot { models: vec![ready("fine\n{% if %}")], ..CatalogSnapshot::default() });
        let [waits_for] = &catalog.waits_for()[..] else { panic!("one model") };
        assert!(waits_for.starts_with("m: ") && waits_for.contains("line 2"), "{waits_for}");
        assert!(matches!(catalog.generating("m", "").await, Err(ApiError::BrokenTemplate(_))));
        catalog.replace(CatalogSnapshot { models: vec![ready("fine")], ..CatalogSnapshot::default() });
        assert!(catalog.waits_for().is_empty());
        assert!(catalog.generating("m", "").await.is_ok());
    }

    #[test]
    fn a_template_is_compiled_once() {
        let catalog = catalog();
        catalog.replace(CatalogSnapshot { models: vec![ready("a")], ..CatalogSnapshot::default() });
        let first = catalog.model("m").unwrap();
        let busier = v1::Model { ready_replicas: 2, ..ready("a") };
        catalog.replace(CatalogSnapshot { models: vec![busier], ..CatalogSnapshot::default() });
        assert!(Arc::ptr_eq(&first.prompting, &catalog.model("m").unwrap().prompting));
        catalog.replace(CatalogSnapshot { models: vec![ready("b")], ..CatalogSnapshot::default() });
        assert!(!Arc::ptr_eq(&first.prompting, &catalog.model("m").unwrap().prompting));
    }

    #[tokio::test]
    async fn a_route_is_allowed_by_its_name_or_by_all_its_models() {
        let model = |id: &str| v1::Model { id: id.to_owned(), ..ready("fine") };
        let share = |model: &str| v1::Share { model: model.to_owned(), weight: 1 };
        let route = v1::Route { name: "r".to_owned(), split: vec![share("a"), share("b")], ..v1::Route::default() };
        let catalog = catalog();
        catalog.replace(CatalogSnapshot { models: vec![model("a"), model("b")], routes: vec![route] });
        for key in ["1", "2", "3", "4", "5"] {
            let routed = catalog.generating("r", key).await.unwrap();
            let allowed = |names: &[&str]| routed.allows(|name| names.contains(&name));
            assert!(allowed(&["r"]) && allowed(&["a", "b"]));
            assert!(!allowed(&["a"]) && !allowed(&["b"]) && !allowed(&[]), "whichever was drawn");
        }
        assert!(catalog.generating("a", "1").await.unwrap().allows(|name| name == "a"));
        let names: Vec<_> = catalog.all().unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["a", "b", "r"]);
        assert!(matches!(catalog.embedding("r").await, Err(ApiError::CannotEmbed)));
    }
}
