//! The tools that requests offer, remembered by their text: an application sends the same ones with each request, and to read
//! them, shape them for a template and write them out is most of what such a request costs.

use std::sync::{Arc, LazyLock};

use cloudach_anthropic::{self as anthropic, MessagesRequest};
use cloudach_model::offered::Offered;
use cloudach_openai::{
    Invalid,
    chat::{self, ChatRequest, Known, Tool},
};
use quick_cache::{Weighter, sync::Cache};
use serde_json::Value;

use crate::{
    Edge,
    error::ApiError,
    names::{Name, Names},
};

/// What the texts of remembered tools may come to together, in bytes. In memory, all forms of them take about twenty times
/// as much.
const MOST: u64 = 2 * 1024 * 1024;

/// Longer texts are read each time.
const LONGEST: usize = 128 * 1024;

/// Tools that are offered, in all forms.
#[derive(Debug)]
pub struct Offer {
    /// As the client asks for them.
    tools: Arc<[Tool]>,
    /// As the model is shown them, and its calls are read.
    pub shown: Arc<Offered>,
    /// What they are weighed by.
    bytes: u64,
}

impl Offer {
    /// Of tools that were read already.
    pub fn of(tools: &Arc<[Tool]>) -> Arc<Self> {
        static NONE: LazyLock<Arc<Offer>> = LazyLock::new(|| Arc::new(Offer::new(Arc::default(), 0)));
        if tools.is_empty() { NONE.clone() } else { Arc::new(Self::new(tools.clone(), 0)) }
    }

    /// This one, or else that of the tools of a request of so many `bytes`.
    ///
    /// # Errors
    /// The work panicked.
    pub async fn or_of(
        known: Option<Arc<Self>>,
        edge: &Edge,
        tools: &Arc<[Tool]>,
        bytes: usize,
    ) -> Result<Arc<Self>, ApiError> {
        if let Some(known) = known {
            return Ok(known);
        }
        let tools = tools.clone();
        edge.work.run(if tools.is_empty() { 0 } else { bytes }, move || Self::of(&tools)).await
    }

    fn new(tools: Arc<[Tool]>, bytes: usize) -> Self {
        let values: Vec<_> = tools.iter().cloned().map(Value::from).collect();
        let shown = Arc::new(Offered::new(&values));
        Self { tools, shown, bytes: bytes as u64 }
    }
}

/// Those that came before. Tenants share nothing, not even how long it takes to read them.
pub struct Offers {
    names: Names,
    known: Cache<Name, Arc<Offer>, ByText>,
}

#[derive(Debug, Clone)]
struct ByText;

impl Weighter<Name, Arc<Offer>> for ByText {
    fn weight(&self, _: &Name, offer: &Arc<Offer>) -> u64 {
        offer.bytes
    }
}

impl Offers {
    /// None yet.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn new() -> Result<Self, getrandom::Error> {
        const ABOUT: usize = 256;
        Ok(Self { names: Names::new()?, known: Cache::with_weighter(ABOUT, MOST, ByText) })
    }

    /// Reads the body of a chat, and the tools that are left to offer.
    ///
    /// # Errors
    /// What is wrong with it, in OpenAI's words.
    pub fn chat(&self, tenant: &str, body: &[u8]) -> Result<(Box<ChatRequest>, Arc<Offer>), Invalid> {
        self.read("chat", tenant, |known| chat::parse_by(body, known).map(Box::new), |request| &request.tools)
    }

    /// The same for a message.
    ///
    /// # Errors
    /// What is wrong with it, in Anthropic's words.
    pub fn message(&self, tenant: &str, body: &[u8]) -> Result<(MessagesRequest, Arc<Offer>), Invalid> {
        self.read("message", tenant, |known| anthropic::parse_by(body, known), |request| &request.chat.tools)
    }

    /// The same for a message that is counted.
    ///
    /// # Errors
    /// What is wrong with it, in Anthropic's words.
    pub fn counted_message(&self, tenant: &str, body: &[u8]) -> Result<(ChatRequest, Arc<Offer>), Invalid> {
        self.read("message", tenant, |known| anthropic::parse_for_counting_by(body, known), |request| &request.tools)
    }

    /// Tools of two dialects are not the same, be their texts.
    fn read<R>(
        &self,
        dialect: &str,
        tenant: &str,
        parse: impl FnOnce(&mut Known<'_>) -> Result<R, Invalid>,
        tools: impl Fn(&R) -> &Arc<[Tool]>,
    ) -> Result<(R, Arc<Offer>), Invalid> {
        let mut found = None;
        let request = parse(&mut |text, read| {
            let offer = self.find(dialect, tenant, text, read)?;
            Ok(found.insert(offer).tools.clone())
        })?;
        // The choice may have left only some of them, or none.
        let whole = found.filter(|offer| Arc::ptr_eq(&offer.tools, tools(&request)));
        let offer = whole.unwrap_or_else(|| Offer::of(tools(&request)));
        Ok((request, offer))
    }

    fn find(
        &self,
        dialect: &str,
        tenant: &str,
        text: &str,
        read: &dyn Fn() -> Result<Arc<[Tool]>, Invalid>,
    ) -> Result<Arc<Offer>, Invalid> {
        if text.len() > LONGEST {
            return Ok(Offer::of(&read()?));
        }
        let name = self.names.of([tenant, dialect, text]);
        if let Some(offer) = self.known.get(&name) {
            return Ok(offer);
        }
        let offer = Arc::new(Offer::new(read()?, text.len()));
        self.known.insert(name, offer.clone());
        Ok(offer)
    }
}

