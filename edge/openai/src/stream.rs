//! Whether and how a client wants its answer streamed.

use crate::invalid::Invalid;
use crate::reader::{Fields, boolean};

/// How a stream is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StreamOptions {
    /// A last chunk with the usage, and `"usage": null` on all others.
    pub include_usage: bool,
    /// Random padding on every chunk of a chat. `None`: the client does not say, and OpenAI pads.
    /// Completions have no padding.
    pub include_obfuscation: Option<bool>,
}

impl StreamOptions {
    /// `None`: the answer is wanted whole.
    pub(crate) fn read(fields: &mut Fields<'_>) -> Result<Option<Self>, Invalid> {
        let stream = fields.read("stream", boolean)?.unwrap_or(false);
        let options = fields.read("stream_options", |path, value| {
            let mut fields = Fields::of(path, value)?;
            let options = Self {
                include_usage: fields.read("include_usage", boolean)?.unwrap_or(false),
                include_obfuscation: fields.read("include_obfuscation", boolean)?,
            };
            // A vLLM extra. Clients that add up the usage of all chunks would count double.
            if fields.read("continuous_usage_stats", boolean)? == Some(true) {
                return Err(Invalid::unsupported(path.field("continuous_usage_stats"), "Use 'include_usage' instead."));
            }
            fields.no_unknown()?;
            Ok(options)
        })?;
        match options {
            Some(_) if !stream => {
                Err(Invalid::new("The 'stream_options' parameter is only allowed when 'stream' is enabled.")
                    .param("stream_options"))
            }
            options => Ok(stream.then(|| options.unwrap_or_default())),
        }
    }
}
