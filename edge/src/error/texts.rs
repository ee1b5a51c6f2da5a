//! The longer texts of errors. Those that OpenAI has are its own to the letter, with the links that the configuration
//! names.

use super::Words;
use crate::access::limits::{Exceeded, GoDuration, Measure, Refused};

pub const NOT_A_CHAT_MODEL: &str = "This is not a chat model and thus not supported in the v1/chat/completions endpoint. \
                                    Did you mean to use v1/completions?";
pub const BODY_TOO_SLOW: &str = "The request body did not arrive in time. Please send it again.";
pub const FULL: &str = "The engine is currently overloaded, please try again later";
pub const NO_ROUTER: &str = "The service is starting or a part of it is away. Please try again.";
pub const INVALID_IDEMPOTENCY_KEY: &str =
    "Invalid 'Idempotency-Key' header: expected one value of 1 to 255 printable ASCII characters.";
pub const IDEMPOTENCY_KEY_IN_USE: &str =
    "A request with the same 'Idempotency-Key' is in progress. Please try again when it is over.";
pub const IDEMPOTENCY_KEY_REUSED: &str =
    "This 'Idempotency-Key' was used for a request with another body. Please use a new one for each new request.";
pub const KEYS_AWAY: &str = "Your API key cannot be looked up right now. Please try again.";
pub const RESPONSES_AWAY: &str = "Responses cannot be looked up or kept right now. Please try again.";
pub const FILES_AWAY: &str = "Files and batches cannot be looked up or kept right now. Please try again.";
pub const CONVERSATIONS_AWAY: &str = "Conversations cannot be looked up or kept right now. Please try again.";
pub const ISSUER_AWAY: &str = "Your access token cannot be checked right now. Please try again.";
pub const WRONG_ADDRESS: &str = "Your request's IP address is none of those from which this API key may be used.";
pub const MODEL_UNAVAILABLE: &str =
    "This model is not available right now: none of its replicas is ready. You can retry your request.";
pub const TOOK_TOO_LONG: &str = "The request took longer than this server allows.";

/// Where responses are asked for.
pub const NO_BEARER: &str = "Missing bearer or basic authentication in header";

pub fn no_key(words: &Words<'_>) -> String {
    format!(
        "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth \
         (i.e. Authorization: Bearer YOUR_KEY), or as the password field (with blank username) if you're accessing the \
         API from your browser and are prompted for a username and password. You can obtain an API key from {}.",
        words.links.api_keys
    )
}

pub fn wrong_key(masked: &str, words: &Words<'_>) -> String {
    format!("Incorrect API key provided: {masked}. You can find your API key at {}.", words.links.api_keys)
}

pub fn quota(words: &Words<'_>) -> String {
    format!(
        "You exceeded your current quota, please check your plan and billing details. For more information on this error, \
         read the docs: {}.",
        words.links.quota
    )
}

pub fn rate_limit(exceeded: &Exceeded, model: &str, organization: &str, words: &Words<'_>) -> String {
    let Exceeded { measure, limit, requested, refused } = exceeded;
    let what = match measure {
        Measure::RequestsPerMinute => "requests per min (RPM)",
        Measure::TokensPerMinute => "tokens per min (TPM)",
        Measure::RequestsPerDay => "requests per day (RPD)",
        Measure::TokensPerDay => "tokens per day (TPD)",
        Measure::Concurrent => "concurrent requests",
        Measure::Budget => "budget",
    };
    let link = &words.links.rate_limits;
    match refused {
        Refused::TooLarge => format!(
            "Request too large for {model} in organization {organization} on {what}: Limit {limit}, Requested {requested}. \
             The input or output tokens must be reduced in order to run successfully. Visit {link} to learn more."
        ),
        Refused::NotYet { used, .. } => format!(
            "Rate limit reached for {model} in organization {organization} on {what}: Limit {limit}, Used {used}, \
             Requested {requested}. Please try again in {}. Visit {link} to learn more.",
            GoDuration(exceeded.wait().unwrap_or_default())
        ),
    }
}

pub fn unknown_url(method: &str, path: &str, words: &Words<'_>) -> String {
    format!(
        "Unknown request URL: {method} {path}. Please check the URL for typos, or see the docs at {}.",
        words.links.api_reference
    )
}

pub fn wrong_method(method: &str, path: &str) -> String {
    format!("Not allowed to {method} on {path}. (HINT: Perhaps you meant to use a different HTTP method?)")
}

pub fn unknown_model(model: &str) -> String {
    format!("The model `{model}` does not exist or you do not have access to it.")
}

pub fn model_not_allowed(project: &str, model: &str) -> String {
    format!("Project `{project}` does not have access to model `{model}`")
}

pub fn body_too_large(limit: usize) -> String {
    format!("The request body is larger than the {limit} bytes this server accepts.")
}

pub fn broken_template(error: &str) -> String {
    format!("This model is not ready: its chat template cannot be used: {error}")
}

pub fn failed(words: &Words<'_>) -> String {
    format!("The server had an error while processing your request. Sorry about that! {}", retry_or_ask(words))
}

pub fn overloaded(words: &Words<'_>) -> String {
    format!("That model is currently overloaded with other requests. {}", retry_or_ask(words))
}

fn retry_or_ask(words: &Words<'_>) -> String {
    let Words { links, request_id, .. } = words;
    format!(
        "You can retry your request, or contact us through our help center at {} if the error persists. (Please include \
         the request ID {request_id} in your message.)",
        links.help_center
    )
}
