//! Work under way: takes its place in the engine, emits tokens at the ordered pace, and breaks as ordered.
//! It ends the moment the client closes its connection, streamed or not.

use std::future::pending;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;

use http::StatusCode;
use tokio::time::Instant;

use crate::choice::{Choice, Finish, Sampling};
use crate::connection::{self, Next};
use crate::engine::Shared;
use crate::events::{self, Events};
use crate::fault::{Break, Fault, Trouble};
use crate::load::Running;
use crate::orders::Orders;
use crate::reply::{Aborts, Collected, Format, Task, Tokens, Whole, Work};
use crate::script::Dialect;
use crate::socket::Socket;
use crate::{llama_cpp, vllm};

/// What a vLLM whose GPU has no memory left writes before it dies.
const OUT_OF_MEMORY: &str = "(EngineCore pid=1) ERROR 01-02 03:04:05 [core.py:1] torch.OutOfMemoryError: CUDA out of \
                             memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.10 GiB";

/// Does the work and sends its response.
pub(crate) async fn perform(
    work: Box<Work>,
    socket: &Socket,
    shared: &Arc<Shared>,
    max_queued: Option<usize>,
    persistent: bool,
) -> io::Result<Next> {
    let Work { orders, prompt_tokens, dialect, task } = *work;
    let after_response = if persistent { Next::Request } else { Next::Close };
    match orders.fault {
        Some(Fault::Die) => {
            socket.reset();
            return Ok(Next::Close);
        }
        Some(Fault::Status(status)) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            connection::send(socket, &failure(dialect, status), persistent).await?;
            return Ok(after_response);
        }
        Some(Fault::Says(trouble)) => {
            let context = shared.script().max_model_len;
            connection::send(socket, &complaint(dialect, trouble, context), persistent).await?;
            return Ok(after_response);
        }
        Some(Fault::After(..)) | None => {}
    }
    let aborts = match &task {
        Task::Generate { aborts, .. } => *aborts,
        Task::Embed(_) => Aborts::AtOnce,
    };
    let admission = shared.load.admit(max_queued, prompt_tokens);
    let Some(admission) = unless_closed(socket, aborts == Aborts::AtOnce, pin!(admission)).await else {
        return Ok(Next::Close);
    };
    let Ok(running) = admission else {
        connection::send(socket, &failure(dialect, StatusCode::SERVICE_UNAVAILABLE), persistent).await?;
        return Ok(after_response);
    };
    match task {
        Task::Embed(whole) => {
            let computed = tokio::time::sleep(orders.pace.first_token);
            if unless_closed(socket, true, pin!(computed)).await.is_none() {
                return Ok(Next::Close);
            }
            drop(running);
            connection::send(socket, &whole, persistent).await?;
            Ok(after_response)
        }
        Task::Generate { choices, sampling, stream, format, .. } => {
            let collected = if stream { Vec::new() } else { choices.iter().map(|_| Collected::default()).collect() };
            let events = Events::new(orders.wire, persistent);
            let generation = Generation {
                due: Instant::now() + orders.pace.first_token,
                orders,
                choices,
                sampling,
                stream,
                dialect,
                format,
                running: Some(running),
                collected,
                events,
                socket,
                shared: Arc::clone(shared),
                persistent,
                after_response,
                damage: Damage::None,
            };
            Box::pin(generate(generation, aborts)).await
        }
    }
}

/// Boxed on its own, and nothing in it moved once it runs: this is all that an idle stream keeps.
async fn generate(mut generation: Generation<'_>, aborts: Aborts) -> io::Result<Next> {
    let socket = generation.socket;
    let watched = aborts == Aborts::AtOnce;
    match unless_closed(socket, watched, pin!(generation.until_first_token())).await.transpose()? {
        None => return Ok(Next::Close),
        Some(Some(next)) => return Ok(next),
        Some(None) => {}
    }
    let watched = aborts != Aborts::Never;
    unless_closed(socket, watched, pin!(generation.decode())).await.unwrap_or(Ok(Next::Close))
}

/// Lets something run until the client closes its connection; `None` then.
async fn unless_closed<T>(socket: &Socket, watched: bool, running: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    if !watched {
        return Some(running.await);
    }
    tokio::select! {
        biased;
        () = socket.closed() => None,
        done = running => Some(done),
    }
}

/// What an engine answers that refuses or fails a request with this status.
fn failure(dialect: Dialect, status: StatusCode) -> Whole {
    match dialect {
        Dialect::Vllm(front_end) => vllm::failure(front_end, status),
        Dialect::LlamaCpp => llama_cpp::failure(status),
    }
}

fn complaint(dialect: Dialect, trouble: Trouble, context: u32) -> Whole {
    match dialect {
        Dialect::Vllm(front_end) => vllm::complaint(front_end, trouble, context),
        Dialect::LlamaCpp => llama_cpp::complaint(trouble, context),
    }
}

