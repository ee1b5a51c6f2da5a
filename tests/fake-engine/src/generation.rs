//! Work under way: takes its place in the engine, emits tokens at the ordered pace, and breaks as ordered.
//! It ends the moment the client closes its connection, streamed or not.

use std::future::pending;
use std::io;
use std::sync::Arc;

use http::StatusCode;
use tokio::time::Instant;

use crate::choice::{Choice, Sampling};
use crate::connection::{self, Next};
use crate::engine::Shared;
use crate::events::{self, Events};
use crate::fault::{Break, Fault};
use crate::load::Running;
use crate::orders::Orders;
use crate::reply::{Collected, Format, Task, Token, Work};
use crate::socket::Socket;

/// Does the work and sends its response.
pub(crate) async fn perform(
    work: Box<Work>,
    socket: &Socket,
    shared: &Arc<Shared>,
    max_queued: Option<usize>,
    persistent: bool,
) -> io::Result<Next> {
    tokio::select! {
        biased;
        () = socket.closed() => Ok(Next::Close),
        next = run(work, socket, shared, max_queued, persistent) => next,
    }
}

async fn run(
    work: Box<Work>,
    socket: &Socket,
    shared: &Arc<Shared>,
    max_queued: Option<usize>,
    persistent: bool,
) -> io::Result<Next> {
    let Work { orders, prompt_tokens, task, dialect } = *work;
    let after_response = if persistent { Next::Request } else { Next::Close };
    match orders.fault {
        Some(Fault::Die) => {
            socket.reset();
            return Ok(Next::Close);
        }
        Some(Fault::Status(status)) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            connection::send(socket, &dialect.failure(status), persistent).await?;
            return Ok(after_response);
        }
        Some(Fault::After(..)) | None => {}
    }
    let Ok(running) = shared.load.admit(max_queued, prompt_tokens).await else {
        connection::send(socket, &dialect.failure(StatusCode::SERVICE_UNAVAILABLE), persistent).await?;
        return Ok(after_response);
    };
    match task {
        Task::Embed(whole) => {
            tokio::time::sleep(orders.pace.first_token).await;
            drop(running);
            connection::send(socket, &whole, persistent).await?;
            Ok(after_response)
        }
        Task::Generate { choices, sampling, stream } => {
            let collected = if stream { Vec::new() } else { choices.iter().map(|_| Collected::default()).collect() };
            let events = Events::new(orders.wire, persistent);
            let shared = Arc::clone(shared);
            let generation = Generation {
                orders,
                choices,
                sampling,
                stream,
                dialect,
                running,
                collected,
                events,
                socket,
                shared,
                persistent,
                after_response,
                damage: Damage::None,
            };
            generation.run().await
        }
    }
}

struct Generation<'a> {
    orders: Orders,
    choices: Vec<Choice>,
    sampling: Arc<Sampling>,
    stream: bool,
    dialect: Box<dyn Format>,
    running: Running,
    /// The answers so far, when they are not streamed.
    collected: Vec<Collected>,
    events: Events,
    socket: &'a Socket,
    shared: Arc<Shared>,
    persistent: bool,
    after_response: Next,
    damage: Damage,
}

/// What is wrong with a response that is not streamed.
#[derive(Debug, Clone, Copy)]
enum Damage {
    None,
    Malformed,
    Huge(usize),
}

