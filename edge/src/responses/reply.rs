//! What a response is made of: the one trait over the replies of all endpoints.

use cloudach_openai::{CallPiece, FinishReason, Invalid, Piece, Told, Usage, responses};

use crate::{http::arrival, reply::Reply};

impl Reply for responses::Reply {
    fn opening(&mut self, out: &mut Vec<u8>) {
        Self::opening(self, out);
    }
    fn push(&mut self, _choice: u32, piece: &Piece<'_>, out: &mut Vec<u8>) {
        Self::push(self, piece, out);
    }
    fn reasoning(&mut self, _choice: u32, text: &str, out: &mut Vec<u8>) {
        Self::reasoning(self, text, out);
    }
    fn call(&mut self, _choice: u32, piece: &CallPiece<'_>, out: &mut Vec<u8>) {
        Self::call(self, piece, out);
    }
    fn finish_choice(&mut self, _choice: u32, reason: FinishReason, out: &mut Vec<u8>) {
        Self::finish(self, reason, out);
    }
    fn shows_usage(&self) -> bool {
        true
    }
    fn close(&mut self, usage: &Usage, out: &mut Vec<u8>) {
        Self::close(self, usage, arrival::now_unix(), out);
    }
    fn fail(&mut self, error: &Told, out: &mut Vec<u8>) {
        Self::fail(self, error, out);
    }
    fn too_long(_limit: u64, _prompt: u64, _max_tokens: Option<u64>) -> Invalid {
        Invalid::input_context_length()
    }
}
