//! What travels to the engine in headers: the request's name and its trace.

use cloudach_proto::v1::RequestContext;
use http::{HeaderMap, HeaderName, HeaderValue};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The headers of a request. What is empty, or cannot stand in a header, is left out.
pub(super) fn of(request_id: &str, context: Option<&RequestContext>) -> HeaderMap {
    let (traceparent, tracestate) =
        context.map_or(("", ""), |context| (context.traceparent.as_str(), context.tracestate.as_str()));
    [(REQUEST_ID, request_id), (TRACEPARENT, traceparent), (TRACESTATE, tracestate)]
        .into_iter()
        .filter(|(_, text)| !text.is_empty())
        .filter_map(|(name, text)| Some((name, HeaderValue::from_str(text).ok()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_stand_in_a_header_is_left_out() {
        let context = RequestContext { traceparent: "00-ab-cd-01".into(), ..RequestContext::default() };
        let headers = of("line\nbreak", Some(&context));
        assert_eq!(headers.len(), 1);
        assert_eq!(headers[TRACEPARENT], "00-ab-cd-01");
        assert_eq!(of("r-1", None)[REQUEST_ID], "r-1");
    }
}
