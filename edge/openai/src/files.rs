//! Files: what is uploaded for batches, and what batches put out.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::invalid::Invalid;

/// Seconds for which a client may want a file kept, as at OpenAI: an hour to 30 days.
const LEAST_SECONDS: u64 = 3600;
const MOST_SECONDS: u64 = 30 * 86_400;

/// Purposes that OpenAI has and this server has not.
const OTHERS: [&str; 5] = ["assistants", "fine-tune", "vision", "user_data", "evals"];

/// What is known of a file beside its content and its size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    pub id: String,
    pub filename: String,
    pub purpose: Purpose,
    /// Seconds since 1970, as is the other.
    pub created_at: u64,
    pub expires_at: u64,
    /// The number of the last piece of its content.
    pub last_piece: u32,
}

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// The requests of a batch.
    Batch,
    /// What a batch puts out.
    BatchOutput,
}

impl Purpose {
    /// What a client may upload.
    ///
    /// # Errors
    /// It is something else.
    pub fn of_upload(text: &str) -> Result<Self, Invalid> {
        match text {
            "batch" => Ok(Self::Batch),
            other if OTHERS.contains(&other) => Err(Invalid::new(format!(
                "Unsupported value: 'purpose' does not support '{other}' on this server. Supported values are: 'batch'."
            ))
            .param("purpose")
            .code("unsupported_value")),
            other => Err(Invalid::wrong_value("purpose", other, &["batch"])),
        }
    }

    /// As clients read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::BatchOutput => "batch_output",
        }
    }
}

impl File {
    /// As a client sees it.
    pub fn show(&self, bytes: u64) -> Value {
        json!({
            "object": "file",
            "id": self.id,
            "purpose": self.purpose,
            "filename": self.filename,
            "bytes": bytes,
            "created_at": self.created_at,
            "expires_at": self.expires_at,
            "status": "processed",
            "status_details": null,
        })
    }
}

impl Invalid {
    /// What was sent is no form.
    pub fn not_a_form() -> Self {
        Self::new("Invalid request: expected a body of 'multipart/form-data' with a 'file' and a 'purpose'.")
            .code("invalid_multipart")
    }

    /// A form lacks a field.
    pub fn no_field(name: &str) -> Self {
        Self::missing(name)
    }

    /// A form has a field that nobody knows.
    pub fn unknown_field(name: &str) -> Self {
        Self::unrecognized(name)
    }

    /// A form has a field twice, or one that is too long.
    pub fn wrong_field(name: &str) -> Self {
        Self::new(format!("Invalid '{}': expected it once, and short.", crate::invalid::shorten(name)))
            .param(crate::invalid::shorten(name))
            .code("invalid_value")
    }

    /// A tenant has as many files as it may have.
    pub fn too_many_files(most: usize) -> Self {
        Self::new(format!("Your organization has {most} files, which is all that it may have. Please delete some."))
            .code("file_limit_exceeded")
    }

    /// A tenant's files are as large as they may be together.
    pub fn no_room_for_files(most: u64) -> Self {
        Self::new(format!(
            "With this file, your organization's files would be larger than the {most} bytes that they may be together. Please \
             delete some."
        ))
        .code("storage_limit_exceeded")
    }

    /// It took too long to send a file.
    pub fn upload_given_up() -> Self {
        Self::new("The file did not arrive in time. Please send it again.").code("upload_expired")
    }
}

/// For how long a file is kept, by the two fields of a form.
///
/// # Errors
/// One is missing or wrong.
pub fn expires_after(anchor: Option<&str>, seconds: Option<&str>) -> Result<Option<u64>, Invalid> {
    let (anchor, seconds) = match (anchor, seconds) {
        (None, None) => return Ok(None),
        (Some(anchor), Some(seconds)) => (anchor, seconds),
        (None, Some(_)) => return Err(Invalid::missing("expires_after.anchor")),
        (Some(_), None) => return Err(Invalid::missing("expires_after.seconds")),
    };
    if anchor != "created_at" {
        return Err(Invalid::wrong_value("expires_after.anchor", anchor, &["created_at"]));
    }
    let number = seconds.parse().map_err(|_| Invalid::wrong_type("expires_after.seconds", "an integer", "a string"))?;
    within("expires_after.seconds", number).map(Some)
}

/// Seconds for which a file may be kept.
pub(crate) fn within(path: impl std::fmt::Display, seconds: i64) -> Result<u64, Invalid> {
    let (least, most) = (LEAST_SECONDS.cast_signed(), MOST_SECONDS.cast_signed());
    match seconds {
        _ if seconds < least => Err(Invalid::integer_below(path, least, seconds)),
        _ if seconds > most => Err(Invalid::integer_above(path, most, seconds)),
        _ => Ok(seconds.cast_unsigned()),
    }
}

/// A page of objects, each with an `id`.
pub fn page(data: &[Value], has_more: bool) -> Value {
    let id = |object: Option<&Value>| object.map(|object| object["id"].clone());
    json!({
        "object": "list",
        "data": data,
        "first_id": id(data.first()),
        "last_id": id(data.last()),
        "has_more": has_more,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_batches_are_uploaded_for() {
        assert_eq!(Purpose::of_upload("batch"), Ok(Purpose::Batch));
        for (other, code) in
            [("assistants", "unsupported_value"), ("batch_output", "invalid_value"), ("", "invalid_value")]
        {
            let invalid = Purpose::of_upload(other).unwrap_err();
            assert_eq!((invalid.code, invalid.param.as_deref()), (Some(code), Some("purpose")), "{other}");
            assert!(invalid.message.contains("'batch'"), "{}", invalid.message);
        }
    }

    #[test]
    fn files_are_kept_for_an_hour_to_thirty_days() {
        let read = |anchor, seconds| expires_after(anchor, seconds).map_err(|invalid| invalid.code.unwrap());
        assert_eq!(read(None, None), Ok(None));
        assert_eq!(read(Some("created_at"), Some("3600")), Ok(Some(3600)));
        assert_eq!(read(Some("created_at"), Some("2592000")), Ok(Some(2_592_000)));
        for (anchor, seconds, code) in [
            (Some("created_at"), Some("3599"), "integer_below_min_value"),
            (Some("created_at"), Some("2592001"), "integer_above_max_value"),
            (Some("created_at"), Some("-1"), "integer_below_min_value"),
            (Some("created_at"), Some("soon"), "invalid_type"),
            (Some("last_active_at"), Some("3600"), "invalid_value"),
            (Some("created_at"), None, "missing_required_parameter"),
            (None, Some("3600"), "missing_required_parameter"),
        ] {
            assert_eq!(read(anchor, seconds), Err(code), "{anchor:?} {seconds:?}");
        }
    }
}
