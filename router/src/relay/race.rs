//! A request at one replica, or for a while at two: the first to speak answers, the other one is cancelled.

use std::{
    fmt::Write as _,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use cloudach_proto::{
    session::client::Events,
    v1::{Failed, GenerateEvent, generate_event::Event},
};
use cloudach_service::trace::Span;
use futures_util::StreamExt;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{
    failure,
    hedges::{Open, Second},
};
use crate::{metrics::Hedged, picker::Placed};

/// A request at one replica.
#[derive(Debug)]
pub struct Runner {
    pub placed: Placed,
    events: Events,
    begun: Instant,
    /// The step that it is of its request.
    span: Span,
    /// Its first word, until it is clear that it is the one to answer. In a box, as what else is rare here: an open stream
    /// holds no room for it.
    started: Option<Box<GenerateEvent>>,
}

/// What has happened.
#[derive(Debug)]
pub enum Turn {
    /// The caller is to have this.
    Event(GenerateEvent),
    /// The first replica has said nothing for long. Asked once.
    Slow,
    /// One of two has failed, and the other goes on.
    Fell(Box<Runner>, Failed),
}

/// A request at one replica or two.
#[derive(Debug)]
pub struct Race {
    leader: Runner,
    second: Option<Box<(Runner, Second)>>,
    /// When the second one was asked, after so long; and who won.
    raced: Option<(Duration, bool)>,
    /// When the first one has been silent for long.
    slow: Option<Pin<Box<Sleep>>>,
    /// Nobody has spoken yet.
    silent: bool,
    /// The caller hears nothing before it is clear who answers.
    explains: bool,
    /// What comes next, before anything else.
    next: Option<Box<GenerateEvent>>,
}

impl Runner {
    pub fn new(placed: Placed, events: Events, span: Span) -> Self {
        Self { placed, events, begun: Instant::now(), span, started: None }
    }

    /// It has failed.
    pub fn failed(&mut self, failed: &Failed) {
        self.span.fail(failed.kind(), failed.for_operators());
    }

    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<GenerateEvent> {
        self.events.poll_next_unpin(context).map(|event| event.unwrap_or_else(|| failure::lost().into()))
    }
}

impl Race {
    /// With one replica, which may take so long for its first token. Who wants to know why a replica was picked
    /// hears of it once it is clear which one answers.
    pub fn new(leader: Runner, patience: Option<Duration>, explains: bool) -> Self {
        let slow = patience.map(|patience| Box::pin(sleep_until(leader.begun + patience)));
        let explains = explains && slow.is_some();
        Self { leader, second: None, raced: None, slow, silent: true, explains, next: None }
    }

    /// The replica that answers, as far as is known.
    pub fn placed(&self) -> &Placed {
        &self.leader.placed
    }

    /// For people: why it is this one.
    pub fn why(&self) -> String {
        let mut why = self.leader.placed.why.to_string();
        if let Some((after, won)) = self.raced {
            let outcome = if won { "won" } else { "lost" };
            let _ = write!(why, " hedge={outcome} after={}ms", after.as_millis());
        }
        why
    }

    /// The answer is complete.
    pub fn served(&mut self) {
        std::mem::take(&mut self.leader.span).end();
    }

    /// Ends it, for it has failed: all replicas are free of the request when this returns.
    pub fn end(mut self, failed: &Failed) -> Placed {
        self.leader.failed(failed);
        self.leader.placed
    }

    /// A second replica is asked.
    pub fn join(&mut self, runner: Runner, second: Second) {
        self.raced = Some((runner.begun - self.leader.begun, false));
        self.second = Some(Box::new((runner, second)));
    }

    /// What happens next.
    pub fn poll_turn(&mut self, context: &mut Context<'_>, open: &Open) -> Poll<Turn> {
        if let Some(event) = self.next.take() {
            return Poll::Ready(Turn::Event(*event));
        }
        if !self.silent {
            return self.leader.poll_event(context).map(Turn::Event);
        }
        loop {
            let (event, is_second) = match self.poll_either(context) {
                Poll::Ready(event) => event,
                Poll::Pending => {
                    let Some(slow) = &mut self.slow else { return Poll::Pending };
                    ready!(slow.as_mut().poll(context));
                    self.slow = None;
                    return Poll::Ready(Turn::Slow);
                }
            };
            match event.event {
                Some(Event::Failed(failed)) if self.second.is_some() => {
                    return Poll::Ready(self.fall(is_second, failed));
                }
                Some(Event::Started(_)) if is_second || self.explains => {
                    let runner =
                        self.second.as_mut().filter(|_| is_second).map_or(&mut self.leader, |second| &mut second.0);
                    runner.started = Some(event.into());
                }
                Some(Event::Delta(_) | Event::Finished(_)) => return Poll::Ready(self.speak(is_second, event, open)),
                Some(Event::Started(_) | Event::Waiting(_) | Event::Failed(_)) | None => {
                    return Poll::Ready(Turn::Event(event));
                }
            }
        }
    }

    /// The next event of the first one, or of the second.
    fn poll_either(&mut self, context: &mut Context<'_>) -> Poll<(GenerateEvent, bool)> {
        if let Poll::Ready(event) = self.leader.poll_event(context) {
            return Poll::Ready((event, false));
        }
        match &mut self.second {
            Some(second) => second.0.poll_event(context).map(|event| (event, true)),
            None => Poll::Pending,
        }
    }

    /// One of two is out.
    fn fall(&mut self, is_second: bool, failed: Failed) -> Turn {
        let Some(second) = self.second.take() else { return Turn::Event(failed.into()) };
        let (runner, hedge) = *second;
        if is_second {
            self.raced = None;
            hedge.came_to(Hedged::Failed);
            return Turn::Fell(Box::new(runner), failed);
        }
        hedge.came_to(Hedged::Won);
        self.raced = self.raced.map(|(after, _)| (after, true));
        let fallen = std::mem::replace(&mut self.leader, runner);
        // Should the caller have heard of the other one, it hears of this one too.
        if !self.explains {
            self.next = self.leader.started.take();
        }
        Turn::Fell(Box::new(fallen), failed)
    }

    /// One of them speaks: it is the one that answers.
    fn speak(&mut self, is_second: bool, event: GenerateEvent, open: &Open) -> Turn {
        self.silent = false;
        open.measured(self.leader.begun.elapsed());
        if let Some(second) = self.second.take() {
            let (runner, hedge) = *second;
            open.measured(runner.begun.elapsed());
            if is_second {
                self.raced = self.raced.map(|(after, _)| (after, true));
                // The one that is slower is cancelled here.
                self.leader = runner;
            }
            hedge.came_to(if is_second { Hedged::Won } else { Hedged::Lost });
        }
        match self.leader.started.take() {
            Some(started) => {
                self.next = Some(event.into());
                Turn::Event(*started)
            }
            None => Turn::Event(event),
        }
    }
}
