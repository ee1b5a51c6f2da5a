//! Copies of requests that another model is asked as well, to see how it would do. Their answers are dropped, and they
//! never delay or fail what they are copies of: where too many run, there is none.

use std::{future::Future, sync::Arc, time::Duration};

use cloudach_openai::chat::ChatRequest;
use cloudach_proto::v1::{GenerateRequest, Priority, RequestContext, generate_event::Event};
use cloudach_service::trace::Trace;
use futures_util::StreamExt;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{
    Edge,
    catalog::{Model, Routed},
    error::ApiError,
    generations::{Shared, text_prompt},
    metrics::{MirrorMetrics, Mirrored},
    offers::Offer,
    prompt, reading,
    upstream::generating::Generating,
};

/// Copies that run at a time in one edge. Each keeps a prompt in memory until it is answered.
const MOST: usize = 64;

/// The room for copies.
#[derive(Debug)]
pub struct Mirrors {
    room: Arc<Semaphore>,
    metrics: MirrorMetrics,
}

/// The right to copy one request.
#[derive(Debug)]
pub struct Mirror {
    to: Arc<Model>,
    metrics: MirrorMetrics,
    place: OwnedSemaphorePermit,
}

/// What the copy of a chat is made of.
pub struct Copy {
    pub request_id: Arc<str>,
    pub request: Box<ChatRequest>,
    /// Its tools.
    pub offer: Arc<Offer>,
    /// The size of its body.
    pub bytes: usize,
    pub cache_salt: Option<String>,
    pub context: RequestContext,
}

impl Mirrors {
    pub fn new(metrics: MirrorMetrics) -> Self {
        Self { room: Arc::new(Semaphore::new(MOST)), metrics }
    }

    /// Whether this request is to be copied, and may be.
    pub fn draw(&self, edge: &Edge, routed: &Routed, request_id: &str) -> Option<Mirror> {
        let to = routed.route.as_ref()?.mirror(request_id)?;
        let Ok(place) = self.room.clone().try_acquire_owned() else {
            self.metrics.count(to, Mirrored::Dropped);
            return None;
        };
        match edge.catalog.model(to) {
            Ok(to) => Some(Mirror { to, metrics: self.metrics.clone(), place }),
            Err(_) => {
                self.metrics.count(to, Mirrored::Failed);
                None
            }
        }
    }
}

impl Mirror {
    /// Asks it for the first choice of a chat, which its own template renders.
    pub fn chat(self, edge: &Edge, copy: Copy) {
        let (edge, to) = (edge.clone(), self.to.clone());
        self.run(&edge.clone(), copy.context.timeout_ms, async move {
            let (request, prompt) =
                prompt::chat(&edge, &copy.context.tenant, &to, copy.request, &copy.offer, copy.bytes).await?;
            let (reading, request) =
                reading::chat(&edge, &copy.context.tenant, &to, request, &copy.offer, prompt.end()).await?;
            let shared = Shared {
                request_id: &copy.request_id,
                model: &to.id,
                sampling: &request.sampling,
                cache_salt: copy.cache_salt,
                reading: &reading,
                top_logprobs: request.logprobs,
                echo: false,
                whole: true,
                context: copy.context,
            };
            Ok(shared.generation(0, 0, text_prompt(prompt.text, false)))
        });
    }

    /// Asks it for the same generation.
    pub fn generation(self, edge: &Edge, generation: GenerateRequest) {
        let within = generation.context.as_ref().map_or(0, |context| context.timeout_ms);
        let generation = GenerateRequest { model: self.to.id.clone(), whole: true, ..generation };
        self.run(edge, within, std::future::ready(Ok(generation)));
    }

    fn run(
        self,
        edge: &Edge,
        within: u64,
        making: impl Future<Output = Result<GenerateRequest, ApiError>> + Send + 'static,
    ) {
        let (running, edge) = (edge.running.clone(), edge.clone());
        let Self { to, metrics, place } = self;
        let asking = async move {
            let answered = timeout(Duration::from_millis(within), answered(&edge, making)).await.unwrap_or(false);
            metrics.count(&to.id, if answered { Mirrored::Served } else { Mirrored::Failed });
            drop(place);
        };
        running.background.spawn(running.kill.clone().run_until_cancelled_owned(asking));
    }
}

/// Whether the answer came to its end. Nobody reads it.
async fn answered(edge: &Edge, making: impl Future<Output = Result<GenerateRequest, ApiError>>) -> bool {
    let Ok(mut generation) = making.await else { return false };
    generation.request_id.push_str("-mirror");
    let context = generation.context.get_or_insert_default();
    context.set_priority(Priority::Low);
    context.explain = false;
    let Ok(mut events) = Generating::start(edge, &Trace::none(), generation) else { return false };
    while let Some(event) = events.next().await {
        match event.event {
            Some(Event::Finished(_)) => return true,
            Some(Event::Failed(_)) => return false,
            Some(Event::Started(_) | Event::Delta(_) | Event::Waiting(_)) | None => {}
        }
    }
    false
}
