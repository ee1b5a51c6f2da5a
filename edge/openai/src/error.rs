//! The one error envelope: always the same four keys, text or `null`.

use serde::Serialize;

use crate::json;

#[derive(Serialize)]
struct Envelope<'a> {
    error: Body<'a>,
}

#[derive(Serialize)]
struct Body<'a> {
    message: &'a str,
    r#type: &'a str,
    param: Option<&'a str>,
    code: Option<&'a str>,
}

/// The body of an answer that is an error.
pub fn error_body(message: &str, kind: &str, param: Option<&str>, code: Option<&str>) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out, message, kind, param, code);
    out
}

/// The event that ends a stream which failed after it began.
pub fn error_event(message: &str, kind: &str, param: Option<&str>, code: Option<&str>) -> Vec<u8> {
    let mut out = b"data: ".to_vec();
    write(&mut out, message, kind, param, code);
    out.extend_from_slice(b"\n\n");
    out
}

fn write(out: &mut Vec<u8>, message: &str, kind: &str, param: Option<&str>, code: Option<&str>) {
    json::write(out, &Envelope { error: Body { message, r#type: kind, param, code } });
}
