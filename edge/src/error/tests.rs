//! Walks every error there is.

use std::time::Duration;

use cloudach_proto::v1::ErrorCode;
use serde_json::{Map, Value, json};

use super::{retry::Retry, *};
use crate::access::limits::{Measure, Refused};

/// Samples of every variant. The patterns are matched exhaustively: a new variant without a sample does not compile.
macro_rules! every_error {
    ($($pattern:pat => $samples:expr;)*) => {
        fn every_error() -> Vec<ApiError> {
            fn _none_is_missing(error: &ApiError) {
                match error { $($pattern => {})* }
            }
            let mut errors = Vec::new();
            $(errors.extend($samples);)*
            errors
        }
    };
}

every_error! {
    ApiError::NoKey(_) => [ApiError::NoKey(Door::Usual), ApiError::NoKey(Door::OfResponses)];
    ApiError::WrongKey(..) => [Door::Usual, Door::OfResponses].map(|door| ApiError::WrongKey("sk-abcde****wxyz".to_owned(), door));
    ApiError::Suspended => [ApiError::Suspended];
    ApiError::Keys(_) => [ApiError::Keys(crate::store::Away::Disconnected)];
    ApiError::NoIssuerKeys => [ApiError::NoIssuerKeys];
    ApiError::WrongAddress => [ApiError::WrongAddress];
    ApiError::ModelNotAllowed { .. } => [
        ApiError::ModelNotAllowed { project: "default".to_owned(), model: "m".to_owned() }
    ];
    ApiError::RateLimited { .. } => rate_limits();
    ApiError::Invalid(_) => [ApiError::Invalid(Invalid::chat_context_length(8192, 9000, None))];
    ApiError::BodyTooLarge(_) => [ApiError::BodyTooLarge(1024)];
    ApiError::BodyTooSlow => [ApiError::BodyTooSlow];
    ApiError::BodyBroken => [ApiError::BodyBroken];
    ApiError::InvalidIdempotencyKey => [ApiError::InvalidIdempotencyKey];
    ApiError::IdempotencyKeyInUse => [ApiError::IdempotencyKeyInUse];
    ApiError::IdempotencyKeyReused => [ApiError::IdempotencyKeyReused];
    ApiError::UnknownModel(_) => [ApiError::UnknownModel("m".to_owned())];
    ApiError::NoSuchModel(_) => [ApiError::NoSuchModel("m".to_owned())];
    ApiError::NoSuchResponse(_) => [ApiError::NoSuchResponse("resp_1".to_owned())];
    ApiError::Responses(_) => [ApiError::Responses(crate::store::Away::Disconnected)];
    ApiError::NoSuchFile(_) => [ApiError::NoSuchFile("file-1".to_owned())];
    ApiError::NoSuchBatch(_) => [ApiError::NoSuchBatch("batch_1".to_owned())];
    ApiError::NotToCancel(_) => [ApiError::NotToCancel("completed")];
    ApiError::Files(_) => [ApiError::Files(crate::store::Away::Disconnected)];
    ApiError::NoSuchConversation(_) => [ApiError::NoSuchConversation("conv_1".to_owned())];
    ApiError::NoSuchItem(_) => [ApiError::NoSuchItem("msg_1".to_owned())];
    ApiError::Conversations(_) => [ApiError::Conversations(crate::store::Away::Disconnected)];
    ApiError::CannotGenerate => [ApiError::CannotGenerate];
    ApiError::CannotChat => [ApiError::CannotChat];
    ApiError::CannotEmbed => [ApiError::CannotEmbed];
    ApiError::CannotScore => [ApiError::CannotScore];
    ApiError::CannotTokenize => [ApiError::CannotTokenize];
    ApiError::BrokenTemplate(_) => [ApiError::BrokenTemplate("unknown tag".to_owned())];
    ApiError::UnknownUrl { .. } => ["/v1/x", "/x"].map(|path| ApiError::UnknownUrl { method: "POST".to_owned(), path: path.to_owned() });
    ApiError::WrongMethod { .. } => [ApiError::WrongMethod { method: "GET".to_owned(), path: "/v1/embeddings".to_owned() }];
    ApiError::Full => [ApiError::Full];
    ApiError::NoRouter => [ApiError::NoRouter];
    ApiError::Upstream(_) => engine_failures();
    ApiError::Internal(_) => [ApiError::Internal("a fault")];
}

