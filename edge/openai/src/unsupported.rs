//! Arguments that exist at OpenAI or in vLLM and that the gateway cannot honour.
//!
//! No answer is invented: rather than dropping such an argument, the request is
//! refused by its name. `null` and `false` ask for nothing and pass.

use serde_json::Value;

use crate::invalid::Invalid;
use crate::reader::Fields;

/// An argument and what to do instead (may be empty).
pub(crate) type Refused = (&'static str, &'static str);

/// Of every endpoint that generates.
pub(crate) const GENERATION: &[Refused] = &[
    ("guided_json", "Use 'structured_outputs' with 'json' instead."),
    ("guided_regex", "Use 'structured_outputs' with 'regex' instead."),
    ("guided_choice", "Use 'structured_outputs' with 'choice' instead."),
    ("guided_grammar", "Use 'structured_outputs' with 'grammar' instead."),
    ("guided_decoding_backend", "Leave it out."),
    ("guided_whitespace_pattern", "Leave it out."),
    ("structural_tag", "Use 'structured_outputs' instead."),
    ("use_beam_search", ""),
    ("length_penalty", ""),
    ("allowed_token_ids", "Use 'logit_bias' instead."),
    ("bad_words", "Use 'logit_bias' instead."),
    ("logits_processors", ""),
    ("prompt_logprobs", ""),
    ("return_token_ids", ""),
    ("return_tokens_as_token_ids", ""),
    ("truncate_prompt_tokens", "Shorten the prompt instead."),
    ("kv_transfer_params", ""),
    ("vllm_xargs", ""),
    ("request_id", "Read the header 'x-request-id' of the answer instead."),
];

/// Of chat completions.
pub(crate) const CHAT: &[Refused] = &[
    ("best_of", "Use 'n' instead."),
    ("echo", "Use 'continue_final_message' instead."),
    ("chat_template", "The template belongs to the model."),
    ("add_special_tokens", "The model's template writes them."),
    ("mm_processor_kwargs", ""),
    ("media_io_kwargs", ""),
    ("thinking_token_budget", "Use 'reasoning_effort' instead."),
];

/// Of responses.
pub(crate) const RESPONSES: &[Refused] = &[
    ("n", "Ask several times instead."),
    ("response_format", "Use 'text' with 'format' instead."),
    ("messages", "Use 'input' instead."),
    ("max_tokens", "Use 'max_output_tokens' instead."),
    ("max_completion_tokens", "Use 'max_output_tokens' instead."),
    ("reasoning_effort", "Use 'reasoning' with 'effort' instead."),
    ("logprobs", "Use 'include' with 'message.output_text.logprobs' instead."),
    ("structured_outputs", "Use 'text' with 'format' instead."),
    ("chat_template", "The template belongs to the model."),
];

/// Of embeddings.
pub(crate) const EMBEDDINGS: &[Refused] = &[
    ("messages", "Use 'input' instead."),
    ("truncate_prompt_tokens", "Shorten the input instead."),
    ("embed_dtype", "Use 'encoding_format' instead."),
    ("endianness", ""),
];

/// Of scores and of reranking.
pub(crate) const SCORES: &[Refused] = &[
    ("instruction", "Write it into the query instead."),
    ("chat_template_kwargs", ""),
    ("mm_processor_kwargs", ""),
    ("truncation_side", "Leave it out."),
    ("padding", "Leave it out."),
    ("rank_fields", "Send texts instead."),
    ("max_chunks_per_doc", "Use 'truncate_prompt_tokens' instead."),
    ("request_id", "Read the header 'x-request-id' of the answer instead."),
    ("priority", "It belongs to the key."),
    ("cache_salt", "Caches of tenants are kept apart."),
];

/// Takes all of `refused` out of the request, and fails on the first that asks for something.
pub(crate) fn refuse(fields: &mut Fields<'_>, refused: &[Refused]) -> Result<(), Invalid> {
    for (name, hint) in refused {
        fields.read(name, |path, value| match value {
            Value::Bool(false) => Ok(()),
            _ => Err(Invalid::unsupported(path, hint)),
        })?;
    }
    Ok(())
}
