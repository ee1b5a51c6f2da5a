//! Short answers of every kind beside plain ones: calls of tools, and answers that follow a schema. All have about as many
//! tokens, so that what differs is what the kind costs.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::{Measures, cost::Meter, short};
use crate::{
    figure::Figures,
    rig::{self, Rig, Target},
};

/// A kind of answer, and by what its answer is known.
struct Kind {
    name: &'static str,
    body: Value,
    is_streamed: bool,
    sign: &'static str,
}

/// An agent's request: a dozen tools, and one of them called.
pub async fn tools(rig: &Rig, measures: &Measures, figures: &mut Figures) -> Result<()> {
    let call = r#"<tool_call>
{"name": "search_orders", "arguments": {"customer": "C-1042", "status": "open", "limit": 10}}
</tool_call>"#;
    let text = format!("Which orders of C-1042 are open? [[say:{call}]][[cut=32]]");
    let tools: Vec<Value> = TOOLS.iter().map(|(name, about)| tool(name, about)).collect();
    let asked = |tools: &Value| json!({ "messages": [{ "role": "user", "content": text }], "tools": tools });
    let with_tools = asked(&tools.into());
    let kinds = [
        plain(false),
        Kind { name: "12 tools, one called", body: with_tools.clone(), is_streamed: false, sign: "search_orders" },
        plain(true),
        Kind { name: "12 tools, one called, streamed", body: with_tools, is_streamed: true, sign: "" },
    ];
    measure(rig, measures, figures, "tools", &kinds).await
}

/// Answers that follow a schema of eight properties, strictly.
pub async fn schema(rig: &Rig, measures: &Measures, figures: &mut Figures) -> Result<()> {
    let body = json!({
        "messages": [{ "role": "user", "content": "Read the invoice. [[cut=32]]" }],
        "response_format": { "type": "json_schema", "json_schema": { "name": "invoice", "strict": true, "schema": invoice() } },
    });
    let kinds = [
        plain(false),
        Kind { name: "strict schema", body: body.clone(), is_streamed: false, sign: "currency" },
        plain(true),
        Kind { name: "strict schema, streamed", body, is_streamed: true, sign: "" },
    ];
    measure(rig, measures, figures, "schema", &kinds).await
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
async fn measure(rig: &Rig, measures: &Measures, figures: &mut Figures, scenario: &str, kinds: &[Kind]) -> Result<()> {
    for Kind { name, body, is_streamed, sign } in kinds {
        let question = short::Question { request: rig::chat(body.clone(), *is_streamed), is_streamed: *is_streamed };
        let answer = question.once(rig, Target::Gateway).await?;
        ensure!(answer.contains(sign), "{name} is answered so: {answer}");
        let meter = Meter::start(rig)?;
        let answers = short::ask(rig, Target::Gateway, &[question], measures.time).await?;
        meter.note(rig, &mut figures.of(scenario, name), "an answer", answers as f64)?;
    }
    Ok(())
}

fn plain(is_streamed: bool) -> Kind {
    let body = json!({ "messages": [{ "role": "user", "content": "What is the capital of France? [[tokens=4]]" }] });
    let name = if is_streamed { "plain, streamed" } else { "plain" };
    Kind { name, body, is_streamed, sign: "" }
}

const TOOLS: [(&str, &str); 12] = [
    ("search_orders", "Finds orders of a customer by status and time, the newest first."),
    ("get_order", "Tells everything about one order: its lines, its parcels and who has paid for it."),
    ("cancel_order", "Cancels an order that has not been sent yet. Ask the customer before you do."),
    ("refund_order", "Pays money of an order back, all of it or a part, in the currency that it was paid in."),
    ("search_customers", "Finds customers by name, e-mail address or telephone number."),
    ("get_customer", "Tells what is known of a customer: addresses, contracts, and what was talked about before."),
    ("update_customer", "Changes a customer's address, telephone number or language."),
    ("search_products", "Finds products by words, category and price, with what is in stock of each."),
    ("get_stock", "Tells how many of a product there are in each warehouse, and when more will come."),
    ("create_ticket", "Hands the conversation over to a colleague, with a summary and how urgent it is."),
    ("send_email", "Sends an e-mail to a customer. Show the text to the user before you do."),
    ("get_exchange_rate", "Tells the rate between two currencies on a day."),
];

/// With the parameters that such tools have: seven, one of them an object, two of them of a few values.
fn tool(name: &str, about: &str) -> Value {
    let parameters = json!({
        "type": "object",
        "properties": {
            "customer": { "type": "string", "description": "The customer's number, as in C-1042." },
            "status": { "type": "string", "enum": ["open", "sent", "delivered", "returned", "cancelled"] },
            "since": { "type": "string", "format": "date", "description": "Nothing before this day, as in 2026-01-31." },
            "limit": { "type": "integer", "minimum": 1, "maximum": 100, "description": "How many at most." },
            "amount": {
                "type": "object",
                "properties": { "value": { "type": "number" }, "currency": { "type": "string", "enum": ["EUR", "USD", "GBP"] } },
                "required": ["value", "currency"],
            },
            "reason": { "type": "string", "description": "In the customer's own words, in one sentence." },
            "tags": { "type": "array", "items": { "type": "string" } },
        },
        "required": ["customer"],
    });
    json!({ "type": "function", "function": { "name": name, "description": about, "parameters": parameters } })
}

fn invoice() -> Value {
    let object = |properties: Value| {
        let names: Vec<_> = properties.as_object().into_iter().flat_map(serde_json::Map::keys).cloned().collect();
        json!({ "type": "object", "properties": properties, "required": names, "additionalProperties": false })
    };
    let line = object(json!({
        "text": { "type": "string" }, "count": { "type": "integer" }, "price": { "type": "number" },
    }));
    object(json!({
        "number": { "type": "string" },
        "date": { "type": "string" },
        "seller": object(json!({ "name": { "type": "string" }, "country": { "type": "string" } })),
        "currency": { "type": "string", "enum": ["EUR", "USD", "GBP"] },
        "lines": { "type": "array", "items": line },
        "total": { "type": "number" },
        "is_paid": { "type": "boolean" },
        "remark": { "anyOf": [{ "type": "string" }, { "type": "null" }] },
    }))
}
