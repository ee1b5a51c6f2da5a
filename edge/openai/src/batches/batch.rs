//! A batch: what was asked for, and how far it is.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::batches::check::Checked;
use crate::batches::create::{Create, Endpoint};

/// What is known of a batch beside what its lines came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    pub id: String,
    pub endpoint: Endpoint,
    pub input_file_id: String,
    pub metadata: Option<Map<String, Value>>,
    /// Seconds for which its files are kept.
    pub output_seconds: Option<u64>,
    /// The names of its files, before there are any.
    pub output_file_id: String,
    pub error_file_id: String,
    pub status: Status,
    /// Why it has failed.
    pub errors: Vec<BatchError>,
    /// Of the one model that its lines are for, once they were looked at.
    pub model: Option<String>,
    /// Its lines, and the number of the last one; 0 until they were looked at.
    pub total: u32,
    pub last_line: u32,
    /// Seconds since 1970, as are the others.
    pub created_at: u64,
    pub expires_at: u64,
    #[serde(default)]
    pub in_progress_at: Option<u64>,
    #[serde(default)]
    pub finalizing_at: Option<u64>,
    #[serde(default)]
    pub cancelling_at: Option<u64>,
    /// When it came to its last status.
    #[serde(default)]
    pub ended_at: Option<u64>,
    /// What it comes to when it is finalized.
    #[serde(default)]
    pub ending: Option<Ending>,
}

/// How far a batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Validating,
    Failed,
    InProgress,
    Finalizing,
    Completed,
    Expired,
    Cancelling,
    Cancelled,
}

/// What a batch comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    Completed,
    Expired,
    /// It could not go on: what was done is kept.
    Failed,
}

/// What is wrong with a batch, or a line of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchError {
    pub code: String,
    pub message: String,
    pub param: Option<String>,
    /// From 1 on.
    pub line: Option<u32>,
}

/// What became of a batch's lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub completed: u64,
    pub failed: u64,
}

/// Tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Used {
    pub input: u64,
    /// Of the input.
    pub cached: u64,
    pub output: u64,
    /// Of the output.
    pub reasoning: u64,
}

/// A batch is over, or nearly: it is not cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotToCancel(pub Status);

impl BatchError {
    /// Of the batch as a whole.
    pub fn new(code: &str, message: impl Into<String>, param: Option<&str>) -> Self {
        Self { code: code.to_owned(), message: message.into(), param: param.map(str::to_owned), line: None }
    }

    pub(crate) fn at(self, line: u32) -> Self {
        Self { line: Some(line), ..self }
    }
}

impl Status {
    /// As clients read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Validating => "validating",
            Self::Failed => "failed",
            Self::InProgress => "in_progress",
            Self::Finalizing => "finalizing",
            Self::Completed => "completed",
            Self::Expired => "expired",
            Self::Cancelling => "cancelling",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing follows it.
    pub fn is_last(self) -> bool {
        matches!(self, Self::Failed | Self::Completed | Self::Expired | Self::Cancelled)
    }
}

impl Batch {
    /// One that begins now, with the names of its files, and has so many seconds.
    pub fn new(
        create: Create,
        id: String,
        [output_file_id, error_file_id]: [String; 2],
        now: u64,
        window: u64,
    ) -> Self {
        Self {
            id,
            endpoint: create.endpoint,
            input_file_id: create.input_file_id,
            metadata: create.metadata,
            output_seconds: create.output_seconds,
            output_file_id,
            error_file_id,
            status: Status::Validating,
            errors: Vec::new(),
            model: None,
            total: 0,
            last_line: 0,
            created_at: now,
            expires_at: now.saturating_add(window),
            in_progress_at: None,
            finalizing_at: None,
            cancelling_at: None,
            ended_at: None,
            ending: None,
        }
    }

    /// Its lines are good.
    #[must_use]
    pub fn begun(mut self, checked: Checked, now: u64) -> Self {
        (self.total, self.last_line, self.model) = (checked.total, checked.last, Some(checked.model));
        (self.status, self.in_progress_at) = (Status::InProgress, Some(now));
        self
    }

    /// It does not go on.
    #[must_use]
    pub fn failing(mut self, errors: Vec<BatchError>, now: u64) -> Self {
        self.errors = errors;
        self.finalizing(Ending::Failed, now)
    }

    /// What was done is put together.
    #[must_use]
    pub fn finalizing(mut self, ending: Ending, now: u64) -> Self {
        (self.status, self.ending) = (Status::Finalizing, Some(ending));
        // What has failed is not said to be finalized.
        self.finalizing_at = (ending != Ending::Failed).then_some(now);
        self
    }

    /// Somebody wants it ended.
    ///
    /// # Errors
    /// It ends in any case.
    pub fn cancelling(mut self, now: u64) -> Result<Self, NotToCancel> {
        match self.status {
            Status::Validating | Status::InProgress => {
                (self.status, self.cancelling_at) = (Status::Cancelling, Some(now));
                Ok(self)
            }
            Status::Cancelling => Ok(self),
            other => Err(NotToCancel(other)),
        }
    }