#[test]
fn every_error_has_the_envelope_the_types_and_the_retry_headers_of_openai() {
    const TYPES: [&str; 5] = ["invalid_request_error", "requests", "tokens", "insufficient_quota", "server_error"];
    for error in every_error() {
        let named = format!("{error:?}");
        let (response, body) = shown(error);
        let error = &body["error"];
        assert_eq!(keys(&body), ["error"], "{named}");
        assert_eq!(keys(error), ["message", "type", "param", "code"], "{named}");
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{named}");
        assert!(TYPES.contains(&error["type"].as_str().unwrap()), "{named}");
        assert!(["param", "code"].iter().all(|key| error[key].is_string() || error[key].is_null()), "{named}");

        let (status, header) = (response.status().as_u16(), |name| response.headers().get(name).map(text));
        assert!((400..600).contains(&status), "{named}");
        let retried_by_sdks = matches!(status, 408 | 409 | 429) || status >= 500;
        match header("x-should-retry") {
            None => assert!(!retried_by_sdks && header("retry-after").is_none(), "{named}"),
            Some("false") => assert!(retried_by_sdks && header("retry-after").is_none(), "{named}"),
            Some("true") => {
                let seconds: u64 = header("retry-after").unwrap().parse().unwrap();
                let milliseconds: u64 = header("retry-after-ms").unwrap().parse().unwrap();
                assert!(retried_by_sdks && (1..=60).contains(&seconds), "{named}");
                assert_eq!(seconds, milliseconds.div_ceil(1000), "{named}");
            }
            Some(other) => panic!("{named}: {other}"),
        }
        let server = status >= 500;
        assert_eq!(error["type"] == "server_error", server, "{named}");
    }
}

#[test]
fn an_error_inside_a_stream_is_the_same_error() {
    for (before, inside) in every_error().into_iter().zip(every_error()) {
        let links = Links::default();
        let mut event = Vec::new();
        inside.told(&Words { links: &links, request_id: "req_1", trace_id: None }).event(&mut event);
        let event = std::str::from_utf8(&event).unwrap().strip_prefix("data: ").unwrap();
        let json = event.strip_suffix("\n\n").unwrap();
        assert_eq!(serde_json::from_str::<Value>(json).unwrap(), shown(before).1);
    }
}

/// A row as a client sees it: status, type, param, code, `x-should-retry`, how far the request came, how the text begins.
type Seen<'a, Retry = Option<&'a str>> = (u16, &'a str, Option<&'a str>, Option<&'a str>, Retry, Reach, &'a str);

/// `x-should-retry` of a failure that lasts, and of one that passes.
type Both<'a> = [Option<&'a str>; 2];

const INVALID: &str = "invalid_request_error";
const SERVER: &str = "server_error";

