//! A response as it comes into being, step by step. It is the same whether its events are wanted or the whole of it, at
//! once or much later.

use serde_json::Value;

use crate::ids;
use crate::json;
use crate::responses::echo::field;
use crate::responses::events::{Events, Place};
use crate::responses::item::{Item, Part, Role, Status};
use crate::responses::record::Record;
use crate::responses::step::Step;

/// What is wanted of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Its events, behind the one of this number.
    Stream { after: Option<u64> },
    /// Itself, when it is asked for.
    Whole,
}

/// How far it has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// The engine has not begun.
    Queued,
    InProgress,
    Completed,
    /// There was no room for more.
    Incomplete,
    Failed {
        code: String,
        message: String,
    },
    Cancelled,
}

impl Stage {
    fn as_str(&self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Incomplete => "incomplete",
            Self::Failed { .. } => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing changes any more.
    pub fn is_last(&self) -> bool {
        !matches!(self, Self::Queued | Self::InProgress)
    }
}

/// See above.
#[derive(Debug)]
pub struct Response {
    record: Record,
    items: Vec<Item>,
    /// The last item's log-probabilities, as the entries of a JSON array.
    logprobs: String,
    /// The last item may grow.
    is_open: bool,
    /// There was no room for more.
    is_cut: bool,
    stage: Stage,
    usage: Option<[u64; 4]>,
    completed: Option<u64>,
    /// None: they are not wanted.
    events: Option<Events>,
    opened: bool,
}

impl Response {
    pub fn new(record: Record, form: Form) -> Self {
        let events = match form {
            Form::Stream { after } => Some(Events::new(record.padding, after)),
            Form::Whole => None,
        };
        let stage = if record.is_background() { Stage::Queued } else { Stage::InProgress };
        Self {
            record,
            items: Vec::new(),
            logprobs: String::new(),
            is_open: false,
            is_cut: false,
            stage,
            usage: None,
            completed: None,
            events,
            opened: false,
        }
    }

    /// A response of which all steps are known.
    pub fn whole(record: Record, log: &[u8]) -> Self {
        let mut response = Self::new(record, Form::Whole);
        let (steps, _) = Step::read(log);
        for step in &steps {
            response.take(step, &mut Vec::new());
        }
        response
    }

    /// What is known of it from the start.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// How far it has come.
    pub fn stage(&self) -> &Stage {
        &self.stage
    }

    /// What the model has put out.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// What was put in and out, for what goes on from it.
    pub fn into_items(self) -> Vec<Item> {
        let mut items = self.record.input;
        items.extend(self.items);
        items
    }

    /// Appends its first events. To be called first, and once.
    pub fn open(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.opened, true) {
            return;
        }
        self.tell_self("response.created", out);
        let kind = if self.stage == Stage::Queued { "response.queued" } else { "response.in_progress" };
        self.tell_self(kind, out);
    }

    /// Takes the next step, and appends the events that it makes.
    pub fn take(&mut self, step: &Step<'_>, out: &mut Vec<u8>) {
        self.open(out);
        if self.stage.is_last() {
            return;
        }
        if self.stage == Stage::Queued && !step.is_last() {
            self.stage = Stage::InProgress;
            self.tell_self("response.in_progress", out);
        }
        match step {
            Step::Begun => {}
            Step::Text(text, logprobs) => self.text(text, logprobs, out),
            Step::Reasoning(text) => self.reasoning(text, out),
            Step::Call(id, name) => self.call(id, name, out),
            Step::Arguments(text) => self.arguments(text, out),
            Step::End { cut } => self.end(*cut, out),
            Step::Close { input, cached, output, reasoning, at } => {
                self.usage = Some([*input, *cached, *output, *reasoning]);
                if self.is_cut {
                    self.stage = Stage::Incomplete;
                    self.tell_self("response.incomplete", out);
                } else {
                    self.completed = Some(*at);
                    self.stage = Stage::Completed;
                    self.tell_self("response.completed", out);
                }
            }
            Step::Fail { message, kind, param, code } => {
                self.fail(message, kind, param.as_deref(), code.as_deref(), out)
            }
            Step::Cancel => {
                self.settle(Status::Incomplete);
                self.stage = Stage::Cancelled;
                self.tell_self("response.cancelled", out);
            }
        }
    }

