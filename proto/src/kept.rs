//! A request as it is kept while its answer is on its way, for whoever goes on with it when the one that runs it is lost.

use prost::Message;

use crate::v1::GenerateRequest;

/// A request as it is sent: a third of what it takes as it is worked with, and most of them are never asked for again.
#[derive(Debug)]
pub struct Kept(Box<[u8]>);

impl Kept {
    /// Keeps this one.
    pub fn of(request: &GenerateRequest) -> Self {
        Self(request.encode_to_vec().into_boxed_slice())
    }

    /// The request as it was.
    pub fn request(&self) -> GenerateRequest {
        // Nobody has written to it in between.
        GenerateRequest::decode(&*self.0).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::{Prompt, PromptText, RequestContext, prompt};

    #[test]
    fn it_is_given_back_as_it_was() {
        let text = PromptText { text: "x".repeat(100_000), add_special_tokens: true };
        let request = GenerateRequest {
            request_id: "req_1-0".to_owned(),
            prompt: Some(Prompt { prompt: Some(prompt::Prompt::Text(text)) }),
            context: Some(RequestContext { timeout_ms: 7, ..RequestContext::default() }),
            ..GenerateRequest::default()
        };
        assert_eq!(Kept::of(&request).request(), request);
        assert_eq!(Kept::of(&GenerateRequest::default()).request(), GenerateRequest::default());
    }
}