    /// It is over.
    #[must_use]
    pub fn ended(mut self, now: u64) -> Self {
        self.status = match (self.status, self.ending) {
            (Status::Cancelling, _) => Status::Cancelled,
            (_, Some(Ending::Expired)) => Status::Expired,
            (_, Some(Ending::Failed)) => Status::Failed,
            (_, Some(Ending::Completed) | None) => Status::Completed,
        };
        self.ended_at = Some(now);
        self
    }

    /// As a client sees it.
    pub fn show(&self, counts: Counts, used: Used) -> Value {
        let at = |status: Status| self.ended_at.filter(|_| self.status == status);
        let is_last = self.status.is_last();
        let file = |id: &str, lines: u64| (is_last && lines > 0).then(|| id.to_owned());
        let errors = json!({ "object": "list", "data": self.errors });
        json!({
            "id": self.id,
            "object": "batch",
            "endpoint": self.endpoint,
            "model": self.model,
            "errors": (!self.errors.is_empty()).then_some(errors),
            "input_file_id": self.input_file_id,
            "completion_window": "24h",
            "status": self.status,
            "output_file_id": file(&self.output_file_id, counts.completed),
            "error_file_id": file(&self.error_file_id, counts.failed),
            "created_at": self.created_at,
            "in_progress_at": self.in_progress_at,
            "expires_at": self.expires_at,
            "finalizing_at": self.finalizing_at,
            "completed_at": at(Status::Completed),
            "failed_at": at(Status::Failed),
            "expired_at": at(Status::Expired),
            "cancelling_at": self.cancelling_at,
            "cancelled_at": at(Status::Cancelled),
            "request_counts": { "total": self.total, "completed": counts.completed, "failed": counts.failed },
            "usage": {
                "input_tokens": used.input,
                "input_tokens_details": { "cached_tokens": used.cached },
                "output_tokens": used.output,
                "output_tokens_details": { "reasoning_tokens": used.reasoning },
                "total_tokens": used.input + used.output,
            },
            "metadata": self.metadata,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch() -> Batch {
        let create = Create {
            input_file_id: "file-1".to_owned(),
            endpoint: Endpoint::Embeddings,
            metadata: None,
            output_seconds: None,
        };
        Batch::new(create, "batch_1".to_owned(), ["file-2".to_owned(), "file-3".to_owned()], 100, 86_400)
    }

    fn checked() -> Checked {
        Checked { total: 3, last: 4, model: "m".to_owned() }
    }

    #[test]
    fn a_batch_goes_from_status_to_status() {
        let counts = Counts { completed: 2, failed: 1 };
        let shown = |batch: &Batch| batch.show(counts, Used { input: 5, output: 2, ..Used::default() });
        let begun = batch().begun(checked(), 101);
        assert_eq!(
            (shown(&begun)["status"].as_str(), &shown(&begun)["in_progress_at"]),
            (Some("in_progress"), &json!(101))
        );
        assert_eq!(shown(&begun)["output_file_id"], Value::Null, "it is not there yet");
        let finalizing = begun.clone().finalizing(Ending::Completed, 102);
        let whole = shown(&finalizing.clone().ended(103));
        assert_eq!(whole["status"], "completed");
        assert_eq!((&whole["finalizing_at"], &whole["completed_at"]), (&json!(102), &json!(103)));
        assert_eq!((&whole["output_file_id"], &whole["error_file_id"]), (&json!("file-2"), &json!("file-3")));
        assert_eq!(whole["request_counts"], json!({ "total": 3, "completed": 2, "failed": 1 }));
        assert_eq!(whole["usage"]["total_tokens"], 7);
        let expired = shown(&begun.clone().finalizing(Ending::Expired, 102).ended(103));
        assert_eq!((&expired["status"], &expired["expired_at"]), (&json!("expired"), &json!(103)));
        let cancelled = shown(&begun.cancelling(102).unwrap().ended(103));
        assert_eq!((&cancelled["status"], &cancelled["cancelling_at"]), (&json!("cancelled"), &json!(102)));
        let error = BatchError::new("empty_file", "empty", None);
        let failed = batch().failing(vec![error], 102).ended(103).show(Counts::default(), Used::default());
        assert_eq!((&failed["status"], &failed["failed_at"]), (&json!("failed"), &json!(103)));
        assert_eq!(failed["errors"]["data"][0]["code"], "empty_file");
        assert_eq!((&failed["finalizing_at"], &failed["output_file_id"]), (&Value::Null, &Value::Null));
    }

    #[test]
    fn what_is_over_is_not_cancelled() {
        assert_eq!(batch().cancelling(101).unwrap().status, Status::Cancelling);
        let begun = batch().begun(checked(), 101);
        assert_eq!(begun.clone().cancelling(102).unwrap().cancelling(103).unwrap().cancelling_at, Some(102));
        let finalizing = begun.finalizing(Ending::Completed, 102);
        assert_eq!(finalizing.clone().cancelling(103), Err(NotToCancel(Status::Finalizing)));
        assert_eq!(finalizing.ended(103).cancelling(104), Err(NotToCancel(Status::Completed)));
    }
}
