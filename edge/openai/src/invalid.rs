//! The one error of this crate: a client's mistake, in OpenAI's words.
//!
//! Clients match on these texts, so they are kept to the letter. What a client
//! wrote is repeated in them only up to a bound.

use std::fmt::Display;

/// A request that cannot be served as it is, and what to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Invalid {
    /// For the person who reads the error.
    pub message: String,
    /// The parameter to blame, as a path into the request.
    pub param: Option<String>,
    /// For the program that reads the error.
    pub code: Option<&'static str>,
}

impl Invalid {
    /// The prompt of a chat does not fit. `completion` is what the client asked for on top of it.
    pub fn chat_context_length(limit: u64, prompt: u64, completion: Option<u64>) -> Self {
        let message = match completion {
            None => format!(
                "This model's maximum context length is {limit} tokens. However, your messages resulted in {prompt} tokens. \
                 Please reduce the length of the messages."
            ),
            Some(completion) => format!(
                "This model's maximum context length is {limit} tokens. However, you requested {total} tokens ({prompt} in the \
                 messages, {completion} in the completion). Please reduce the length of the messages or completion.",
                total = prompt.saturating_add(completion)
            ),
        };
        Self::new(message).param("messages").code("context_length_exceeded")
    }

    /// The prompt of a completion or the input of an embedding does not fit.
    pub fn prompt_context_length(limit: u64, prompt: u64, completion: u64) -> Self {
        let total = prompt.saturating_add(completion);
        Self::new(format!(
            "This model's maximum context length is {limit} tokens, however you requested {total} tokens ({prompt} in your \
             prompt; {completion} for the completion). Please reduce your prompt; or completion length."
        ))
    }

    /// The input of a response does not fit.
    pub fn input_context_length() -> Self {
        Self::new("Your input exceeds the context window of this model. Please adjust your input and try again.")
            .param("input")
            .code("context_length_exceeded")
    }

    /// The response that is to be gone on from is not there.
    pub fn no_previous_response(id: &str) -> Self {
        Self::new(format!("Previous response with id '{}' not found.", shorten(id)))
            .param("previous_response_id")
            .code("previous_response_not_found")
    }

    /// The response that is to be gone on from is not over.
    pub fn previous_in_progress(id: &str) -> Self {
        Self::new(format!("Previous response with id '{}' is still in progress.", shorten(id)))
            .param("previous_response_id")
            .code("invalid_value")
    }

    /// Nobody waits for the response, and its request is too large to be kept.
    pub fn too_large_to_keep(most: usize) -> Self {
        Self::new(format!(
            "Invalid 'background': a request of more than {most} bytes cannot be kept. Ask for it without 'background'."
        ))
        .param("background")
        .code("invalid_value")
    }

    /// A request goes on from more than is looked up for one.
    pub fn too_many_before(param: &str, most: usize) -> Self {
        Self::new(format!(
            "Invalid '{param}': more than {most} responses would have to be looked up. Send the conversation's items instead."
        ))
        .param(param)
        .code("invalid_value")
    }

    /// A parameter of a URL's query is not what it should be.
    pub fn query(name: &str, expected: &str) -> Self {
        Self::new(format!("Invalid value for '{name}': expected {expected}.")).param(name).code("invalid_value")
    }

    /// A URL's query cannot be read.
    pub fn query_string(why: impl Display) -> Self {
        Self::new(format!("Invalid query string: {why}."))
    }

    /// A parameter of a URL's query that only streams have.
    pub fn only_streamed(name: &str) -> Self {
        Self::new(format!("The '{name}' parameter is only allowed when 'stream' is enabled.")).param(name)
    }

    /// Only responses that nobody waits for are ended like that: all others end with their connection.
    pub fn not_in_background() -> Self {
        Self::new("Cannot cancel a synchronous response.")
    }

    /// An item that is referred to is not there.
    pub fn no_item(id: &str) -> Self {
        Self::new(format!("Item with id '{}' not found.", shorten(id))).param("input")
    }

