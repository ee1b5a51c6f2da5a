//! Requests that one message answers, and what they have in common on every hop.

use tonic::{Status, transport::Channel};

use crate::v1::{
    DetokenizeRequest, DetokenizeResponse, DetokenizedText, EmbedRequest, EmbedResponse, Embeddings, ErrorCode, Failed,
    RequestContext, ScoreRequest, ScoreResponse, Scores, TokenizeRequest, TokenizeResponse, Tokens,
    detokenize_response, embed_response, inference_client::InferenceClient, score_response, tokenize_response,
};

/// A request that one message answers.
pub trait Unary: Clone + Send + Sync + 'static {
    /// What it asks for.
    type Answer: Send + 'static;
    /// The message that brings it, or says why not.
    type Response;

    /// What its call is named.
    const CALL: &'static str;

    /// The name of its model.
    fn model(&self) -> &str;

    /// What the client's request is called.
    fn request_id(&self) -> &str;

    /// What a hop fills in: the model's name in the catalogue, and how much of its time is left.
    fn to_fill_in(&mut self) -> (&mut String, &mut Option<RequestContext>);

    /// Notes who has answered.
    fn sign(answer: &mut Self::Answer, replica: &str);

    /// The message.
    fn respond(outcome: Result<Self::Answer, Failed>) -> Self::Response;

    /// Asks the next hop.
    ///
    /// # Errors
    /// The call brought no message.
    fn ask(
        self,
        client: InferenceClient<Channel>,
    ) -> impl Future<Output = Result<Result<Self::Answer, Failed>, Status>> + Send;
}

/// Answers them: the router's relay, the sidecar's engine.
pub trait Answers<Q: Unary>: Send + Sync + 'static {
    /// Dropping the future ends the work.
    fn answer(&self, request: Q) -> impl Future<Output = Result<Q::Answer, Failed>> + Send;
}

/// Answers every kind of them.
pub trait AnswersAll:
    Answers<EmbedRequest> + Answers<ScoreRequest> + Answers<TokenizeRequest> + Answers<DetokenizeRequest>
{
}

impl<A> AnswersAll for A where
    A: Answers<EmbedRequest> + Answers<ScoreRequest> + Answers<TokenizeRequest> + Answers<DetokenizeRequest>
{
}

macro_rules! unary {
    ($call:ident, $request:ident, $response:ident, $outcome:ident :: $variant:ident, $answer:ident) => {
        impl Unary for $request {
            type Answer = $answer;
            type Response = $response;

            const CALL: &'static str = stringify!($call);

            fn model(&self) -> &str {
                &self.model
            }

            fn request_id(&self) -> &str {
                &self.request_id
            }

            fn to_fill_in(&mut self) -> (&mut String, &mut Option<RequestContext>) {
                (&mut self.model, &mut self.context)
            }

            fn sign(answer: &mut $answer, replica: &str) {
                replica.clone_into(&mut answer.replica);
            }

            fn respond(outcome: Result<$answer, Failed>) -> $response {
                let outcome = match outcome {
                    Ok(answer) => $outcome::Outcome::$variant(answer),
                    Err(failed) => $outcome::Outcome::Failed(failed),
                };
                $response { outcome: Some(outcome) }
            }

            async fn ask(self, mut client: InferenceClient<Channel>) -> Result<Result<$answer, Failed>, Status> {
                Ok(match client.$call(self).await?.into_inner().outcome {
                    Some($outcome::Outcome::$variant(answer)) => Ok(answer),
                    Some($outcome::Outcome::Failed(failed)) => Err(failed),
                    None => Err(Failed::new(ErrorCode::Internal, "the answer is empty")),
                })
            }
        }
    };
}

unary!(embed, EmbedRequest, EmbedResponse, embed_response::Embeddings, Embeddings);
unary!(score, ScoreRequest, ScoreResponse, score_response::Scores, Scores);
unary!(tokenize, TokenizeRequest, TokenizeResponse, tokenize_response::Tokens, Tokens);
unary!(detokenize, DetokenizeRequest, DetokenizeResponse, detokenize_response::Text, DetokenizedText);
