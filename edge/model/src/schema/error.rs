//! Why a schema cannot be followed, with the place in it.

/// A schema that no engine will be asked to follow. Paths are JSON pointers into the client's schema, `""` is its root.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    #[error("{}: {reason}", shown(path))]
    Invalid { path: String, reason: String },
    #[error("{}: {reason}; a schema that needs this cannot be enforced", shown(path))]
    Unsupported { path: String, reason: &'static str },
    #[error(
        "{}: `{reference}` points outside of the schema, and nothing is fetched; put its target under `$defs`",
        shown(path)
    )]
    ExternalRef { path: String, reference: String },
    #[error("{}: `{reference}` points to nothing in the schema", shown(path))]
    DanglingRef { path: String, reference: String },
    #[error("{}: the schema refers to itself without end", shown(path))]
    EndlessRef { path: String },
    #[error("{}: no value satisfies this schema", shown(path))]
    Unsatisfiable { path: String },
    #[error("{}: the schema is too large or too entangled to be enforced: {reason}", shown(path))]
    TooLarge { path: String, reason: &'static str },
}

impl SchemaError {
    /// Where in the client's schema, as a JSON pointer (RFC 6901).
    pub fn path(&self) -> &str {
        match self {
            Self::Invalid { path, .. }
            | Self::Unsupported { path, .. }
            | Self::ExternalRef { path, .. }
            | Self::DanglingRef { path, .. }
            | Self::EndlessRef { path }
            | Self::Unsatisfiable { path }
            | Self::TooLarge { path, .. } => path,
        }
    }

    /// The keyword at fault, where the path ends in one.
    pub fn keyword(&self) -> Option<&str> {
        match self.path().rsplit('/').next() {
            Some(last) if !last.is_empty() => Some(last),
            _ => None,
        }
    }
}

/// The root has an empty pointer, which reads badly.
fn shown(path: &str) -> &str {
    if path.is_empty() { "schema root" } else { path }
}

/// A place one step further down.
pub(super) fn below(path: &str, step: &str) -> String {
    /// Longer names are cut in paths: a text for people.
    const MOST: usize = 100;
    let step = step.char_indices().nth(MOST).map_or(step, |(end, _)| &step[..end]);
    format!("{path}/{}", step.replace('~', "~0").replace('/', "~1"))
}