    /// This server keeps no conversations.
    pub fn no_conversations() -> Self {
        Self::new("This server keeps no conversations.")
    }

    /// A conversation takes no more items.
    pub fn conversation_full(items: usize, bytes: usize) -> Self {
        Self::new(format!(
            "This conversation is full: it may have {items} items of {bytes} bytes together. Delete items from it, or begin \
             another one."
        ))
        .param("conversation")
        .code("conversation_full")
    }

    /// An item is in its conversation already.
    pub fn duplicate_item(id: &str) -> Self {
        Self::new(format!(
            "Duplicate item found with id {}. Remove duplicate items from your input and try again.",
            shorten(id)
        ))
        .param("input")
    }

    pub(crate) fn only_one_to_go_on_from() -> Self {
        Self::new(
            "Mutually exclusive parameters. Ensure you are only providing one of: 'previous_response_id' or 'conversation'.",
        )
        .code("mutually_exclusive_parameters")
    }

    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), param: None, code: None }
    }

    pub(crate) fn param(mut self, param: impl Display) -> Self {
        self.param = Some(param.to_string());
        self
    }

    pub(crate) fn code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    pub(crate) fn malformed() -> Self {
        Self::new(
            "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library \
             correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON. If you have trouble \
             figuring out how to fix this, please contact us through our help center at help.openai.com.)",
        )
    }

    pub(crate) fn missing(path: impl Display) -> Self {
        Self::new(format!("Missing required parameter: '{path}'.")).param(path).code("missing_required_parameter")
    }

    pub(crate) fn wrong_type(path: impl Display, expected: &str, got: &str) -> Self {
        Self::new(format!("Invalid type for '{path}': expected {expected}, but got {got} instead."))
            .param(path)
            .code("invalid_type")
    }

    pub(crate) fn wrong_value(path: impl Display, got: &str, supported: &[&str]) -> Self {
        Self::new(format!("Invalid value: '{}'. Supported values are: {}.", shorten(got), listed(supported)))
            .param(path)
            .code("invalid_value")
    }

    pub(crate) fn empty_array(path: impl Display) -> Self {
        Self::new(format!(
            "Invalid '{path}': empty array. Expected an array with minimum length 1, but got an empty array instead."
        ))
        .param(path)
        .code("empty_array")
    }

    pub(crate) fn empty_string(path: impl Display) -> Self {
        Self::new(format!(
            "Invalid '{path}': empty string. Expected a string with minimum length 1, but got an empty string instead."
        ))
        .param(path)
        .code("empty_string")
    }

    pub(crate) fn array_too_long(path: impl Display, most: usize, got: usize) -> Self {
        Self::new(format!(
            "Invalid '{path}': array too long. Expected an array with maximum length {most}, but got an array with length \
             {got} instead."
        ))
        .param(path)
        .code("array_above_max_length")
    }

    pub(crate) fn string_too_long(path: impl Display, most: usize, got: usize) -> Self {
        Self::new(format!(
            "Invalid '{path}': string too long. Expected a string with maximum length {most}, but got a string with length \
             {got} instead."
        ))
        .param(path)
        .code("string_above_max_length")
    }

    pub(crate) fn too_many_properties(path: impl Display, most: usize, got: usize) -> Self {
        Self::new(format!(
            "Invalid '{path}': too many properties. Expected an object with at most {most} properties, but got an object with \
             {got} properties instead."
        ))
        .param(path)
        .code("object_above_max_properties")
    }

    pub(crate) fn property_name_too_long(path: impl Display, name: &str, most: usize, got: usize) -> Self {
        // OpenAI shows both ends of the name.
        let characters: Vec<char> = name.chars().collect();
        let head: String = characters.iter().take(3).collect();
        let tail: String = characters.iter().skip(characters.len().saturating_sub(3)).collect();
        Self::new(format!(
            "Invalid property name in '{path}': '{head}...{tail}' is too long. Expected a string with maximum length {most}, \
             but got a string with length {got} instead."
        ))
        .param(format_args!("{path}.{}", shorten(name)))
        .code("property_name_above_max_length")
    }

    pub(crate) fn pattern(path: impl Display, pattern: &str) -> Self {
        Self::new(format!(
            "Invalid '{path}': string does not match pattern. Expected a string that matches the pattern '{pattern}'."
        ))
        .param(path)
        .code("invalid_value")
    }

    pub(crate) fn integer_below(path: impl Display, least: i64, got: impl Display) -> Self {
        Self::new(format!(
            "Invalid '{path}': integer below minimum value. Expected a value >= {least}, but got {got} instead."
        ))
        .param(path)
        .code("integer_below_min_value")
    }

    pub(crate) fn integer_above(path: impl Display, most: i64, got: impl Display) -> Self {
        Self::new(format!(
            "Invalid '{path}': integer above maximum value. Expected a value <= {most}, but got {got} instead."
        ))
        .param(path)
        .code("integer_above_max_value")
    }

    pub(crate) fn decimal_below(path: impl Display, least: impl Display, got: impl Display) -> Self {
        Self::new(format!(
            "Invalid '{path}': decimal below minimum value. Expected a value {least}, but got {got} instead."
        ))
        .param(path)
        .code("decimal_below_min_value")
    }

    pub(crate) fn decimal_above(path: impl Display, most: f64, got: impl Display) -> Self {
        Self::new(format!(
            "Invalid '{path}': decimal above maximum value. Expected a value <= {most}, but got {got} instead."
        ))
        .param(path)
        .code("decimal_above_max_value")
    }

    /// A function that must be called is not among those that are offered in `offer`.
    pub(crate) fn no_function(name: &str, choice: &str, offer: &str) -> Self {
        Self::new(format!(
            "Invalid value for '{choice}': no function named '{}' was specified in the '{offer}' parameter.",
            shorten(name)
        ))
        .param(choice)
    }

    /// A tool that may be called is not among those that are offered.
    pub(crate) fn no_allowed_tool(name: &str) -> Self {
        Self::new(format!("Tool choice '{}' not found in 'tools' parameter.", shorten(name))).param("tool_choice")
    }

    /// A top-level argument that no endpoint of this kind has.
    pub(crate) fn unrecognized(name: &str) -> Self {
        Self::new(format!("Unrecognized request argument supplied: {}", shorten(name)))
    }

    /// A field inside an argument that does not belong there.
    pub(crate) fn unknown(path: impl Display) -> Self {
        Self::new(format!("Unknown parameter: '{path}'.")).param(path).code("unknown_parameter")
    }

    /// An argument that exists and that the gateway cannot honour. `hint` says what to do instead.
    pub(crate) fn unsupported(path: impl Display, hint: &str) -> Self {
        let gap = if hint.is_empty() { "" } else { " " };
        Self::new(format!("Unsupported parameter: '{path}' is not supported with this model.{gap}{hint}"))
            .param(path)
            .code("unsupported_parameter")
    }

    /// An argument that is supported, with a value that is not. `hint` says what to do instead.
    pub(crate) fn unsupported_value(path: impl Display, value: impl Display, hint: &str) -> Self {
        let value = value.to_string();
        let gap = if hint.is_empty() { "" } else { " " };
        Self::new(format!(
            "Unsupported value: '{path}' does not support {} with this model.{gap}{hint}",
            shorten(&value)
        ))
        .param(path)
        .code("unsupported_value")
    }
}

/// The beginning of a client's own words: an error repeats no megabyte.
pub(crate) fn shorten(text: &str) -> &str {
    const MOST_CHARS: usize = 100;
    text.char_indices().nth(MOST_CHARS).map_or(text, |(end, _)| &text[..end])
}

fn listed(values: &[&str]) -> String {
    let mut text = String::new();
    for (position, value) in values.iter().enumerate() {
        let last = position + 1 == values.len();
        text.push_str(match (position, last) {
            (0, _) => "",
            (1, true) => " and ",
            (_, true) => ", and ",
            (_, false) => ", ",
        });
        text.push('\'');
        text.push_str(value);
        text.push('\'');
    }
    text
}
