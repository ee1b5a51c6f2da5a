//! From a chat request to what the template sees: each step with a template that shows it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;

use cloudach_model::offered::Offered;
use cloudach_model::template::{ChatTemplate, CivilTime, Conversation, RenderError, Source};
use serde_json::{Value, json};

/// Prints the messages as they arrive; reads content as text.
const DUMP: &str = "{{ messages | tojson }}";

/// The same, but the loop makes it a template that reads content as parts.
const DUMP_PARTS: &str =
    "{% for m in messages %}{% for part in m.content %}{% endfor %}{% endfor %}{{ messages | tojson }}";

const CHATML: &str = "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

#[test]
fn content_takes_the_form_the_template_reads() {
    let messages = json!([
        {"role": "user", "content": "a"},
        {"role": "user", "content": [{"type": "text", "text": "b"}, {"type": "text", "text": ""}, {"type": "input_text", "text": "c"}]},
        {"role": "assistant", "content": null},
        {"role": "tool", "content": [{"type": "text", "text": "d"}, {"type": "text", "text": "e"}], "tool_call_id": "1"},
    ]);
    let text = json!([
        {"role": "user", "content": "a"},
        {"role": "user", "content": "b\nc"},
        {"role": "assistant", "content": ""},
        {"role": "tool", "content": "d\ne", "tool_call_id": "1"},
    ]);
    let part = |text: &str| json!({"type": "text", "text": text});
    let parts = json!([
        {"role": "user", "content": [part("a")]},
        {"role": "user", "content": [part("b"), part(""), part("c")]},
        {"role": "assistant", "content": []},
        {"role": "tool", "content": "d\ne", "tool_call_id": "1"},
    ]);
    assert_eq!(seen(DUMP, &messages), text);
    assert_eq!(seen(DUMP_PARTS, &messages), parts);
}

#[test]
fn the_form_is_read_off_the_loops() {
    let parts = [
        "{% for m in messages %}{% for p in m['content'] %}{% endfor %}{% endfor %}",
        "{% set list = messages[1:] %}{% for m in list | reverse %}{% for p in m.content | select %}{% endfor %}{% endfor %}",
        "{% macro show(x) %}{% for p in x %}{% endfor %}{% endmacro %}{% for m in messages %}{{ show(m.content) }}{% endfor %}",
        "{% macro show(x) %}{% for p in x %}{% endfor %}{% endmacro %}{% for m in messages %}{{ show(x=m.content) }}{% endfor %}",
        "{% for m in messages %}{% set content = m.content %}{% for p in content %}{% endfor %}{% endfor %}",
    ];
    let text = [
        "{% for m in messages %}{% if m.content is string %}{% endif %}{% endfor %}",
        "{% for m in messages %}{% for call in m.tool_calls %}{% endfor %}{% endfor %}",
        "{% macro show(content) %}{% for p in content %}{% endfor %}{% endmacro %}{% for m in messages %}{{ show(m.tool_calls) }}{% endfor %}",
        "{% for p in messages[0].content %}{% endfor %}",
    ];
    let messages = json!([{"role": "user", "content": "a"}]);
    for template in parts {
        assert!(seen(&format!("{template}{DUMP}"), &messages)[0]["content"].is_array(), "{template}");
    }
    for template in text {
        assert!(seen(&format!("{template}{DUMP}"), &messages)[0]["content"].is_string(), "{template}");
    }
}

#[test]
fn tool_calls_arrive_as_objects() {
    let call = |arguments: Value| json!({"id": "1", "type": "function", "function": {"name": "f", "arguments": arguments}, "index": null});
    let shaped =
        |arguments: Value| json!({"id": "1", "type": "function", "function": {"name": "f", "arguments": arguments}});
    for (arguments, expected) in [
        (json!("{\"b\": 1, \"a\": null}"), json!({"b": 1, "a": null})),
        (json!(""), json!({})),
        (json!("{broken"), json!({})),
        (json!("[1]"), json!({})),
        (json!(null), json!({})),
        (json!({"x": 1}), json!({"x": 1})),
    ] {
        let messages = json!([{"role": "assistant", "content": null, "tool_calls": [call(arguments)]}]);
        assert_eq!(seen(DUMP, &messages)[0]["tool_calls"], json!([shaped(expected)]));
    }
    let empty = json!([{"role": "assistant", "content": "x", "tool_calls": [], "refusal": null, "annotations": []}]);
    assert_eq!(seen(DUMP, &empty), json!([{"role": "assistant", "content": "x"}]));
}

#[test]
fn reasoning_goes_by_its_three_names() {
    for key in ["reasoning", "reasoning_content"] {
        let messages = json!([{"role": "assistant", "content": "4", key: "2+2"}]);
        let expected = json!([{"role": "assistant", "content": "4", "reasoning": "2+2", "reasoning_content": "2+2", "thinking": "2+2"}]);
        assert_eq!(seen(DUMP, &messages), expected);
    }
}

