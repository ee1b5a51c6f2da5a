//! Which router a request goes to. No I/O.
//!
//! What begins alike goes to the same router while it is there: it knows which replica has read it. A router that has much
//! more to do than the others is passed over.

use cloudach_proto::v1::{GenerateRequest, prompt};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Bytes of a prompt that decide: more than conversations have in common where they share no system prompt, and less than
/// the first question ends.
const HEAD: usize = 1024;

/// What is known of a router.
#[derive(Debug, Clone, Copy)]
pub(super) struct Router<'a> {
    /// Its address: the same at each edge.
    pub(super) name: &'a str,
    pub(super) open_requests: usize,
    /// It has a replica for the model.
    pub(super) serves: bool,
}

/// The router for what begins so; without a beginning, the least busy one.
pub(super) fn choose(routers: &[Router<'_>], beginning: Option<u64>) -> Option<usize> {
    let some_serve = routers.iter().any(|router| router.serves);
    let fit = || routers.iter().enumerate().filter(|(_, router)| router.serves || !some_serve);
    let least = fit().map(|(_, router)| router.open_requests).min()?;
    let Some(beginning) = beginning else {
        return fit().min_by_key(|(_, router)| router.open_requests).map(|(at, _)| at);
    };
    // A quarter more than the least busy, and some for when there is little at all.
    let most = least + least / 4 + 16;
    let near = fit().filter(|(_, router)| router.open_requests <= most);
    near.max_by_key(|(_, router)| xxh3_64_with_seed(router.name.as_bytes(), beginning)).map(|(at, _)| at)
}

/// What a request begins with, as a number.
pub(super) fn beginning(request: &GenerateRequest) -> Option<u64> {
    let salt = request.sampling.as_ref().and_then(|sampling| sampling.cache_salt.as_deref()).unwrap_or_default();
    let seed = xxh3_64_with_seed(salt.as_bytes(), xxh3_64_with_seed(request.model.as_bytes(), 0));
    match request.prompt.as_ref()?.prompt.as_ref()? {
        prompt::Prompt::Text(text) => {
            let bytes = text.text.as_bytes();
            Some(xxh3_64_with_seed(&bytes[..bytes.len().min(HEAD)], seed))
        }
        prompt::Prompt::TokenIds(tokens) => {
            let ids = tokens.ids.iter().take(HEAD / size_of::<u32>());
            Some(ids.fold(seed, |hash, id| xxh3_64_with_seed(&id.to_le_bytes(), hash)))
        }
    }
}

#[cfg(test)]
mod tests {
    use cloudach_proto::v1::{Prompt, PromptText};
    use proptest::prelude::*;

    use super::*;

    fn router(name: &'static str, open_requests: usize) -> Router<'static> {
        Router { name, open_requests, serves: true }
    }

    fn text(text: &str) -> Option<u64> {
        let text = PromptText { text: text.to_owned(), add_special_tokens: false };
        let prompt = Some(Prompt { prompt: Some(prompt::Prompt::Text(text)) });
        beginning(&GenerateRequest { prompt, ..GenerateRequest::default() })
    }

    #[test]
    fn a_conversation_stays_where_it_was_begun() {
        let system = "You are kind. ".repeat(100);
        let (first, second) = (text(&system), text(&format!("{system} And what of the other?")));
        assert_eq!(first, second, "what follows does not matter");
        assert_ne!(first, text("Something else"));
        assert_eq!(beginning(&GenerateRequest::default()), None);
    }

    #[test]
    fn the_least_busy_where_nothing_decides() {
        assert_eq!(choose(&[router("a", 3), router("b", 1)], None), Some(1));
        let unready = Router { serves: false, ..router("c", 0) };
        assert_eq!(choose(&[router("a", 3), unready], None), Some(0));
        assert_eq!(choose(&[unready], Some(7)), Some(0), "it may know why there is none");
        assert_eq!(choose(&[], Some(7)), None);
    }

    proptest! {
        #[test]
        fn nobody_leaves_a_router_but_for_load_or_death(beginnings in prop::collection::vec(any::<u64>(), 50)) {
            let all = [router("a", 5), router("b", 9), router("c", 0)];
            for beginning in beginnings {
                let chosen = choose(&all, Some(beginning)).unwrap();
                // Another one dies.
                let other = (chosen + 1) % 3;
                let left: Vec<_> = (0..3).filter(|at| *at != other).map(|at| all[at]).collect();
                let again = choose(&left, Some(beginning)).unwrap();
                prop_assert_eq!(left[again].name, all[chosen].name);
                // It has far too much to do.
                let mut busy = all;
                busy[chosen].open_requests = 100;
                prop_assert_ne!(choose(&busy, Some(beginning)).unwrap(), chosen);
            }
        }
    }
}