#[test]
fn the_rows_of_the_edge_are_as_documented() {
    use Reach::{Account, Engine, Gate, Models};
    let no_model = Some("model_not_found");
    let rate = Some("rate_limit_exceeded");
    let quota = "insufficient_quota";
    let expected: [Seen<'_>; 42] = [
        (401, INVALID, None, None, None, Gate, "You didn't provide an API key."),
        (401, INVALID, None, None, None, Models, "Missing bearer or basic authentication in header"),
        (401, INVALID, None, Some("invalid_api_key"), None, Gate, "Incorrect API key provided: sk-abcde****wxyz."),
        (401, INVALID, None, Some("invalid_api_key"), None, Models, "Incorrect API key provided: sk-abcde****wxyz."),
        (429, quota, None, Some(quota), Some("false"), Gate, "You exceeded your current quota"),
        (503, SERVER, None, None, Some("true"), Gate, "Your API key cannot be looked up right now."),
        (503, SERVER, None, None, Some("true"), Gate, "Your access token cannot be checked right now."),
        (401, INVALID, None, Some("ip_not_authorized"), None, Gate, "Your request's IP address is none of those"),
        (403, INVALID, None, no_model, None, Gate, "Project `default` does not have access to model `m`"),
        (429, "tokens", None, rate, Some("true"), Engine, "Rate limit reached for gpt-4o"),
        (429, "requests", None, rate, Some("true"), Engine, "Rate limit reached for gpt-4o"),
        (429, "tokens", None, rate, Some("false"), Engine, "Request too large for gpt-4o"),
        (400, INVALID, Some("messages"), Some("context_length_exceeded"), None, Engine, "This model's maximum context"),
        (413, INVALID, None, None, None, Gate, "The request body is larger than the 1024 bytes"),
        (408, INVALID, None, None, Some("true"), Gate, "The request body did not arrive in time."),
        (400, INVALID, None, None, None, Engine, "The request body could not be read."),
        (400, INVALID, None, Some("invalid_idempotency_key"), None, Engine, "Invalid 'Idempotency-Key' header"),
        (
            409,
            INVALID,
            None,
            Some("idempotency_key_in_use"),
            Some("true"),
            Engine,
            "A request with the same 'Idempotency-Key' is in progress.",
        ),
        (422, INVALID, None, Some("idempotency_key_reused"), None, Engine, "This 'Idempotency-Key' was used"),
        (404, INVALID, None, no_model, None, Gate, "The model `m` does not exist or you do not have access to it."),
        (404, INVALID, Some("model"), no_model, None, Account, "The model 'm' does not exist"),
        (404, INVALID, None, None, None, Account, "Response with id 'resp_1' not found."),
        (503, SERVER, None, None, Some("true"), Engine, "Responses cannot be looked up or kept right now."),
        (404, INVALID, Some("id"), None, None, Account, "No such File object: file-1"),
        (404, INVALID, None, None, None, Account, "No batch found with id 'batch_1'."),
        (409, INVALID, None, None, Some("false"), Engine, "Cannot cancel a batch with status 'completed'."),
        (503, SERVER, None, None, Some("true"), Engine, "Files and batches cannot be looked up or kept right now."),
        (404, INVALID, None, None, None, Account, "Conversation with id 'conv_1' not found."),
        (404, INVALID, None, None, None, Account, "Item with id 'msg_1' not found."),
        (503, SERVER, None, None, Some("true"), Engine, "Conversations cannot be looked up or kept right now."),
        (403, INVALID, None, None, None, Gate, "You are not allowed to sample from this model"),
        (404, INVALID, Some("model"), None, None, Engine, "This is not a chat model"),
        (403, INVALID, None, None, None, Gate, "You are not allowed to generate embeddings from this model"),
        (403, INVALID, None, None, None, Gate, "You are not allowed to rerank or score with this model"),
        (403, INVALID, None, None, None, Gate, "You are not allowed to read the tokens of this model"),
        (
            503,
            SERVER,
            None,
            None,
            Some("false"),
            Engine,
            "This model is not ready: its chat template cannot be used: unknown tag",
        ),
        (404, INVALID, None, None, None, Gate, "Invalid URL (POST /v1/x)"),
        (404, INVALID, None, Some("unknown_url"), None, Gate, "Unknown request URL: POST /x."),
        (405, INVALID, None, None, None, Gate, "Not allowed to GET on /v1/embeddings."),
        (503, SERVER, None, None, Some("true"), Engine, "The engine is currently overloaded"),
        (503, SERVER, None, None, Some("true"), Engine, "The service is starting"),
        (500, SERVER, None, None, Some("true"), Engine, "The server had an error while processing your request."),
    ];
    let errors: Vec<_> = every_error().into_iter().filter(|error| !matches!(error, ApiError::Upstream(_))).collect();
    assert_eq!(errors.len(), expected.len());
    for (error, expected) in errors.into_iter().zip(expected) {
        assert_row(error, expected);
    }
}