struct Generation<'a> {
    orders: Orders,
    choices: Vec<Choice>,
    sampling: Arc<Sampling>,
    stream: bool,
    dialect: Dialect,
    format: Box<dyn Format>,
    /// Given back before the response is complete, so that a client never sees its own request still running.
    running: Option<Running>,
    /// The answers so far, when they are not streamed.
    collected: Vec<Collected>,
    events: Events,
    socket: &'a Socket,
    shared: Arc<Shared>,
    persistent: bool,
    after_response: Next,
    damage: Damage,
    /// When the next token comes.
    due: Instant,
}

/// What is wrong with a response that is not streamed.
#[derive(Debug, Clone, Copy)]
enum Damage {
    None,
    Malformed,
    Huge(usize),
}

impl Generation<'_> {
    /// What happens before the first token. Returns what becomes of the connection when nothing can follow.
    async fn until_first_token(&mut self) -> io::Result<Option<Next>> {
        if self.stream {
            self.send_head().await?;
            self.format.open(&mut self.events, &self.choices);
            self.send_events().await?;
        }
        self.end_what_is_complete();
        if let Some(what) = self.due_break()
            && let Some(next) = self.suffer(what).await?
        {
            return Ok(Some(next));
        }
        wait_until(self.due).await;
        Ok(None)
    }

    async fn decode(&mut self) -> io::Result<Next> {
        let (mut ids, mut shown) = (Vec::new(), String::new());
        while self.choices.iter().any(|choice| choice.finish.is_none()) {
            if let Some(what) = self.due_break()
                && let Some(next) = self.suffer(what).await?
            {
                return Ok(next);
            }
            wait_until(self.due).await;
            self.due += self.orders.pace.inter_token;
            self.step(&mut ids, &mut shown);
            self.send_events().await?;
        }
        self.close().await
    }

    /// The next event's tokens for every answer that is still under way.
    fn step(&mut self, ids: &mut Vec<u32>, shown: &mut String) {
        for choice in self.choices.iter_mut().filter(|choice| choice.finish.is_none()) {
            ids.clear();
            shown.clear();
            while choice.finish.is_none() && ids.len() < self.orders.burst as usize {
                ids.push(choice.step(&self.sampling, shown));
            }
            if let Some(running) = &mut self.running {
                running.generated(ids.len() as u64);
            }
            if let Some(collected) = self.collected.get_mut(choice.index as usize) {
                collected.ids.extend_from_slice(ids);
                collected.text.push_str(shown);
            } else {
                self.format.tokens(&mut self.events, &Tokens { choice, ids, text: shown });
            }
            if let (Some(finish), Some(running)) = (choice.finish, &self.running) {
                running.finished(finish);
            }
        }
    }

    /// Answers that have no token to come: a resumed one whose last token was emitted before.
    fn end_what_is_complete(&mut self) {
        for choice in self.choices.iter().filter(|choice| choice.finish.is_some()) {
            if self.stream {
                self.format.tokens(&mut self.events, &Tokens { choice, ids: &[], text: "" });
            }
        }
    }

    async fn close(&mut self) -> io::Result<Next> {
        if self.stream {
            self.format.close(&mut self.events, &self.choices);
            self.running = None;
            self.send_events().await?;
            self.socket.send(self.events.last()).await?;
            return Ok(self.after_response);
        }
        let mut whole = self.format.whole(&self.choices, &self.collected);
        match self.damage {
            Damage::None => {}
            Damage::Malformed => whole.body.truncate(whole.body.len() / 2),
            Damage::Huge(padding) => events::pad(&mut whole.body, padding),
        }
        self.running = None;
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
            Break::OutOfMemoryKill => {
                eprintln!("{OUT_OF_MEMORY}");
                self.shared.kill();
                pending().await
            }
            Break::Error => self.say(Trouble::EngineDead).await.map(Some),
            Break::Says(trouble) => self.say(trouble).await.map(Some),
            Break::End if self.stream => {
                self.socket.send(self.events.last()).await?;
                Ok(Some(self.after_response))
            }
            Break::End => Ok(Some(Next::Close)),
            Break::Abort => {
                for choice in &mut self.choices {
                    choice.abort();
                    if let Some(running) = &self.running {
                        running.finished(Finish::Abort);
                    }
                    if self.stream {
                        self.format.tokens(&mut self.events, &Tokens { choice, ids: &[], text: "" });
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

    /// Complains and ends the response.
    async fn say(&mut self, trouble: Trouble) -> io::Result<Next> {
        let context = self.shared.script().max_model_len;
        if self.stream {
            self.format.broken(&mut self.events, trouble, context);
            self.send_events().await?;
            self.socket.send(self.events.last()).await?;
        } else {
            connection::send(self.socket, &complaint(self.dialect, trouble, context), self.persistent).await?;
        }
        Ok(self.after_response)
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
