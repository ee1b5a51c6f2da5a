//! Catalog.Watch: tells edges which models exist and what replicas have said of them, whenever that changes.

use std::{sync::Arc, time::Duration};

use async_stream::stream;
use cloudach_proto::v1::{
    CatalogSnapshot, ChatTemplate, Model, WantModelRequest, WantModelResponse, WatchCatalogRequest,
    catalog_server::Catalog,
};
use futures_util::{StreamExt, stream::BoxStream};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use crate::{
    catalogue::{Current, Entry, Names},
    fleet::Fleet,
    placement::conduct::Placement,
    routes,
};

/// Changes within this time share a snapshot: a fleet that starts changes many times at once.
const SETTLE: Duration = Duration::from_millis(20);

/// Serves Catalog.
#[derive(Debug)]
pub struct Watch {
    pub names: Current,
    pub fleet: Arc<Fleet>,
    pub placement: Arc<Placement>,
    /// Ends all watches.
    pub kill: CancellationToken,
}

#[tonic::async_trait]
impl Catalog for Watch {
    type WatchStream = BoxStream<'static, Result<CatalogSnapshot, Status>>;

    async fn watch(&self, _: Request<WatchCatalogRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let (names, fleet, placement) = (self.names.clone(), self.fleet.clone(), self.placement.clone());
        let mut changes = fleet.changes();
        let snapshots = stream! {
            let mut sent = None;
            loop {
                changes.mark_unchanged();
                let snapshot = snapshot(&names.now(), &fleet, &placement);
                if sent.as_ref() != Some(&snapshot) {
                    sent = Some(snapshot.clone());
                    yield Ok(snapshot);
                }
                if changes.changed().await.is_err() {
                    return;
                }
                sleep(SETTLE).await;
            }
        };
        Ok(Response::new(snapshots.take_until(self.kill.clone().cancelled_owned()).boxed()))
    }

    async fn want(&self, request: Request<WantModelRequest>) -> Result<Response<WantModelResponse>, Status> {
        let names = self.names.now();
        let model = names.resolve(&request.get_ref().model);
        // It counts as asked for now, and is remembered.
        drop(model.map(|model| self.placement.wanted(model)));
        Ok(Response::new(WantModelResponse {}))
    }
}

fn snapshot(names: &Names, fleet: &Fleet, placement: &Placement) -> CatalogSnapshot {
    let model = |(id, entry)| Model { comes_when_asked: placement.brings(id, fleet), ..model(id, entry, fleet) };
    CatalogSnapshot {
        models: names.models().map(model).collect(),
        routes: names.routes().map(|(name, route)| routes::told(name, route)).collect(),
    }
}

fn model(id: &str, entry: &Entry, fleet: &Fleet) -> Model {
    let known = fleet.known(id);
    let chat_template = match &entry.chat_template {
        Some(source) => {
            let traits = known.traits.clone().unwrap_or_default();
            let ChatTemplate { bos_token, eos_token, .. } = known.chat_template.unwrap_or_default();
            Some(ChatTemplate {
                source: source.clone(),
                bos_token: bos_token.or(traits.bos_token),
                eos_token: eos_token.or(traits.eos_token),
            })
        }
        None => known.chat_template,
    };
    let ready = fleet.ready_count(id);
    Model {
        id: id.to_owned(),
        aliases: entry.aliases.clone(),
        created: entry.created,
        owned_by: entry.owned_by.clone().unwrap_or_else(|| "cloudach".to_owned()),
        context_length: entry.context_length.unwrap_or(known.context_length),
        chat_template,
        capabilities: known.capabilities,
        counting: Some((&entry.counting).into()),
        ready_replicas: u32::try_from(ready).unwrap_or(u32::MAX),
        tool_format: entry.tool_format.clone(),
        reasoning_format: entry.reasoning_format.clone(),
        traits: known.traits,
        template_family: entry.template_family.clone(),
        chat_template_is_catalogues: entry.chat_template.is_some(),
        prices: entry.prices.as_ref().map(Into::into),
        comes_when_asked: false,
        timeout_ms: entry.timeout.map_or(0, routes::millis),
        waits_for: if ready == 0 { fleet.why_not_ready(id) } else { String::new() },
    }
}