#[test]
fn a_developer_speaks_as_system_where_the_template_knows_none() {
    let messages = json!([
        {"role": "system", "content": "one"},
        {"role": "user", "content": "hi"},
        {"role": "developer", "content": [{"type": "text", "text": "two"}]},
    ]);
    let merged = json!([{"role": "system", "content": "one\n\ntwo"}, {"role": "user", "content": "hi"}]);
    assert_eq!(seen(DUMP, &messages), merged);
    let knows = format!("{DUMP}{{# 'developer' #}}");
    assert_eq!(seen(&knows, &messages)[2], json!({"role": "developer", "content": "two"}));
    let system_only = json!([{"role": "user", "content": "hi"}, {"role": "system", "content": "late"}]);
    assert_eq!(seen(DUMP, &system_only), system_only);
}

#[test]
fn tools_keep_only_what_templates_print() {
    let tools = json!([
        {"type": "function", "function": {"parameters": {"type": "object"}, "strict": true, "name": "f", "x": 1}, "y": 2},
        {"type": "function", "function": {"name": "g", "strict": null}},
    ]);
    let conversation =
        Conversation { tools: tools.as_array().map(|tools| Arc::new(Offered::new(tools))), ..Conversation::default() };
    let expected = concat!(
        r#"[{"type": "function", "function": {"name": "f", "description": null, "parameters": {"type": "object"}, "strict": true}}, "#,
        r#"{"type": "function", "function": {"name": "g", "description": null, "parameters": null}}]"#
    );
    assert_eq!(render("{{ tools | tojson }}", &conversation).unwrap(), expected);
    assert_eq!(render("{{ tools }} {{ documents }}", &Conversation::default()).unwrap(), "None None");
}

#[test]
fn effort_and_variables() {
    let template = "{{ reasoning_effort }} {{ enable_thinking }} {{ mood }} {{ messages }}";
    let effort = |effort: &str| Conversation { reasoning_effort: Some(effort.to_owned()), ..Conversation::default() };
    assert_eq!(render(template, &effort("high")).unwrap(), "high True  []");
    assert_eq!(render(template, &effort("none")).unwrap(), "none False  []");
    let kwargs = json!({"enable_thinking": false, "mood": "good", "messages": [1]});
    let overridden = Conversation { kwargs: kwargs.as_object().unwrap().clone(), ..effort("high") };
    assert_eq!(render(template, &overridden).unwrap(), "high False good []");
}

#[test]
fn a_final_message_is_continued() {
    let conversation = |text: &str| Conversation {
        messages: json!([{"role": "user", "content": "Count"}, {"role": "assistant", "content": text}])
            .as_array()
            .unwrap()
            .clone(),
        continue_final_message: true,
        ..Conversation::default()
    };
    let start = "<|im_start|>user\nCount<|im_end|>\n<|im_start|>assistant\n";
    assert_eq!(render(CHATML, &conversation("1, 2, ")).unwrap(), format!("{start}1, 2, "));
    let trims = CHATML.replace("message.content", "message.content | trim");
    assert_eq!(render(&trims, &conversation("1, 2, ")).unwrap(), format!("{start}1, 2,"));
    assert!(matches!(render("nothing", &conversation("1")), Err(RenderError::CannotContinue(_))));
    let both = Conversation { add_generation_prompt: true, ..conversation("1") };
    assert!(matches!(render(CHATML, &both), Err(RenderError::CannotContinue(_))));
    let none = Conversation { messages: Vec::new(), ..conversation("1") };
    assert!(matches!(render(CHATML, &none), Err(RenderError::CannotContinue(_))));
}

#[test]
fn a_template_refuses_in_its_own_words() {
    let template = "{% if messages[0].role != 'user' %}{{ raise_exception('Roles must alternate: ' ~ messages[0].role) }}{% endif %}";
    let conversation =
        Conversation { messages: vec![json!({"role": "tool", "content": "x"})], ..Conversation::default() };
    assert_eq!(render(template, &conversation), Err(RenderError::Raised("Roles must alternate: tool".to_owned())));
}

#[test]
fn a_first_token_is_noticed() {
    let source = Source { template: "{{ bos_token }}{{ eos_token }}", bos_token: Some("<s>"), eos_token: None };
    let template = ChatTemplate::compile(&source).unwrap();
    let prompt = template.render(&Conversation::default(), CivilTime::from_unix(0)).unwrap();
    assert_eq!(prompt, "<s>");
    assert!(template.starts_with_bos(&prompt));
    assert!(!template.starts_with_bos("text"));
    let without = ChatTemplate::compile(&Source { bos_token: Some(""), ..source }).unwrap();
    assert!(!without.starts_with_bos("text"));
}

#[test]
fn one_template_serves_all_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<ChatTemplate>();
}

fn seen(template: &str, messages: &Value) -> Value {
    let conversation = Conversation { messages: messages.as_array().unwrap().clone(), ..Conversation::default() };
    serde_json::from_str(&render(template, &conversation).unwrap()).unwrap()
}

fn render(template: &str, conversation: &Conversation) -> Result<String, RenderError> {
    let source = Source { template, bos_token: None, eos_token: None };
    ChatTemplate::compile(&source).unwrap().render(conversation, CivilTime::from_unix(0))
}
