//! One generation at the sidecar: taken or refused, run by the engine, counted, and told on.

use std::{pin::pin, sync::Arc};

use async_stream::stream;
use cloudach_proto::{
    session::server::{EventStream, Generate},
    v1::{ErrorCode, Failed, GenerateEvent, GenerateRequest, generate_event::Event},
};
use futures_util::stream;
use tracing::debug;

use crate::{engine::ModelInfo, flight::Flight, sidecar::Sidecar, trace::Traced};

impl Generate for Sidecar {
    fn generate(self: Arc<Self>, mut request: Box<GenerateRequest>) -> EventStream {
        let mut traced = Traced::begin(&self.tracer, &mut request);
        // From before it is taken, so that it misses nothing.
        let breaks_off = self.breaks_off();
        let (mut flight, model) = match self.admit(&request.model) {
            Ok(admitted) => admitted,
            Err(failed) => {
                traced.failed(&failed);
                return Box::pin(stream::iter([failed.into()]));
            }
        };
        // In a box, which is gone when the engine has said yes: 7 KiB that an open stream needs no more.
        let starting = {
            let sidecar = self.clone();
            Box::pin(async move { sidecar.engine.generate(*request, &model).await.map(Box::new) })
        };
        Box::pin(stream! {
            let mut breaks_off = pin!(breaks_off);
            let accepted = tokio::select! {
                accepted = starting => accepted,
                failed = &mut breaks_off => Err(failed),
            };
            let mut generation = match accepted {
                Ok(generation) => generation,
                Err(failed) => {
                    traced.failed(&failed);
                    yield self.noted(&mut flight, failed.into());
                    return;
                }
            };
            yield generation.start(self.replica.clone()).into();
            loop {
                let event = tokio::select! {
                    event = generation.next() => event,
                    failed = &mut breaks_off => failed.into(),
                };
                let mut event = self.noted(&mut flight, event);
                traced.note(&mut event);
                match event.event {
                    Some(Event::Finished(_)) => {
                        drop(flight);
                        yield event;
                        return Box::pin(generation.settle()).await;
                    }
                    Some(Event::Failed(_)) => {
                        // First, so that who is told of the failure finds the engine free of it.
                        drop((flight, generation));
                        yield event;
                        return;
                    }
                    _ => yield event,
                }
            }
        })
    }
}

impl Sidecar {
    /// Takes a request for `model`, or says why not.
    pub(crate) fn admit(&self, model: &str) -> Result<(Flight, Arc<ModelInfo>), Failed> {
        let served = self.states.serving(model)?;
        Ok((self.flights.begin()?, served))
    }

    /// Takes note of an event before it is told.
    fn noted(&self, flight: &mut Flight, event: GenerateEvent) -> GenerateEvent {
        flight.note(&event);
        if let Some(Event::Failed(failed)) = &event.event {
            self.suspect(failed);
        }
        event
    }

    /// A request that lost the engine is a reason to look at it now.
    pub(crate) fn suspect(&self, failed: &Failed) {
        if failed.code() == ErrorCode::ReplicaLost {
            debug!(reason = failed.message, "a request lost the engine");
            self.engine_suspected.notify_one();
        }
    }
}
