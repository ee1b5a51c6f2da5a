//! Pages of items: of those that were put into a response, and of a conversation's.

use serde_json::json;

use crate::responses::item::Item;

/// Which items are wanted.
#[derive(Debug, Clone, Copy)]
pub struct Page<'a> {
    /// Those behind the one of this id, in the order of the page.
    pub after: Option<&'a str>,
    /// So many at most.
    pub limit: usize,
    pub newest_first: bool,
}

/// The body of an answer.
pub fn page(items: &[Item], page: &Page<'_>) -> Vec<u8> {
    let mut ordered: Vec<&Item> = items.iter().collect();
    if page.newest_first {
        ordered.reverse();
    }
    let start = match page.after {
        None => 0,
        Some(after) => ordered.iter().position(|item| item.id() == after).map_or(ordered.len(), |found| found + 1),
    };
    let rest = &ordered[start..];
    let shown = &rest[..rest.len().min(page.limit)];
    let body = json!({
        "object": "list",
        "data": shown,
        "first_id": shown.first().map(|item| item.id()),
        "last_id": shown.last().map(|item| item.id()),
        "has_more": shown.len() < rest.len(),
    });
    body.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn pages_follow_one_another() {
        let items: Vec<Item> = ["a", "b", "c"].map(|id| Item::ItemReference { id: id.to_owned() }).to_vec();
        let ids = |after, limit, newest_first| -> (Vec<String>, bool) {
            let body = page(&items, &Page { after, limit, newest_first });
            let body: Value = serde_json::from_slice(&body).unwrap();
            let ids = body["data"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned());
            (ids.collect(), body["has_more"].as_bool().unwrap())
        };
        let texts = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
        assert_eq!(ids(None, 2, true), (texts(&["c", "b"]), true));
        assert_eq!(ids(Some("b"), 2, true), (texts(&["a"]), false));
        assert_eq!(ids(Some("b"), 2, false), (texts(&["c"]), false));
        assert_eq!(ids(Some("x"), 2, false), (texts(&[]), false));
    }
}
