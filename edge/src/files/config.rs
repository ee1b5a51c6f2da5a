//! What is kept of files.

use std::time::Duration;

use serde::Deserialize;

/// See the fields.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FilesConfig {
    /// Whether there are files, and batches of them. False: their paths do not exist.
    pub enabled: bool,
    /// The largest file that is uploaded, in bytes. It lies in the store: in Redis that is memory.
    pub file_bytes: u64,
    /// What the files of a tenant may take together, in bytes, with what batches put out. Beyond it nothing is uploaded, and lines
    /// of batches wait until there is room, or their time is over.
    pub tenant_bytes: u64,
    /// Files of a tenant at most, with those that batches put out. Beyond it nothing is uploaded.
    pub files: usize,
    /// How long a file is kept for which its client names no other time: an hour at least, and 30 days at most, as at OpenAI.
    #[serde(with = "humantime_serde")]
    pub keep: Duration,
    /// How long a client may take to send a file.
    #[serde(with = "humantime_serde")]
    pub upload_time: Duration,
}

/// For how long files may be kept.
const LEAST_KEEP: Duration = Duration::from_secs(3600);
const MOST_KEEP: Duration = Duration::from_secs(30 * 86_400);

impl FilesConfig {
    /// Checks what the types cannot.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn check(&self) -> Result<(), &'static str> {
        if self.keep < LEAST_KEEP || self.keep > MOST_KEEP {
            return Err("`files.keep` must be an hour at least and 30 days at most");
        }
        if self.file_bytes == 0 || self.tenant_bytes < self.file_bytes {
            return Err("`files.file_bytes` must be more than 0 and no more than `files.tenant_bytes`");
        }
        if self.files == 0 || self.upload_time.is_zero() {
            return Err("`files.files` and `files.upload_time` must not be 0: `enabled: false` keeps none");
        }
        Ok(())
    }
}

impl Default for FilesConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            file_bytes: 100 * 1024 * 1024,
            tenant_bytes: 1024 * 1024 * 1024,
            files: 1000,
            keep: MOST_KEEP,
            upload_time: Duration::from_secs(10 * 60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_refused() {
        let check = |json| serde_json::from_str::<FilesConfig>(json).unwrap().check();
        assert_eq!(check("{}"), Ok(()));
        for wrong in [
            r#"{"keep":"59m"}"#,
            r#"{"keep":"31days"}"#,
            r#"{"file_bytes":0}"#,
            r#"{"file_bytes":2,"tenant_bytes":1}"#,
            r#"{"files":0}"#,
            r#"{"upload_time":"0s"}"#,
        ] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
    }
}
