//! The one error envelope: always the same four keys, text or `null`.

use serde::Serialize;

use crate::json;

/// What a client gets to see of an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Told {
    /// Of HTTP, if it is told by one.
    #[serde(skip)]
    pub status: u16,
    pub message: String,
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// What of the request it is about.
    pub param: Option<String>,
    pub code: Option<&'static str>,
}

#[derive(Serialize)]
struct Envelope<'a> {
    error: &'a Told,
}

impl Told {
    /// The body of an answer that is this error.
    pub fn body(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    /// Appends the event that ends a stream which failed after it began.
    pub fn event(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"data: ");
        self.write(out);
        out.extend_from_slice(b"\n\n");
    }

    fn write(&self, out: &mut Vec<u8>) {
        json::write(out, &Envelope { error: self });
    }
}
