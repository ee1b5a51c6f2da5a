//! `POST /v1/files`: takes a file that comes as a form.

use std::sync::Arc;

use axum::{
    extract::{
        FromRequest, Multipart, Request, State,
        multipart::{Field, MultipartError},
    },
    http::StatusCode,
    response::Response,
};
use cloudach_openai::{
    Invalid,
    files::{File, Purpose, expires_after},
};
use hyper::body::Body as _;
use tokio::time::timeout;

use super::{
    json,
    sips::{Given, sipped},
};
use crate::{Edge, access::caller::Caller, error::ApiError, files::Upload};

/// What a form may have beside its file, in bytes: a few short fields and their heads.
const FORM_BYTES: u64 = 16 * 1024;

/// The longest field that is no file, in bytes.
const FIELD_BYTES: usize = 256;

/// The longest name of a file that is kept, in characters.
const NAME_CHARS: usize = 255;

/// The fields of a form, each once.
#[derive(Default)]
struct Form {
    filename: Option<String>,
    purpose: Option<String>,
    anchor: Option<String>,
    seconds: Option<String>,
}

pub async fn create(State(edge): State<Edge>, caller: Arc<Caller>, request: Request) -> Result<Response, ApiError> {
    if caller.suspended {
        return Err(ApiError::Suspended);
    }
    let _place = edge.admission.place()?;
    let config = edge.files.config();
    // What is announced too large is refused before it is sent.
    if request.body().size_hint().lower() > config.file_bytes.saturating_add(FORM_BYTES) {
        return Err(ApiError::BodyTooLarge(usize::try_from(config.file_bytes).unwrap_or(usize::MAX)));
    }
    let (parts, body) = request.into_parts();
    let (body, given) = sipped(body);
    let form = Multipart::from_request(Request::from_parts(parts, body), &()).await;
    let form = form.map_err(|_| Invalid::not_a_form())?;
    let mut upload = Upload::begin(&edge.files, &caller.tenant);
    let taken = timeout(config.upload_time, take(form, &given, &mut upload)).await;
    match taken.unwrap_or(Err(ApiError::BodyTooSlow)) {
        Ok((file, bytes)) => Ok(json(file.show(bytes))),
        Err(error) => {
            upload.give_up().await;
            Err(error)
        }
    }
}

async fn take(mut multipart: Multipart, given: &Given, upload: &mut Upload) -> Result<(File, u64), ApiError> {
    let mut form = Form::default();
    while let Some(mut field) = multipart.next_field().await.map_err(broken)? {
        given.on();
        let name = field.name().unwrap_or_default().to_owned();
        let text = match name.as_str() {
            "file" => {
                let filename: String = field.file_name().unwrap_or("file").chars().take(NAME_CHARS).collect();
                if form.filename.replace(filename).is_some() {
                    return Err(Invalid::wrong_field("file").into());
                }
                while let Some(chunk) = field.chunk().await.map_err(broken)? {
                    given.on();
                    upload.push(&chunk).await?;
                }
                continue;
            }
            "purpose" => &mut form.purpose,
            "expires_after[anchor]" => &mut form.anchor,
            "expires_after[seconds]" => &mut form.seconds,
            other => return Err(Invalid::unknown_field(other).into()),
        };
        if text.replace(short(field, &name).await?).is_some() {
            return Err(Invalid::wrong_field(&name).into());
        }
        // Known before the file, where clients send it first.
        form.purpose()?;
    }
    let purpose = form.purpose()?.ok_or_else(|| Invalid::no_field("purpose"))?;
    let seconds = expires_after(form.anchor.as_deref(), form.seconds.as_deref())?;
    let filename = form.filename.ok_or_else(|| Invalid::no_field("file"))?;
    upload.finish(filename, purpose, seconds).await
}

impl Form {
    fn purpose(&self) -> Result<Option<Purpose>, Invalid> {
        self.purpose.as_deref().map(Purpose::of_upload).transpose()
    }
}

async fn short(mut field: Field<'_>, name: &str) -> Result<String, ApiError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = field.chunk().await.map_err(broken)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > FIELD_BYTES {
            return Err(Invalid::wrong_field(name).into());
        }
    }
    String::from_utf8(bytes).map_err(|_| Invalid::wrong_field(name).into())
}

/// What came is no form, or did not come.
fn broken(error: MultipartError) -> ApiError {
    match error.status() {
        StatusCode::BAD_REQUEST => Invalid::not_a_form().into(),
        _ => ApiError::BodyBroken,
    }
}