#[test]
fn the_rows_of_the_engine_are_as_documented() {
    use ErrorCode as E;
    use Reach::{Engine, Gate};
    let (n, own) = (Some("n"), "the engine says no");
    let broken = "The server had an error while";
    let (never, soon, as_told) = ([Some("false"); 2], [Some("true"); 2], [Some("false"), Some("true")]);
    let expected: [(E, Seen<'_, Both<'_>>); 14] = [
        (E::Unspecified, (500, SERVER, None, None, as_told, Engine, broken)),
        (E::InvalidRequest, (400, INVALID, n, None, [None; 2], Engine, own)),
        (E::Unsupported, (400, INVALID, n, Some("unsupported_parameter"), [None; 2], Engine, own)),
        (E::ContextLengthExceeded, (400, INVALID, n, Some("context_length_exceeded"), [None; 2], Engine, own)),
        (E::ModelNotFound, (404, INVALID, None, Some("model_not_found"), [None; 2], Gate, own)),
        (E::ModelUnavailable, (503, SERVER, None, None, soon, Engine, "This model is not available right now")),
        (E::Overloaded, (503, SERVER, None, None, soon, Engine, "That model is currently overloaded")),
        (E::ReplicaLost, (503, SERVER, None, None, soon, Engine, broken)),
        (E::EngineFailed, (500, SERVER, None, None, as_told, Engine, broken)),
        (E::EngineOutOfMemory, (503, SERVER, None, None, soon, Engine, broken)),
        (E::DeadlineExceeded, (504, SERVER, None, None, never, Engine, "The request took longer than")),
        (E::SlowReader, (500, SERVER, None, None, as_told, Engine, broken)),
        (E::ShuttingDown, (503, SERVER, None, None, soon, Engine, broken)),
        (E::Internal, (500, SERVER, None, None, as_told, Engine, broken)),
    ];
    let codes: Vec<_> = every_code().collect();
    assert_eq!(expected.map(|(code, _)| code).to_vec(), codes);
    for (code, (status, kind, param, text_code, retries, reach, start)) in expected {
        for (failed, retry) in failures(code).into_iter().zip(retries) {
            assert_row(failed.into(), (status, kind, param, text_code, retry, reach, start));
        }
    }
}

fn assert_row(error: ApiError, (status, kind, param, code, retry, reach, start): Seen<'_>) {
    let named = format!("{error:?}");
    let (response, body) = shown(error);
    let error = &body["error"];
    let expected = (status, json!(kind), json!(param), json!(code));
    let field = |name: &str| error[name].clone();
    assert_eq!((response.status().as_u16(), field("type"), field("param"), field("code")), expected, "{named}");
    assert_eq!(response.headers().get("x-should-retry").map(text), retry, "{named}");
    assert_eq!(response.extensions().get(), Some(&reach), "{named}");
    assert!(error["message"].as_str().unwrap().starts_with(start), "{named}: {error}");
}

