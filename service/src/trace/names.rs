//! Every name that stands in a span. Those without `cloudach.` are OpenTelemetry's: of HTTP, of errors, and of generative
//! AI, whose conventions are not final (the repository `semantic-conventions-genai`; the crate of constants has given them
//! up, so they are written here).

/// The conventions that spans follow.
pub const SCHEMA: &str = "https://opentelemetry.io/schemas/1.42.0";

pub const ERROR_TYPE: &str = "error.type";
pub const HTTP_METHOD: &str = "http.request.method";
pub const HTTP_ROUTE: &str = "http.route";
pub const HTTP_STATUS: &str = "http.response.status_code";
pub const URL_SCHEME: &str = "url.scheme";
pub const URL_PATH: &str = "url.path";
pub const USER_AGENT: &str = "user_agent.original";
/// The key's id: a name for it, and nothing that lets anybody in.
pub const KEY_ID: &str = "enduser.pseudo.id";

pub const OPERATION: &str = "gen_ai.operation.name";
pub const PROVIDER: &str = "gen_ai.provider.name";
/// As the client names it.
pub const MODEL_ASKED: &str = "gen_ai.request.model";
/// By its id in the catalogue.
pub const MODEL_SERVED: &str = "gen_ai.response.model";
pub const CHOICES: &str = "gen_ai.request.choice.count";
pub const MAX_TOKENS: &str = "gen_ai.request.max_tokens";
pub const TEMPERATURE: &str = "gen_ai.request.temperature";
pub const TOP_P: &str = "gen_ai.request.top_p";
pub const SEED: &str = "gen_ai.request.seed";
pub const STREAM: &str = "gen_ai.request.stream";
pub const INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";
pub const OUTPUT_TOKENS: &str = "gen_ai.usage.output_tokens";
pub const CACHED_TOKENS: &str = "gen_ai.usage.cache_read.input_tokens";
pub const REASONING_TOKENS: &str = "gen_ai.usage.reasoning.output_tokens";
pub const FINISH_REASONS: &str = "gen_ai.response.finish_reasons";
/// In seconds.
pub const FIRST_CHUNK: &str = "gen_ai.response.time_to_first_chunk";

/// What was said and answered, in the conventions' JSON, redacted, and only where the tenant has it so.
pub const INPUT_MESSAGES: &str = "gen_ai.input.messages";
pub const OUTPUT_MESSAGES: &str = "gen_ai.output.messages";
/// Less of these is told than there was.
pub const TEXTS_CUT: &str = "cloudach.texts_cut";
/// What has texts of conversations in it. It is sent to the collector, and kept nowhere here.
pub const TEXTS: [&str; 2] = [INPUT_MESSAGES, OUTPUT_MESSAGES];

/// Why the spans of a request are there, besides its having been sampled: one of [`kept`].
pub const KEPT: &str = "cloudach.kept";
/// A step that did not come to its end: the client left, or what it was for was given up.
pub const BROKEN_OFF: &str = "cloudach.broken_off";
pub const TENANT: &str = "cloudach.tenant";
pub const REQUEST_ID: &str = "cloudach.request.id";
/// The error's `code` as the client is told it, or else its `type`; and its `param`.
pub const ERROR_CODE: &str = "cloudach.error.code";
pub const ERROR_PARAM: &str = "cloudach.error.param";
/// How the request ended: served, failed or abandoned.
pub const OUTCOME: &str = "cloudach.outcome";
pub const COST_USD: &str = "cloudach.cost_usd";
pub const REPLICA: &str = "cloudach.replica";
pub const ROUTER: &str = "cloudach.router";
/// What the limits hold for a request until it is over, in tokens and in dollars, and in how many limits.
pub const RESERVED_TOKENS: &str = "cloudach.reserved.tokens";
pub const RESERVED_USD: &str = "cloudach.reserved.usd";
pub const RESERVED_SCOPES: &str = "cloudach.reserved.scopes";
/// The limit that refused it.
pub const LIMIT: &str = "cloudach.limit";
pub const PROMPT_BYTES: &str = "cloudach.prompt.bytes";
pub const PROMPT_TOKENS: &str = "cloudach.prompt.tokens";
pub const BODY_BYTES: &str = "cloudach.body.bytes";
/// The model's id in the catalogue, on spans below the request's own: the conventions' attributes, which tools add up,
/// stand there alone.
pub const MODEL: &str = "cloudach.model";
/// As the engine counts, and why it ended.
pub const ENGINE_PROMPT_TOKENS: &str = "cloudach.engine.prompt_tokens";
pub const ENGINE_COMPLETION_TOKENS: &str = "cloudach.engine.completion_tokens";
pub const ENGINE_CACHED_TOKENS: &str = "cloudach.engine.cached_tokens";
pub const ENGINE_FINISH_REASON: &str = "cloudach.engine.finish_reason";
pub const CLASS: &str = "cloudach.queue.class";
/// How often the request was started on a replica, this time included.
pub const ATTEMPT: &str = "cloudach.attempt";
pub const HEDGE: &str = "cloudach.attempt.hedge";
/// How many tokens of the answer others have made before.
pub const RESUMED_TOKENS: &str = "cloudach.attempt.resumed_tokens";
pub const PICK_POLICY: &str = "cloudach.pick.policy";
pub const PICK_CANDIDATES: &str = "cloudach.pick.candidates";
/// What it costs there, in tokens of prompt that could be read meanwhile: the least is picked.
pub const PICK_SCORE: &str = "cloudach.pick.score";
pub const PICK_REASON: &str = "cloudach.pick.reason";
pub const SECONDS: &str = "cloudach.seconds";
pub const TOKENS: &str = "cloudach.tokens";
pub const MESSAGE: &str = "cloudach.message";

/// Values of [`KEPT`].
pub mod kept {
    /// It failed here.
    pub const ERROR: &str = "error";
    /// It took longer than `slow`, or its first token longer than `slow_first_token`.
    pub const SLOW: &str = "slow";
    /// More than one replica was asked.
    pub const RETRIED: &str = "retried";
    /// A process behind this one keeps its part.
    pub const BELOW: &str = "below";
}

/// Names of events.
pub mod event {
    pub const FIRST_TOKEN: &str = "first_token";
    /// Nothing came for as long as `stall`.
    pub const STALL: &str = "stall";
    /// Another replica is asked, and nobody has heard anything yet.
    pub const RETRY: &str = "retry";
    /// Another replica, or another router, goes on with an answer.
    pub const RESUME: &str = "resume";
    /// A second replica is asked at the same time.
    pub const HEDGE: &str = "hedge";
    /// Another model of the route is asked.
    pub const FALLBACK: &str = "fallback";
}