    /// Appends the whole of it.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.write_to(self.events.is_some(), out);
    }

    /// Appends the whole of it. Who `follows` its events knows the items already, until it is over.
    fn write_to(&self, follows: bool, out: &mut Vec<u8>) {
        let Self { record, .. } = self;
        let is_over = self.stage.is_last();
        out.extend_from_slice(b"{\"id\":");
        json::write(out, &record.id);
        field("object", "response", out);
        field("created_at", &record.created, out);
        field("status", self.stage.as_str(), out);
        field("background", &record.echo.background, out);
        field("completed_at", &self.completed, out);
        if let Some(conversation) = &record.echo.conversation {
            out.extend_from_slice(b",\"conversation\":{\"id\":");
            json::write(out, conversation);
            out.push(b'}');
        }
        match &self.stage {
            Stage::Failed { code, message } => {
                out.extend_from_slice(b",\"error\":{\"code\":");
                json::write(out, code);
                field("message", message, out);
                out.push(b'}');
            }
            _ => out.extend_from_slice(b",\"error\":null"),
        }
        field("frequency_penalty", &record.echo.frequency_penalty, out);
        out.extend_from_slice(match self.stage {
            Stage::Incomplete => b",\"incomplete_details\":{\"reason\":\"max_output_tokens\"}",
            _ => b",\"incomplete_details\":null",
        });
        record.echo.write_before(out);
        field("model", &record.model, out);
        field("output", if is_over || !follows { &self.items[..] } else { &[] }, out);
        record.echo.write_behind(is_over, out);
        match self.usage {
            Some([input, cached, output, reasoning]) => {
                out.extend_from_slice(b",\"usage\":{\"input_tokens\":");
                json::write(out, &input);
                out.extend_from_slice(b",\"input_tokens_details\":{\"cached_tokens\":");
                json::write(out, &cached);
                out.push(b'}');
                field("output_tokens", &output, out);
                out.extend_from_slice(b",\"output_tokens_details\":{\"reasoning_tokens\":");
                json::write(out, &reasoning);
                out.push(b'}');
                field("total_tokens", &input.saturating_add(output), out);
                out.push(b'}');
            }
            None => out.extend_from_slice(b",\"usage\":null"),
        }
        field("user", &record.echo.user, out);
        field("metadata", &record.echo.metadata, out);
        out.push(b'}');
    }

    fn text(&mut self, more: &str, entries: &str, out: &mut Vec<u8>) {
        if !self.is_open || !matches!(self.items.last(), Some(Item::Message { .. })) {
            self.close_item(Status::Completed, out);
            let content = vec![];
            self.begin_item(
                "msg_",
                |id| Item::Message { id, status: Status::InProgress, role: Role::Assistant, content },
                out,
            );
            let index = self.items.len() - 1;
            let empty = Part::output(String::new(), Vec::new());
            if let (Some(Item::Message { id, content, .. }), Some(events)) = (self.items.last_mut(), &mut self.events) {
                let place = Place { item: id, index };
                events.write("response.content_part.added", out, |out| {
                    place.write_part(out);
                    field("part", &empty, out);
                });
                content.push(empty);
            } else if let Some(Item::Message { content, .. }) = self.items.last_mut() {
                content.push(empty);
            }
        }
        if !entries.is_empty() {
            if !self.logprobs.is_empty() {
                self.logprobs.push(',');
            }
            self.logprobs.push_str(entries);
        }
        let index = self.items.len() - 1;
        let Some(Item::Message { id, content, .. }) = self.items.last_mut() else { return };
        let Some(Part::OutputText { text, .. }) = content.last_mut() else { return };
        text.push_str(more);
        let Some(events) = self.events.as_mut().filter(|_| !more.is_empty() || !entries.is_empty()) else { return };
        let place = Place { item: id, index };
        events.delta("response.output_text.delta", out, |out| {
            place.write_part(out);
            field("delta", more, out);
            out.extend_from_slice(b",\"logprobs\":[");
            out.extend_from_slice(entries.as_bytes());
            out.push(b']');
        });
    }

    fn reasoning(&mut self, more: &str, out: &mut Vec<u8>) {
        if !self.is_open || !matches!(self.items.last(), Some(Item::Reasoning { .. })) {
            self.close_item(Status::Completed, out);
            self.begin_item("rs_", |id| Item::Reasoning { id, summary: vec![], content: vec![] }, out);
            let index = self.items.len() - 1;
            if let Some(Item::Reasoning { id, content, .. }) = self.items.last_mut() {
                let empty = Part::ReasoningText { text: String::new() };
                if let Some(events) = &mut self.events {
                    let place = Place { item: id, index };
                    events.write("response.content_part.added", out, |out| {
                        place.write_part(out);
                        field("part", &empty, out);
                    });
                }
                content.push(empty);
            }
        }
        let index = self.items.len() - 1;
        let Some(Item::Reasoning { id, content, .. }) = self.items.last_mut() else { return };
        let Some(Part::ReasoningText { text }) = content.last_mut() else { return };
        text.push_str(more);
        let Some(events) = &mut self.events else { return };
        let place = Place { item: id, index };
        events.delta("response.reasoning_text.delta", out, |out| {
            place.write_part(out);
            field("delta", more, out);
        });
    }

    fn call(&mut self, call_id: &str, name: &str, out: &mut Vec<u8>) {
        self.close_item(Status::Completed, out);
        let call = |id| Item::FunctionCall {
            id,
            status: Status::InProgress,
            call_id: call_id.to_owned(),
            name: name.to_owned(),
            arguments: String::new(),
        };
        self.begin_item("fc_", call, out);
    }

    fn arguments(&mut self, more: &str, out: &mut Vec<u8>) {
        let index = self.items.len().wrapping_sub(1);
        let Some(Item::FunctionCall { id, arguments, .. }) = self.items.last_mut().filter(|_| self.is_open) else {
            return;
        };
        arguments.push_str(more);
        let Some(events) = &mut self.events else { return };
        let place = Place { item: id, index };
        events.delta("response.function_call_arguments.delta", out, |out| {
            field("delta", more, out);
            place.write(out);
        });
    }

    fn end(&mut self, cut: bool, out: &mut Vec<u8>) {
        self.is_cut = cut;
        // A model that says nothing says an empty text.
        if self.items.is_empty() && !cut {
            self.text("", "", out);
        }
        self.close_item(if cut { Status::Incomplete } else { Status::Completed }, out);
    }

    fn fail(&mut self, message: &str, kind: &str, param: Option<&str>, code: Option<&str>, out: &mut Vec<u8>) {
        self.settle(Status::Incomplete);
        if let Some(events) = &mut self.events {
            // Flat, as it is documented, and as OpenAI sends it, which clients read as the error that it is.
            let error = serde_json::json!({"type": kind, "code": code, "message": message, "param": param});
            events.write("error", out, |out| {
                field("code", &code.unwrap_or(kind), out);
                field("message", message, out);
                field("param", &param, out);
                field("error", &error, out);
            });
        }
        // The few codes that a response's own error may have.
        let code = match (kind, code) {
            (_, Some("rate_limit_exceeded")) | ("requests" | "tokens", _) => "rate_limit_exceeded",
            ("invalid_request_error", _) => "invalid_prompt",
            _ => "server_error",
        };
        self.stage = Stage::Failed { code: code.to_owned(), message: message.to_owned() };
        self.tell_self("response.failed", out);
    }

    fn begin_item(&mut self, prefix: &str, item: impl FnOnce(String) -> Item, out: &mut Vec<u8>) {
        let index = self.items.len();
        let number = u32::try_from(index).unwrap_or(u32::MAX >> 2);
        let item = item(ids::response_item(prefix, &self.record.id, number));
        if let Some(events) = &mut self.events {
            events.write("response.output_item.added", out, |out| {
                field("item", &item, out);
                field("output_index", &index, out);
            });
        }
        self.items.push(item);
        self.is_open = true;
        self.logprobs.clear();
    }

    /// Notes how far the last item has come, if it is not over already.
    fn settle(&mut self, status: Status) -> bool {
        if !std::mem::replace(&mut self.is_open, false) {
            return false;
        }
        let Some(item) = self.items.last_mut() else { return false };
        item.set_status(status);
        if let Item::Message { content, .. } = item
            && let Some(Part::OutputText { logprobs, .. }) = content.last_mut()
            && !self.logprobs.is_empty()
        {
            let entries: Result<Vec<Value>, _> = serde_json::from_str(&format!("[{}]", self.logprobs));
            *logprobs = entries.unwrap_or_default();
        }
        true
    }

    fn close_item(&mut self, status: Status, out: &mut Vec<u8>) {
        if !self.settle(status) {
            return;
        }
        let index = self.items.len() - 1;
        let (Some(item), Some(events)) = (self.items.last(), &mut self.events) else { return };
        let place = Place { item: item.id(), index };
        match item {
            Item::Message { content, .. } => {
                for part in content {
                    events.write("response.output_text.done", out, |out| {
                        place.write_part(out);
                        if let Part::OutputText { logprobs, .. } = part {
                            field("logprobs", logprobs, out);
                        }
                        field("text", part.text(), out);
                    });
                    part_done(events, place, part, out);
                }
            }
            Item::Reasoning { content, .. } => {
                for part in content {
                    events.write("response.reasoning_text.done", out, |out| {
                        place.write_part(out);
                        field("text", part.text(), out);
                    });
                    part_done(events, place, part, out);
                }
            }
            Item::FunctionCall { arguments, name, .. } => {
                events.write("response.function_call_arguments.done", out, |out| {
                    field("arguments", arguments, out);
                    place.write(out);
                    field("name", name, out);
                });
            }
            Item::FunctionCallOutput { .. } | Item::ItemReference { .. } => {}
        }
        events.write("response.output_item.done", out, |out| {
            field("item", item, out);
            field("output_index", &index, out);
        });
    }

    /// An event that bears the whole response.
    fn tell_self(&mut self, kind: &str, out: &mut Vec<u8>) {
        let Some(mut events) = self.events.take() else { return };
        events.write(kind, out, |out| {
            out.extend_from_slice(b",\"response\":");
            self.write_to(true, out);
        });
        self.events = Some(events);
    }
}

fn part_done(events: &mut Events, place: Place<'_>, part: &Part, out: &mut Vec<u8>) {
    events.write("response.content_part.done", out, |out| {
        place.write_part(out);
        field("part", part, out);
    });
}
