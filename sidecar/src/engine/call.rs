//! Short calls to an engine: a question, a whole answer, a time limit.

use std::{io::ErrorKind, sync::Arc, time::Duration};

use bytes::Bytes;
use cloudach_proto::v1::{Failed, RequestContext};
use http::{HeaderMap, StatusCode};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::timeout;

use super::{
    deadline::Deadline,
    headers,
    http::{Client, HttpError},
};
use crate::config::{Config, Limits};

/// How long a question about the engine's own state may take: its server may be busy with a batch of new requests.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// The largest answer to such a question, in bytes.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// The largest answer to a request that is answered at once, in bytes: a page of embeddings.
const MAX_PAGE: usize = 128 * 1024 * 1024;

/// How much of an engine's message is passed on, in characters.
const MAX_MESSAGE: usize = 500;

/// Why an engine did not do what was asked of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EngineError {
    #[error(transparent)]
    Http(#[from] HttpError),
    /// It answered, and not with success.
    #[error("the engine answered {path} with {status}: {message}")]
    Refused { path: &'static str, status: StatusCode, message: String },
    /// It answered something that cannot be read.
    #[error("the engine's answer to {path} cannot be read: {reason}")]
    Unreadable { path: &'static str, reason: String },
    /// It serves other models.
    #[error("the engine does not serve `{wanted}` but {served}; set `served_name`")]
    OtherModel { wanted: String, served: String },
    /// A file of the model cannot be used.
    #[error("cannot use {path}: {reason}")]
    ModelFile { path: String, reason: String },
    /// This kind of engine cannot do it.
    #[error("{0}")]
    Unsupported(&'static str),
}

impl EngineError {
    /// Whether there is certainly no engine at the other end now.
    pub(crate) fn is_gone(&self) -> bool {
        match self {
            // An engine is not gone because this process cannot open another socket.
            Self::Http(HttpError::Unreachable { source, .. }) => {
                matches!(source.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound | ErrorKind::TimedOut)
            }
            Self::Http(HttpError::Broken(_) | HttpError::Closed | HttpError::Malformed(_)) => true,
            Self::Refused { status, .. } => *status == StatusCode::SERVICE_UNAVAILABLE,
            _ => false,
        }
    }
}

/// Asks one engine.
#[derive(Debug, Clone)]
pub(crate) struct Calls {
    pub(super) client: Arc<Client>,
    /// How long a question may take.
    answer_within: Duration,
}

/// A whole answer.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
    path: &'static str,
}

impl Calls {
    pub(super) fn new(config: &Config) -> Self {
        let (address, limits) = (config.engine.url.0.clone(), &config.limits);
        let client = Arc::new(Client::new(address, limits.connect_timeout, limits.idle_connections));
        Self { client, answer_within: ANSWER_WITHIN }
    }

    /// The same engine, asked what a request waits for: that may take as long as its first token.
    pub(super) fn patient(&self, limits: &Limits) -> Self {
        Self { answer_within: limits.first_token_timeout, ..self.clone() }
    }

    pub(super) async fn health(&self) -> Result<(), EngineError> {
        self.get("/health").await?.success().map(drop)
    }

    /// The whole answer to a client's request, which the engine gives within `limit` and before its time is up.
    pub(super) async fn ask(
        &self,
        path: &'static str,
        request_id: &str,
        context: Option<&RequestContext>,
        limit: Duration,
        json: Vec<u8>,
    ) -> Result<(StatusCode, Bytes), Failed> {
        let asking = async {
            let response = self.client.post(path, headers::of(request_id, context), json).await?;
            let status = response.status;
            Ok((status, response.whole(MAX_PAGE).await?))
        };
        Deadline::of(context).within(limit, asking).await
    }

    pub(super) async fn get(&self, path: &'static str) -> Result<Answer, HttpError> {
        within(self.answer_within, async {
            let response = self.client.get(path).await?;
            let status = response.status;
            Ok(Answer { status, body: response.whole(MAX_ANSWER).await?, path })
        })
        .await
    }

    pub(super) async fn post(&self, path: &'static str, question: &impl Serialize) -> Result<Answer, HttpError> {
        self.post_within(self.answer_within, path, question).await
    }

    pub(super) async fn post_within(
        &self,
        limit: Duration,
        path: &'static str,
        question: &impl Serialize,
    ) -> Result<Answer, HttpError> {
        let json = serde_json::to_vec(question).unwrap_or_default();
        within(limit, async {
            let response = self.client.post(path, HeaderMap::new(), json).await?;
            let status = response.status;
            Ok(Answer { status, body: response.whole(MAX_ANSWER).await?, path })
        })
        .await
    }
}

impl Answer {
    /// This answer, when it says success.
    pub(super) fn success(self) -> Result<Self, EngineError> {
        if self.status.is_success() {
            return Ok(self);
        }
        let message = brief(&String::from_utf8_lossy(&self.body));
        Err(EngineError::Refused { path: self.path, status: self.status, message })
    }

    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, EngineError> {
        serde_json::from_slice(&self.body)
            .map_err(|error| EngineError::Unreadable { path: self.path, reason: error.to_string() })
    }
}

/// An engine's text, short enough to pass on.
pub(super) fn brief(text: &str) -> String {
    text.trim().chars().take(MAX_MESSAGE).collect()
}

/// Fails what takes longer than `limit`.
pub(super) async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, HttpError>>,
) -> Result<T, HttpError> {
    timeout(limit, work).await.unwrap_or(Err(HttpError::Silent(limit)))
}
