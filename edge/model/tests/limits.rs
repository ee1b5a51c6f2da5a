//! Templates that mean harm, requests that make no sense, and how long honest big ones take.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cloudach_model::offered::Offered;
use cloudach_model::template::{ChatTemplate, CivilTime, CompileError, Conversation, RenderError, Source};
use serde_json::{Value, json};

#[test]
fn work_is_bounded() {
    let doubling = "{% set ns = namespace(s='x') %}{% for i in range(64) %}{% set ns.s = ns.s OP ns.s %}{% endfor %}{{ ns.s | length }}";
    let hostile = [
        "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}".to_owned(),
        doubling.replace("OP", "~"),
        doubling.replace("OP", "+"),
        doubling.replace("'x'", "[1]").replace("OP", "+"),
        "{% set ns = namespace(x=[1]) %}{% for i in range(64) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x | tojson }}".to_owned(),
        "{% set ns = namespace(x=[1]) %}{% for i in range(64) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}".to_owned(),
        "{% set ns = namespace(x=[1]) %}{% for i in range(64) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x ~ '' }}".to_owned(),
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}".to_owned(),
        "{% macro m() %}x{{ m() }}{{ m() }}{% endmacro %}{{ m() }}".to_owned(),
        "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}".to_owned(),
        "{{ 'x' * 10 ** 15 }}".to_owned(),
        "{{ ('x' * 1000000).replace('x', 'y' * 1000000) }}".to_owned(),
        "{{ ('x' * 1000000) | replace('x', 'y' * 1000000) }}".to_owned(),
        "{{ ('y' * 1000000).join(['a'] * 1000000) }}".to_owned(),
        "{{ (['a'] * 100000000) | join('y' * 1000000) }}".to_owned(),
        "{{ 'x'.ljust(10 ** 12) }}{{ 'x'.center(10 ** 18) }}".to_owned(),
        "{{ 'x'.zfill(10 ** 12) }}".to_owned(),
        "{{ 'a\\tb'.expandtabs(10 ** 12) }}".to_owned(),
        "{{ '{:1000000000000}'.format(1) }}".to_owned(),
        "{{ '%1000000000000d' | format(1) }}".to_owned(),
        "{{ '%.1000000000000f' | format(1.0) }}".to_owned(),
        "{{ ('x\\n' * 1000000) | indent('y' * 1000000) }}".to_owned(),
        "{{ {'a': 1} | tojson(indent='x' * 20000000) }}".to_owned(),
        "{% for i in range(100000) %}{{ 'x' * 1000 }}{% endfor %}".to_owned(),
    ];
    for template in hostile {
        let start = Instant::now();
        let result = render(&template, &Conversation::default());
        println!("{:?} {} {result:.100?}", start.elapsed(), &template[..template.len().min(60)]);
        assert!(result.is_err(), "{template} gave {} bytes", result.map_or(0, |text| text.len()));
        assert!(start.elapsed() < Duration::from_secs(20), "{template} took {:?}", start.elapsed());
    }
}

#[test]
fn nesting_is_bounded() {
    let bodies = [
        "{% set ns.x = [ns.x] %}",
        "{% set ns.x = {'a': ns.x} %}",
        "{% set ns.x = (ns.x,) %}",
        "{% set ns.x = namespace(y=ns.x) %}",
        "{% set ns.x = [ns] %}",
        "{% set ns.x = ns %}",
        "{% set ns.x = [ns.x] | batch(1) | list %}",
        "{% set ns.x = dict(a=ns.x) %}",
        "{% macro m() %}{{ ns }}{% endmacro %}{% set ns.x = m %}",
    ];
    for body in bodies {
        let looped = format!("{{% set ns = namespace(x=[]) %}}{{% for i in range(100000) %}}{body}{{% endfor %}}");
        assert!(matches!(render(&looped, &Conversation::default()), Err(RenderError::Failed { .. })), "{body}");
    }
    assert!(render(&"{%set x=[x]%}".repeat(10_000), &Conversation::default()).is_err());
    for suffix in ["|e", "+x", "~x", ".a", "()", "[0]", " if x", " and x", " is defined", " == x", " or not x", "**x"] {
        let error = compile(&format!("a\n{{{{ x{} }}}}", suffix.repeat(10_000))).unwrap_err();
        assert!(matches!(error, CompileError::TooComplex { line: 2, .. }), "{suffix} {error}");
        // As long as allowed, and then some, it may be wrong but must not fall over.
        for length in [100, 590, 1190] {
            let _ = render(&format!("{{{{ x{} }}}}", suffix.repeat(length)), &Conversation::default());
        }
    }
    // Macros that hold lists that hold macros.
    let step = |index: usize| format!("{{% macro m{index}() %}}{{{{ x }}}}{{% endmacro %}}{{% set x = [m{index}] %}}");
    let _ = render(&(0..1900).map(step).collect::<String>(), &Conversation::default());
    assert!(compile(&format!("{{% if x %}}{}{{% endif %}}", "{% elif x %}".repeat(10_000))).is_err());
    assert!(
        render(&format!("{{% if x %}}{}{{% endif %}}", "{% elif x %}".repeat(250)), &Conversation::default()).is_ok()
    );
    for bracket in ["(", "[", "{", "-", "not "] {
        assert!(compile(&format!("{{{{ {} }}}}", bracket.repeat(100_000))).is_err());
        assert!(compile(&format!("{{{{ {} }}}}", bracket.repeat(1000))).is_err());
    }
    assert!(compile(&"{% if x %}".repeat(10_000)).is_err());
}

