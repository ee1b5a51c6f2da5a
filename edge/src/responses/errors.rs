//! What is wrong with a request, in the words of responses: the way to an answer speaks those of chats.

use cloudach_openai::Invalid;

use crate::error::ApiError;

/// Names the parameters that responses have.
pub fn in_its_words(error: ApiError) -> ApiError {
    match error {
        ApiError::UnknownModel(model) => Invalid {
            message: format!("The requested model '{model}' does not exist."),
            param: Some("model".to_owned()),
            code: Some("model_not_found"),
        }
        .into(),
        ApiError::Invalid(invalid) => renamed(invalid).into(),
        other => other,
    }
}

fn renamed(mut invalid: Invalid) -> Invalid {
    match invalid.param.as_deref() {
        Some("response_format") => {
            invalid.param = Some("text.format.schema".to_owned());
            invalid.code = Some("invalid_json_schema");
        }
        // Which message it is of does not say which item.
        Some(param) if param == "messages" || param.starts_with("messages[") => {
            invalid.param = Some("input".to_owned());
        }
        Some("max_tokens" | "max_completion_tokens") => invalid.param = Some("max_output_tokens".to_owned()),
        Some(_) | None => {}
    }
    invalid
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_have_the_names_that_responses_give_them() {
        let named = |param: &str| {
            let invalid = Invalid { message: String::new(), param: Some(param.to_owned()), code: None };
            match in_its_words(invalid.into()) {
                ApiError::Invalid(invalid) => invalid.param.unwrap_or_default(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(named("messages"), "input");
        assert_eq!(named("messages[3]"), "input");
        assert_eq!(named("response_format"), "text.format.schema");
        assert_eq!(named("max_tokens"), "max_output_tokens");
        assert_eq!(named("tools[0].parameters"), "tools[0].parameters");
        let ApiError::Invalid(unknown) = in_its_words(ApiError::UnknownModel("x".to_owned())) else { panic!() };
        assert_eq!(unknown.message, "The requested model 'x' does not exist.");
    }
}