/// The texts that tools compare as a whole.
#[test]
fn whole_texts_are_openais() {
    let [tokens, requests, too_large] = rate_limits();
    for (error, text) in [
        (
            ApiError::NoKey(Door::Usual),
            "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY), or as the password field (with blank username) if you're accessing the API from your browser and are prompted for a username and password. You can obtain an API key from https://platform.openai.com/account/api-keys.",
        ),
        (ApiError::NoKey(Door::OfResponses), "Missing bearer or basic authentication in header"),
        (
            ApiError::WrongKey("sk-confo***0000".to_owned(), Door::Usual),
            "Incorrect API key provided: sk-confo***0000. You can find your API key at https://platform.openai.com/account/api-keys.",
        ),
        (
            ApiError::Suspended,
            "You exceeded your current quota, please check your plan and billing details. For more information on this error, read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors.",
        ),
        (
            tokens,
            "Rate limit reached for gpt-4o in organization org-X on tokens per min (TPM): Limit 30000, Used 29937, Requested 385. Please try again in 644ms. Visit https://platform.openai.com/account/rate-limits to learn more.",
        ),
        (
            requests,
            "Rate limit reached for gpt-4o in organization org-X on requests per min (RPM): Limit 3, Used 3, Requested 1. Please try again in 20s. Visit https://platform.openai.com/account/rate-limits to learn more.",
        ),
        (
            too_large,
            "Request too large for gpt-4o in organization org-X on tokens per min (TPM): Limit 30000, Requested 30601. The input or output tokens must be reduced in order to run successfully. Visit https://platform.openai.com/account/rate-limits to learn more.",
        ),
        (
            ApiError::UnknownUrl { method: "POST".to_owned(), path: "/x".to_owned() },
            "Unknown request URL: POST /x. Please check the URL for typos, or see the docs at https://platform.openai.com/docs/api-reference/.",
        ),
        (
            ApiError::Internal("a fault"),
            "The server had an error while processing your request. Sorry about that! You can retry your request, or contact us through our help center at help.openai.com if the error persists. (Please include the request ID req_1 in your message.)",
        ),
        (
            Failed::retryable(ErrorCode::Overloaded, "").into(),
            "That model is currently overloaded with other requests. You can retry your request, or contact us through our help center at help.openai.com if the error persists. (Please include the request ID req_1 in your message.)",
        ),
    ] {
        assert_eq!(shown(error).1["error"]["message"], text);
    }
}

#[test]
fn links_are_the_operators() {
    let links = Links {
        api_keys: "https://keys".to_owned(),
        rate_limits: "https://limits".to_owned(),
        quota: "https://quota".to_owned(),
        api_reference: "https://reference".to_owned(),
        help_center: "#help".to_owned(),
    };
    for error in every_error() {
        let row = Row::of(&error, &Words { links: &links, request_id: "req_1", trace_id: None });
        assert!(!row.message.contains("openai.com"), "{}", row.message);
    }
}

#[test]
fn an_engines_advice_is_passed_on() {
    let failed = Failed { retry_after_ms: 700, ..Failed::retryable(ErrorCode::ModelUnavailable, "waking up") };
    let row = Row::of(&failed.into(), &Words { links: &Links::default(), request_id: "req_1", trace_id: None });
    assert_eq!(row.retry, Retry::After(Duration::from_millis(700)));
}

fn rate_limits() -> [ApiError; 3] {
    let exceeded = |measure, limit, requested, refused| ApiError::RateLimited {
        exceeded: Exceeded { measure, limit, requested, refused },
        model: "gpt-4o".to_owned(),
        organization: "org-X".to_owned(),
    };
    let not_yet = |used, ms| Refused::NotYet { used, wait: Duration::from_millis(ms) };
    [
        exceeded(Measure::TokensPerMinute, 30_000, 385, not_yet(29_937, 644)),
        exceeded(Measure::RequestsPerMinute, 3, 1, not_yet(3, 20_000)),
        exceeded(Measure::TokensPerMinute, 30_000, 30_601, Refused::TooLarge),
    ]
}

fn engine_failures() -> impl Iterator<Item = ApiError> {
    every_code().flat_map(failures).map(ApiError::from)
}

/// One that lasts and one that passes.
fn failures(code: ErrorCode) -> [Failed; 2] {
    let failed = Failed::new(code, "the engine says no").with_param("n");
    [failed.clone(), Failed { retryable: true, ..failed }]
}

/// Codes are numbered without a gap.
fn every_code() -> impl Iterator<Item = ErrorCode> {
    (0..).map_while(|number| ErrorCode::try_from(number).ok())
}

fn shown(error: ApiError) -> (axum::http::Response<()>, Value) {
    let links = Links::default();
    let response = put_into_words(
        error.into_response(),
        &Words { links: &links, request_id: "req_1", trace_id: None },
        Dialect::OpenAi,
    );
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX);
    let body = futures_util::FutureExt::now_or_never(body).unwrap().unwrap();
    (axum::http::Response::from_parts(parts, ()), serde_json::from_slice(&body).unwrap())
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().map(Map::keys).unwrap().map(String::as_str).collect()
}

fn text(value: &HeaderValue) -> &str {
    value.to_str().unwrap()
}