impl Generation<'_> {
    async fn run(mut self) -> io::Result<Next> {
        if self.stream {
            self.send_head().await?;
            self.dialect.open(&mut self.events, &self.choices);
            self.send_events().await?;
        }
        let mut due = Instant::now() + self.orders.pace.first_token;
        let mut shown = String::new();
        self.end_what_is_complete();
        while self.choices.iter().any(|choice| choice.finish.is_none()) {
            if let Some(what) = self.due_break()
                && let Some(next) = self.suffer(what).await?
            {
                return Ok(next);
            }
            wait_until(due).await;
            due += self.orders.pace.inter_token;
            self.step(&mut shown);
            self.send_events().await?;
        }
        self.close().await
    }

    /// One token for every answer that is still under way.
    fn step(&mut self, shown: &mut String) {
        for choice in self.choices.iter_mut().filter(|choice| choice.finish.is_none()) {
            shown.clear();
            let id = choice.step(&self.sampling, shown);
            self.running.generated(1);
            if let Some(collected) = self.collected.get_mut(choice.index as usize) {
                collected.ids.push(id);
                collected.text.push_str(shown);
            } else {
                self.dialect.token(&mut self.events, &Token { choice, id: Some(id), text: shown });
            }
            if let Some(finish) = choice.finish {
                self.running.finished(finish);
            }
        }
    }

    /// Answers that have no token to come: a resumed one whose last token was emitted before.
    fn end_what_is_complete(&mut self) {
        for choice in self.choices.iter().filter(|choice| choice.finish.is_some()) {
            if self.stream {
                self.dialect.token(&mut self.events, &Token { choice, id: None, text: "" });
            }
        }
    }

    async fn close(mut self) -> io::Result<Next> {
        if self.stream {
            self.dialect.close(&mut self.events, &self.choices);
            self.send_events().await?;
            drop(self.running);
            self.socket.send(self.events.last()).await?;
            return Ok(self.after_response);
        }
        let mut whole = self.dialect.whole(&self.choices, &self.collected);
        match self.damage {
            Damage::None => {}
            Damage::Malformed => whole.body.truncate(whole.body.len() / 2),
            Damage::Huge(padding) => events::pad(&mut whole.body, padding),
        }
        drop(self.running);
        connection::send(self.socket, &whole, self.persistent).await?;
        Ok(self.after_response)
    }

    /// What breaks before the next token, told once.
    fn due_break(&mut self) -> Option<Break> {
        let position = self.choices.iter().find(|choice| choice.finish.is_none())?.position;
        match self.orders.fault {
            Some(Fault::After(after, what)) if position >= after => {
                self.orders.fault = None;
                Some(what)
            }
            _ => None,
        }
    }

    /// Lets something break. Returns what becomes of the connection when nothing can follow.
    async fn suffer(&mut self, what: Break) -> io::Result<Option<Next>> {
        match what {
            Break::Reset => {
                self.socket.reset();
                Ok(Some(Next::Close))
            }
            Break::Kill => {
                self.shared.kill();
                pending().await
            }
            Break::Stall => pending().await,
            Break::Error if self.stream => {
                self.dialect.broken(&mut self.events);
                self.send_events().await?;
                self.socket.send(self.events.last()).await?;
                Ok(Some(self.after_response))
            }
            Break::Error => {
                let failure = self.dialect.failure(StatusCode::INTERNAL_SERVER_ERROR);
                connection::send(self.socket, &failure, self.persistent).await?;
                Ok(Some(self.after_response))
            }
            Break::End if self.stream => {
                self.socket.send(self.events.last()).await?;
                Ok(Some(self.after_response))
            }
            Break::End => Ok(Some(Next::Close)),
            Break::Abort => {
                for choice in &mut self.choices {
                    choice.abort();
                    if self.stream {
                        self.dialect.token(&mut self.events, &Token { choice, id: None, text: "" });
                    }
                }
                Ok(None)
            }
            Break::Malformed => {
                self.damage = Damage::Malformed;
                if self.stream {
                    self.events.push(|bytes| bytes.extend_from_slice(b"{\"id\":\"cmpl-"));
                }
                Ok(None)
            }
            Break::Huge(padding) => {
                self.damage = Damage::Huge(padding);
                self.events.pad_next(padding);
                Ok(None)
            }
        }
    }

    async fn send_head(&self) -> io::Result<()> {
        let mut head = connection::head(StatusCode::OK, "text/event-stream; charset=utf-8", self.persistent);
        head.extend_from_slice(if self.persistent { b"transfer-encoding: chunked\r\n\r\n" } else { b"\r\n" });
        self.socket.send(&head).await
    }

    async fn send_events(&mut self) -> io::Result<()> {
        let frame = self.events.frame();
        match self.orders.wire.split {
            Some(size) => self.socket.send_split(frame, size).await?,
            None => self.socket.send(frame).await?,
        }
        self.events.clear();
        Ok(())
    }
}

/// Waits, and lets other streams go first when there is nothing to wait for.
async fn wait_until(due: Instant) {
    if due > Instant::now() {
        tokio::time::sleep_until(due).await;
    } else {
        tokio::task::yield_now().await;
    }
}