impl std::fmt::Debug for Offers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Offers({} texts)", self.known.len())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn body(tools: &Value, more: &Value) -> Vec<u8> {
        let mut body = json!({ "model": "m", "messages": [{ "role": "user", "content": "x" }], "tools": tools });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body.to_string().into_bytes()
    }

    fn tool(name: &str) -> Value {
        json!({ "type": "function", "function": { "name": name, "parameters": { "type": "object" } } })
    }

    #[test]
    fn the_same_tools_are_read_once_for_each_tenant() {
        let offers = Offers::new().unwrap();
        let read = |tenant, tools: &Value| offers.chat(tenant, &body(tools, &json!({}))).unwrap();
        let tools = json!([tool("a"), tool("b")]);
        let (first, first_offer) = read("acme", &tools);
        let (again, offer) = read("acme", &tools);
        assert!(Arc::ptr_eq(&first_offer, &offer) && Arc::ptr_eq(&first.tools, &again.tools));
        assert_eq!(*again, chat::parse(&body(&tools, &json!({}))).unwrap());
        assert!(!Arc::ptr_eq(&read("globex", &tools).1, &offer), "tenants do not share");
        assert!(!Arc::ptr_eq(&read("acme", &json!([tool("a")])).1, &offer));
        assert_eq!(offers.known.len(), 3);
    }

    #[test]
    fn what_a_choice_leaves_is_what_is_shown() {
        let offers = Offers::new().unwrap();
        let tools = json!([tool("a"), tool("b")]);
        let among = json!({ "tool_choice": { "type": "allowed_tools", "allowed_tools": { "mode": "auto", "tools": [
            { "type": "function", "function": { "name": "b" } },
        ] } } });
        let nothing = json!({ "tool_choice": "none" });
        for more in [json!({}), among, nothing] {
            let (request, offer) = offers.chat("acme", &body(&tools, &more)).unwrap();
            let left: Vec<_> = request.tools.iter().cloned().map(Value::from).collect();
            assert_eq!(*offer.shown, Offered::new(&left), "{more}");
        }
        assert_eq!(offers.known.len(), 1);
    }

    #[test]
    fn dialects_share_nothing() {
        let offers = Offers::new().unwrap();
        let tools = json!([{ "name": "a", "input_schema": { "type": "object" } }]);
        let body = body(&tools, &json!({ "max_tokens": 1 }));
        let (request, offer) = offers.message("acme", &body).unwrap();
        assert_eq!((request.chat.tools.len(), offer.tools.len()), (1, 1));
        assert!(Arc::ptr_eq(&offers.counted_message("acme", &body).unwrap().1, &offer));
        assert!(offers.chat("acme", &body).is_err(), "there it is none");
    }

    #[test]
    fn what_is_wrong_is_not_remembered() {
        let offers = Offers::new().unwrap();
        for tools in [json!([]), json!({}), json!([tool("a b")]), json!([null])] {
            for _ in 0..2 {
                let body = body(&tools, &json!({}));
                assert_eq!(offers.chat("acme", &body).unwrap_err(), chat::parse(&body).unwrap_err(), "{tools}");
            }
        }
        assert_eq!(offers.known.len(), 0);
    }

    #[test]
    fn it_is_bounded() {
        let offers = Offers::new().unwrap();
        for number in 0..200 {
            let mut large = tool(&format!("f{number}"));
            large["function"]["description"] = "x".repeat(LONGEST - 1000).into();
            offers.chat("acme", &body(&json!([large]), &json!({}))).unwrap();
        }
        assert!(offers.known.weight() <= MOST && offers.known.len() > 1);
        let mut larger = tool("larger");
        larger["function"]["description"] = "x".repeat(LONGEST).into();
        let body = body(&json!([larger]), &json!({}));
        let read = || offers.chat("acme", &body).unwrap().1;
        assert!(!Arc::ptr_eq(&read(), &read()));
    }
}