/// Templates found by fuzzing that made the engine panic.
#[test]
fn formats_are_read_to_their_end() {
    for template in [
        "{{ '%(é)s' | format(x) }}",
        "{{ '%(é' | format({'é': 1}) }}",
        "{{ '{x[é]}'.format(x={'é': 1}) }}",
        "{{ '{x[é'.format(x=1) }}",
        "{{ '{x[a]é]}'.format(x={'a': 1}) }}",
        "{{ '%.65536f' | format(1) }}",
        "{{ '%(a)-7.70000f' | format({'a': 1}) }}",
        "{{ '{:.65536f}'.format(1) }}",
        "{{ '{a:>9.99999999999999999999f}'.format(a=1) }}",
    ] {
        assert!(render(template, &Conversation::default()).is_err(), "{template}");
    }
    let template = "{{ '{} [é] {:é>3}'.format(1, 2) }}{{ '%s (é) 1.65536' | format(3) }}{{ '{} 1.65536'.format(4) }}";
    assert_eq!(render(template, &Conversation::default()).unwrap(), "1 [é] éé23 (é) 1.655364 1.65536");
}

#[test]
fn nothing_outside_is_reached() {
    for template in [
        "{% include '/etc/passwd' %}",
        "{% import 'x' as y %}",
        "{% extends 'x' %}",
        "{{ ''.__class__.__mro__ }}",
        "{{ open('/etc/passwd') }}",
    ] {
        assert!(render(template, &Conversation::default()).is_err(), "{template}");
    }
}

#[test]
fn what_cannot_compile_says_where() {
    let error = compile("line one\n\n{% if x %}\n{{ oops( }}").unwrap_err();
    assert!(matches!(error, CompileError::Syntax { line: 4, .. }), "{error}");
    assert!(matches!(compile(&"x".repeat(200_000)), Err(CompileError::TooLarge { .. })));
}

#[test]
fn odd_requests_are_refused_not_mangled() {
    let cases = [
        (json!([7]), "messages[0]: a message must be an object"),
        (json!([{"content": "x"}]), "messages[0]: `role` must be a string"),
        (json!([{"role": "user", "content": 7}]), "messages[0]: `content` must be a string or a list of parts"),
        (
            json!([{"role": "user", "content": "a"}, {"role": "user", "content": [{"type": "image_url"}]}]),
            "messages[1]: a content part is not text, and this model reads nothing else",
        ),
        (json!([{"role": "assistant", "tool_calls": [{}]}]), "messages[0]: a tool call must have a `function`"),
    ];
    for (messages, expected) in cases {
        let conversation = Conversation { messages: messages.as_array().unwrap().clone(), ..Conversation::default() };
        assert_eq!(render("x", &conversation).unwrap_err().to_string(), expected);
    }
    let conversation =
        Conversation { tools: Some(Arc::new(Offered::new(&[json!({"type": "function"})]))), ..Conversation::default() };
    assert_eq!(render("x", &conversation).unwrap_err().to_string(), "tools[0]: a tool must have a `function`");
}

#[test]
fn a_long_conversation_is_rendered_at_once() {
    let template = "{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' + message.content | trim + '<|im_end|>\\n' }}{% endfor %}";
    let text = "The quick brown fox jumps over the lazy dog. ".repeat(20);
    let message =
        |index: usize| json!({"role": if index.is_multiple_of(2) { "user" } else { "assistant" }, "content": text});
    for count in [10, 500, 5000] {
        let messages: Vec<Value> = (0..count).map(message).collect();
        let conversation = Conversation { messages, ..Conversation::default() };
        let compiled = compile(template).unwrap();
        let start = Instant::now();
        let prompt = compiled.render(&conversation, CivilTime::from_unix(0)).unwrap();
        println!("{count} messages, {} bytes: {:?}", prompt.len(), start.elapsed());
        assert!(start.elapsed() < Duration::from_secs(5));
    }
}

fn compile(template: &str) -> Result<ChatTemplate, CompileError> {
    ChatTemplate::compile(&Source { template, bos_token: None, eos_token: None })
}

fn render(template: &str, conversation: &Conversation) -> Result<String, RenderError> {
    match compile(template) {
        Ok(compiled) => compiled.render(conversation, CivilTime::from_unix(0)),
        Err(error) => Err(RenderError::Raised(error.to_string())),
    }
}
