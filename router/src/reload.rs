//! Takes the catalogue anew while the router runs: when its file changes, or the configuration that it stands in. Requests that
//! run are not touched; edges are told by the watch that they follow.

use std::{path::Path, sync::Arc};

use cloudach_service::{
    config::{self as text, ConfigError},
    reload::{Live, Looks, Outcome, What},
};
use tracing::{error, info};

use crate::{
    catalogue::{CatalogueError, Current, Names},
    config::{Config, Source},
    fleet::Fleet,
    placement::conduct::Placement,
    queue::Queues,
    relay::hedges::Hedges,
};

/// What it is called where files are counted that change.
pub const WHAT: What = What::Catalogue;

/// Whatever knows models by their names.
pub struct Followers {
    pub names: Current,
    pub queues: Arc<Queues>,
    pub hedges: Arc<Hedges>,
    pub placement: Arc<Placement>,
    pub fleet: Arc<Fleet>,
}

impl Followers {
    fn take(&self, names: Names) {
        let models = || names.models().map(|(model, _)| model);
        // What waits and is counted knows a model before anybody can ask for it.
        self.queues.follow(models());
        self.hedges.follow(models());
        self.placement.follow(&names);
        self.names.replace(names);
        self.fleet.catalogue_changed(&self.names.now());
    }
}

/// Follows the catalogue, of which `held` is the text that was taken. Never returns.
pub async fn follow(mut live: Live<Config>, mut held: Option<String>, followers: Followers) {
    let metrics = live.metrics().clone();
    metrics.begin(WHAT);
    let mut looks = Looks::begin();
    // What was wrong with the file is told once.
    let mut refused: Option<String> = None;
    let mut source = live.now().catalogue.clone();
    loop {
        let asked = tokio::select! {
            asked = looks.next() => asked,
            config = live.changed() => {
                source = config.catalogue.clone();
                if let Source::Here(catalogue) = &source {
                    // It was found to be well with the configuration that it stands in.
                    if let Ok(names) = Names::check(catalogue.clone()) {
                        tell(&names);
                        followers.take(names);
                    }
                    held = None;
                }
                false
            }
        };
        let Source::File(path) = &source else { continue };
        match read(path, held.as_deref()).await {
            Ok(None) => {
                if refused.take().is_some() || asked {
                    info!(path = %path.display(), "the catalogue is as it was");
                    metrics.well(WHAT);
                }
            }
            Ok(Some((text, names))) => {
                tell(&names);
                followers.take(names);
                metrics.count(WHAT, Outcome::Taken);
                (held, refused) = (Some(text), None);
            }
            Err(error) => {
                let error = error.to_string();
                if refused.as_ref() != Some(&error) {
                    metrics.count(WHAT, Outcome::Refused);
                }
                if asked || refused.as_ref() != Some(&error) {
                    error!(error, "the catalogue has changed and cannot be used; the one from before goes on");
                }
                refused = Some(error);
            }
        }
    }
}

fn tell(names: &Names) {
    info!(models = names.models().count(), routes = names.routes().count(), "another catalogue");
}

/// What the file holds, if it is something else than before.
async fn read(path: &Path, held: Option<&str>) -> Result<Option<(String, Names)>, CatalogueError> {
    let read = text::read(path).await?;
    if held == Some(&read) {
        return Ok(None);
    }
    let catalogue = text::parse(&read).map_err(|reason| ConfigError::Invalid { path: path.to_owned(), reason })?;
    Ok(Some((read, Names::check(catalogue)?)))
}
