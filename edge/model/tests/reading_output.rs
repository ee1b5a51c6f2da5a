//! Reasoning, answers and calls that models write on their own accord: one text for each kind of behaviour, in any cut.

mod reading_told;

use cloudach_model::reading::{Output, OutputReader, ReasoningFormat, ToolFormat, UnknownFormat};
use reading_told::{Told, output, reader, tell};

/// Events as a line: `name(` begins a call, then come its arguments, `)` ends it; an answer is in quotes, reasoning in
/// braces with a question mark, `!` is the end.
const CASES: &[(&str, &str, &str, &str)] = &[
    // What may still become a marker waits, what is none is text.
    ("hermes", "", "a < b <tool> <tool_cal", r#""a < b <tool> <tool_cal""#),
    ("hermes", "", "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": [1]}}</tool_call>", r#"f({"a": [1]})"#),
    ("hermes", "", "Hm.\n<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>", r#""Hm.\n"f({})"#),
    // Any order, arguments as text, keys that say nothing, names that are escaped.
    ("hermes", "", "<tool_call>{\"arguments\": {\"a\": 1}, \"name\": \"f\"}</tool_call>", r#"f({"a": 1})"#),
    ("hermes", "", "<tool_call>{\"name\": \"f\", \"arguments\": \"{\\\"a\\\": 1}\"}</tool_call>", r#"f({"a": 1})"#),
    ("hermes", "", "<tool_call>{\"id\": [1, {}], \"x\": -1.5, \"name\": \"\\u0066\", \"arguments\": {}}", "f({})"),
    ("hermes", "", "<tool_call>{\"name\": \"f\", \"arguments\": null}</tool_call>", "f({})"),
    // Braces and markers inside of strings.
    (
        "hermes",
        "",
        "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": \"}</tool_call>\\\"\"}}",
        "f({\"a\": \"}</tool_call>\\\"\"})",
    ),
    // Broken ones are text, with all that belongs to them.
    ("hermes", "", "<tool_call>{\"name\": 1}</tool_call>", r#""<tool_call>{\"name\": 1}</tool_call>""#),
    ("hermes", "", "<tool_call>\n{\"name\": \"f\"}", r#""<tool_call>\n{\"name\": \"f\"}""#),
    (
        "hermes",
        "",
        "<tool_call>{\"name\": \"f\", \"arguments\": [1]}",
        r#""<tool_call>{\"name\": \"f\", \"arguments\": [1]}""#,
    ),
    ("hermes", "", "<tool_call><tool_call>{\"name\": \"f\", \"arguments\": {}}", r#""<tool_call>"f({})"#),
    // One broken call does not hide another, and is not hidden by it.
    (
        "hermes",
        "",
        "<tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call><tool_call>oops</tool_call>",
        r#""<tool_call>oops</tool_call>"f({})"#,
    ),
    // The budget ran out.
    ("hermes", "", "<tool_call>{\"name\": \"f", r#""<tool_call>{\"name\": \"f""#),
    ("hermes", "", "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": \"x", "f({\"a\": \"x"),
    // Several in one marker, as lines.
    (
        "jamba",
        "",
        "<tool_calls>\n{\"name\":\"f\",\"arguments\":{}}\n{\"name\":\"g\",\"arguments\":{}}\n</tool_calls>",
        "f({})g({})",
    ),
    (
        "minimax",
        "",
        "So.\n<tool_calls>\n{\"name\":\"f\",\"arguments\":{}}\n{\"name\":\"g\",\"arguments\":{}}\n</tool_calls>",
        r#""So."f({})g({})"#,
    ),
    ("mistral", "", "[TOOL_CALLS]f[CALL_ID]ab12[ARGS]{\"a\": 1}[TOOL_CALLS]g{}", r#"f({"a": 1})g({})"#),
    ("mistral", "", "[TOOL_CALLS]f[NO]{}", r#""f[NO]{}""#),
    ("llama3_json", "", "<|python_tag|>print(1)", r#""<|python_tag|>print(1)""#),
    ("json", "", "{\"name\": \"known\", \"parameters\": {\"a\": 1}}", r#"known({"a": 1})"#),
    (
        "json",
        "",
        "{\"name\": \"other\", \"parameters\": {\"a\": 1}}",
        r#""{\"name\": \"other\", \"parameters\": {\"a\": 1}}""#,
    ),
    ("apertus", "", "<|tools_prefix|>[{\"f\": {\"a\": 1}}, {\"g\": {}}]<|tools_suffix|> ok", r#""ok"f({"a": 1})g({})"#),
    (
        "cohere_command3",
        "",
        "<|START_ACTION|>[{\"tool_call_id\": \"0\", \"tool_name\": \"f\", \"parameters\": {}}]",
        "f({})",
    ),
    // Headers of special tokens; arguments flow unseen up to theirs.
    (
        "kimi_k2",
        "",
        "<|tool_calls_section_begin|><|tool_call_begin|>functions.f:3<|tool_call_argument_begin|> {oops<|tool_call_end|>",
        "f({oops)",
    ),
    ("kimi_k2", "", "<|tool_call_begin|>f<|tool_call_argument_begin|><|tool_call_end|>", "f({})"),
    ("deepseek_v31", "", "<｜tool▁calls▁begin｜>oops", r#""<｜tool▁calls▁begin｜>oops""#),
    // Parameters in tags: strings flow, others are typed by the schema.
    (
        "qwen3_coder",
        "",
        "<tool_call>\n<function=known>\n<parameter=s>\n1\n\n</parameter>\n<parameter=n>\n1.5\n</parameter>\n</function>\n</tool_call>",
        r#"known({"s": "1\n", "n": 1.5})"#,
    ),
    (
        "qwen3_coder",
        "",
        "<function=known><parameter=n>seven</parameter><parameter=o>{\"a\": [1]}</parameter><parameter=o>{a}</parameter></function>",
        r#"known({"n": "seven", "o": {"a": [1]}, "o": "{a}"})"#,
    ),
    (
        "qwen3_coder",
        "",
        "<function=known><parameter=b>True</parameter><parameter=u>null</parameter><parameter=u>nullable</parameter></function>",
        r#"known({"b": true, "u": null, "u": "nullable"})"#,
    ),
    ("qwen3_coder", "", "<tool_call>\n<function=known>\n<parameter=s>\nhal", r#"known({"s": "hal"#),
    ("qwen3_coder", "", "<tool_call> no", r#""<tool_call> no""#),
    // Arguments as elements, which nest; they are typed by the schema, and what is repeated is a list.
    (
        "minimax_m3",
        "",
        "So.]<]minimax[>[<tool_call>\n]<]minimax[>[<invoke name=\"known\">\n]<]minimax[>[<s>1 < 2\n]<]minimax[>[</s>\n]<]minimax[>[<n>007]<]minimax[>[</n>\n]<]minimax[>[<b>True]<]minimax[>[</b>]<]minimax[>[<u>null]<]minimax[>[</u>]<]minimax[>[</invoke>\n]<]minimax[>[</tool_call>\nOk.",
        "\"So.\"known({\"s\": \"1 < 2\\n\", \"n\": 7, \"b\": true, \"u\": null})",
    ),
    (
        "minimax_m3",
        "",
        "]<]minimax[>[<tool_call>]<]minimax[>[<invoke name='known'>]<]minimax[>[<o>]<]minimax[>[<a>1]<]minimax[>[</a>]<]minimax[>[<a>]<]minimax[>[<b>]<]minimax[>[</b>x]<]minimax[>[</a>]<]minimax[>[</o>]<]minimax[>[<l>]<]minimax[>[<item>1]<]minimax[>[</item>]<]minimax[>[</l>]<]minimax[>[</invoke>]<]minimax[>[<invoke name=g>]<]minimax[>[</invoke>]<]minimax[>[</tool_call>",
        "known({\"o\": {\"a\": [\"1\", {\"b\": \"\", \"$text\": \"x\"}]}, \"l\": [\"1\"]})g({})",
    ),
    // What is complete of a call that is not; from a tag that is none on, nothing is read.
    (
        "minimax_m3",
        "",
        "]<]minimax[>[<tool_call>]<]minimax[>[<invoke name=\"known\">]<]minimax[>[<s>a]<]minimax[>[</s>]<]minimax[>[<n>1",
        "known({\"s\": \"a\"}",
    ),
    (
        "minimax_m3",
        "",
        "]<]minimax[>[<tool_call>]<]minimax[>[<invoke name=\"known\">]<]minimax[>[<s>a]<]minimax[>[</s>]<]minimax[>[<n>1]<]minimax[>[</m>]<]minimax[>[<b>true]<]minimax[>[</b>]<]minimax[>[</invoke>",
        "known({\"s\": \"a\"})",
    ),
    ("minimax_m3", "", "]<]minimax[>[<tool_call>oops", "\"]<]minimax[>[<tool_call>oops\""),
    // The types stand in the tags, names are escaped, values are not; what is behind a name in quotes is none of it.
    (
        "kimi_k3",
        "",
        "<|open|>tools<|sep|><|open|>call tool=\"f\" index=\"1\"<|sep|>\
         <|open|>argument key=\"a&quot;&amp;lt;\" type=\"string\"<|sep|>1 &amp; <b><|close|>argument<|sep|>\
         <|open|>argument key=\"n\" type=\"number\"<|sep|>1<|close|>argument<|sep|><|close|>call<|sep|>\
         <|open|>call tool=\"g\" index=\"2\"<|sep|><|close|>call<|sep|><|close|>tools<|sep|>",
        "f({\"a\\\"&lt;\": \"1 &amp; <b>\", \"n\": 1})g({})",
    ),
    ("kimi_k3", "", "<|open|>tools<|sep|>oops", r#""<|open|>tools<|sep|>oops""#),
    (
        "k2_horizon",
        "",
        "So.<ifm|tool_calls>\n<ifm|tool_call>known\n<ifm|arg_key>n</ifm|arg_key>\n<ifm|arg_type>number</ifm|arg_type>\n\
         <ifm|arg_value>1</ifm|arg_value>\n</ifm|tool_call>\n<ifm|tool_call>g</ifm|tool_call>\n</ifm|tool_calls>",
        r#""So."known({"n": 1})g({})"#,
    ),
    (
        "dots",
        "",
        "So.\n<dots_function_call>\n<invoke name=\"known\">\n<parameter name=\"s\">\na\n</parameter>\n\
         <parameter name='n'>1</parameter>\n</invoke>\n</dots_function_call>",
        r#""So."known({"s": "a", "n": 1})"#,
    ),
    (
        "plamo3",
        "",
        "So.<|plamo:begin_tool_requests:plamo|><|plamo:begin_tool_request:plamo|><|plamo:begin_tool_name:plamo|>f\
         <|plamo:end_tool_name:plamo|><|plamo:begin_tool_arguments:plamo|><|plamo:constrain|>json<|plamo:msg|>{\"a\": 1}\
         <|plamo:end_tool_arguments:plamo|><|plamo:end_tool_request:plamo|><|plamo:end_tool_requests:plamo|>",
        r#""So."f({"a": 1})"#,
    ),
    (
        "glm45",
        "",
        "<tool_call>known\n<arg_key>n</arg_key>\n<arg_value>007</arg_value>\n</tool_call>",
        r#"known({"n": 7})"#,
    ),
    ("glm45", "", "<tool_call>", r#""<tool_call>""#),
    (
        "hy_v3",
        "",
        "Hm.<tool_calls><tool_call>known<tool_sep>\n<arg_key>n</arg_key>\n<arg_value>7</arg_value></tool_call><tool_call>f<tool_sep></tool_call></tool_calls>",
        r#""Hm."known({"n": 7})f({})"#,
    ),
    (
        "deepseek_v32",
        "",
        "<｜DSML｜function_calls><｜DSML｜invoke name=\"f\"><｜DSML｜parameter name=\"a\" string=\"true\">1</｜DSML｜parameter><｜DSML｜parameter name=\"b\" string=\"false\">[1]</｜DSML｜parameter></｜DSML｜invoke>",
        r#"f({"a": "1", "b": [1]})"#,
    ),
    // Python.
    (
        "pythonic",
        "",
        r#"[f(a='it\'s "x"\n\x41\u00e9', b=[1, (2,), {'k': None}], c=-1_000, d='''q'q'''), g()]"#,
        r#"f({"a": "it's \"x\"\nAé", "b": [1, [2], {"k": null}], "c": -1000, "d": "q'q"})g({})"#,
    ),
    ("pythonic", "", "See [f(1)] or [g(x=1)].", r#""See [f(1)] or [g(x=1)].""#),
    ("pythonic", "", "So: [known(s='')]", r#""So: "known({"s": ""})"#),
    ("olmo3", "", "<function_calls>\nf(a=1)\ng()\n</function_calls>", r#"f({"a": 1})g({})"#),
    // A quote in the middle of a word ends nothing.
    ("pythonic", "", "[f(a='it's', b='')]", r#"f({"a": "it's", "b": ""})"#),
    // White space between the end of a call and the end of its notation is part of that; other is the client's.
    ("granite4", "", "<tool_call>{\"name\": \"f\", \"arguments\": {}}\n</tool_call> ok", r#"" ok"f({})"#),
    ("apertus", "", "So.\n<|tools_prefix|>[{\"f\": {}}]<|tools_suffix|> Done.", r#""So.\nDone."f({})"#),
    // Half of a marker that ended with the budget is for nobody.
    ("glm45", "", "<tool_call>f<arg_key>a</arg_key><arg_value>b</arg_v", r#"f({"a": "b"#),
    ("glm45", "", "<tool_call>f<arg_key>a</arg_key><arg", "f({})"),
    // No value at all is none.
    ("pythonic", "", "[f(a={'k': }, b=1)]", r#""}, b=1)]"f({"a": {"k": "#),
    // A line that goes on says nothing.
    ("pythonic", "", "[f(a='\\\n')]", r#"f({"a": ""})"#),
    // A call has a name.
    ("apertus", "", "<|tools_prefix|>[{\"\": {}}]", r#""<|tools_prefix|>[{\"\": {}}]""#),
    // Marks of reasoning inside of a call are its arguments'.
    (
        "qwen3_coder",
        "glm45",
        "<tool_call><function=known><parameter=s><think>a</think></parameter></function></tool_call><think>b",
        r#"{?"b"}known({"s": "<think>a</think>"})"#,
    ),
    ("mistral", "mistral", "[TOOL_CALLS]f[ARGS]{\"a\": \"[THINK]\"}", r#"f({"a": "[THINK]"})"#),
    // Gemma.
    (
        "gemma4",
        "",
        "<|tool_call>call:known{s:<|\"|>a\"b<|\"|>,n:[1,<|\"|>x<|\"|>,{k:true}]}<tool_call|>",
        r#"known({"s": "a\"b", "n": [1, "x", {"k": true}]})"#,
    ),
    ("gemma4", "", "<|tool_call>callf{}", r#""<|tool_call>callf{}""#),
    // Reasoning.
    ("", "deepseek_r1", "\n<think>a < b\n</think>\n c </think>", r#"{?"a < b\n"}"\n c </think>""#),
    ("", "deepseek_r1", "never closed </thin", r#"{?"never closed </thin"}"#),
    ("", "deepseek_v3", "no thoughts <think>", r#""no thoughts <think>""#),
    ("", "step3p5", "a\n\n</think>\n\nb", r#"{?"a\n"}"\nb""#),
    ("", "identity", "<think>a</think>", r#""<think>a</think>""#),
    ("", "minimax_m2", "a \n\n</think>b", r#"{?"a"}"b""#),
    ("", "mistral", "[THINK]a[/THINK]b[THINK]c[/THINK]", r#"{?"ac"}"b""#),
    ("hermes", "qwen3", "a<tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>", r#"{?"a"}f({})"#),
    ("hermes", "qwen3", "a</think>\n\n<tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>\n", r#"{?"a"}f({})"#),
    ("", "minimax_m3", "<mm:think>a</mm:think>b", r#"{?"a"}"b""#),
    ("", "k2_horizon", "<ifm|think_fast>a</ifm|think_fast>b", r#"{?"a"}"b""#),
    ("", "plamo3", "a<|plamo:end_think:plamo|>b", r#"{?"a"}"b""#),
    (
        "kimi_k3",
        "kimi_k3",
        "<|open|>think<|sep|>a<|close|>think<|sep|><|open|>response<|sep|>b<|close|>response<|sep|><|open|>tools<|sep|>\
         <|open|>call tool=\"f\" index=\"1\"<|sep|><|close|>call<|sep|><|close|>tools<|sep|><|close|>message<|sep|>",
        r#"{?"a"}"b"f({})"#,
    ),
    // Harmony.
    (
        "harmony",
        "harmony",
        "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>commentary to=functions.f <|constrain|>json<|message|>{}<|call|>",
        r#"{?"a"}f({})"#,
    ),
    (
        "harmony",
        "harmony",
        "<|channel|>analysis to=python<|message|>1<|end|><|channel|>final<|message|>b <|c",
        r#"{?"1"}"b <|c""#,
    ),
];

#[test]
fn cases() {
    for (tool_format, reasoning_format, text, expected) in CASES {
        let reader = reader(tool_format, reasoning_format);
        let told = tell(&reader, &[text]);
        assert_eq!(line(&told), *expected, "{tool_format} {reasoning_format} {text:?}");
        let places: Vec<usize> = (1..text.len()).filter(|place| text.is_char_boundary(*place)).collect();
        for place in &places {
            let (begin, end) = text.split_at(*place);
            assert_eq!(tell(&reader, &[begin, end]), told, "{begin:?} {end:?}");
        }
        let signs: Vec<String> = text.chars().map(String::from).collect();
        assert_eq!(tell(&reader, &signs.iter().map(String::as_str).collect::<Vec<_>>()), told, "{text:?}");
    }
}

/// What is certain is given out with the piece that made it so.
#[test]
fn pieces_flow() {
    let steps = [
        (
            "hermes",
            vec![
                ("Let me ", r#""Let me ""#),
                ("see <to", r#""see ""#),
                ("ol_call>{\"name\": \"f\"", ""),
                (", \"arguments\": {", ""),
                ("\"a\"", "f({\"a\""),
                (": \"b", ": \"b"),
                ("c\"}", "c\"})"),
            ],
        ),
        (
            "qwen3_coder",
            vec![
                ("<tool_call>\n<function=known>", "known("),
                ("\n<parameter=s>", "{\"s\": "),
                ("\nab", "\"ab"),
                ("c\n", "c"),
                ("d</para", "\\nd"),
                ("meter>", "\""),
                ("</function>", "})"),
            ],
        ),
        ("pythonic", vec![("[f(", ""), ("a=", "f({\"a\": "), ("'x", "\"x"), ("y', b=1", "y\", \"b\": "), (")", "1})")]),
    ];
    for (format, steps) in steps {
        let mut reader = reader(format, "");
        for (piece, expected) in steps {
            let mut told = Told::default();
            reader.push(piece, &mut |event| told.add(event));
            assert_eq!(line(&told), expected, "{format} {piece:?}");
        }
    }
}

#[test]
fn prompts_open_reasoning() {
    let cases = [
        ("deepseek_v3", "<｜Assistant｜><think>\n", "a</think>b", r#"{?"a"}"b""#),
        ("deepseek_v3", "<｜Assistant｜></think>", "a</think>b", r#""a</think>b""#),
        ("qwen3", "<|im_start|>assistant\n<think>\n\n</think>\n\n", "a", r#""a""#),
        // The end of a former turn's reasoning says nothing of this one.
        ("qwen3", "</think>\n\nb<|im_end|>\n<|im_start|>assistant\n", "a</think>b", r#"{?"a"}"b""#),
        // So does what a client has said.
        (
            "granite",
            "What does the <think> tag mean?<|end_of_text|>\n<|start_of_role|>assistant<|end_of_role|>",
            "It is a tag.",
            r#""It is a tag.""#,
        ),
        ("deepseek_v3", "Is <think> one?<|im_end|>\n<|im_start|>assistant\n", "It is.", r#""It is.""#),
        ("mistral", "[INST]What is [THINK]?[/INST]", "It is.", r#""It is.""#),
        // A message that is gone on with.
        ("qwen3", "<|im_start|>assistant\n<think>\na</think>\n\nHello", " you", r#"" you""#),
        ("deepseek_v3", "<｜Assistant｜><think>\nFirst", ", a</think>b", r#"{?", a"}"b""#),
        (
            "kimi_k3",
            "<|open|>message role=\"assistant\"<|sep|><|open|>think<|sep|>",
            "a<|close|>think<|sep|>b",
            r#"{?"a"}"b""#,
        ),
        ("kimi_k3", "<|open|>message role=\"assistant\"<|sep|><|open|>response<|sep|>", "a", r#""a""#),
        ("harmony", "<|start|>assistant<|channel|>final<|message|>Hel", "lo<|return|>", r#""lo""#),
        ("harmony", "<|start|>assistant<|channel|>analysis<|message|>", "a<|end|>", r#"{?"a"}"#),
    ];
    for (format, prompt_end, text, expected) in cases {
        let reader = OutputReader::new(&Output { prompt_end, ..output("", format) });
        assert_eq!(line(&tell(&reader, &[text])), expected, "{format} {prompt_end:?}");
    }
}

/// Without tools on offer nothing is a call, and reasoning is reasoning still.
#[test]
fn nothing_is_offered() {
    let text = "a</think>b <tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call> c";
    let reader = OutputReader::new(&Output { offered: false, ..output("hermes", "qwen3") });
    let expected = r#"{?"a"}"b <tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call> c""#;
    assert_eq!(line(&tell(&reader, &[text])), expected);
    let text = "<|channel|>commentary to=functions.f<|message|>{}<|call|>";
    let reader = OutputReader::new(&Output { offered: false, ..output("harmony", "harmony") });
    assert_eq!(line(&tell(&reader, &[text])), r#""{}""#);
}

#[test]
fn one_call_is_wanted() {
    let text = "Hm.<tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call><tool_call>{\"name\": \"g\"";
    let reader = OutputReader::new(&Output { one_call: true, ..output("hermes", "") });
    assert_eq!(line(&tell(&reader, &[text])), r#""Hm."f({})!"#);
    assert_eq!(line(&tell(&reader, &[&text[..60], &text[60..], "more"])), r#""Hm."f({})!"#);
}

/// Stop strings end the answer; they are not looked for in reasoning and calls.
#[test]
fn stop_strings() {
    let stops = ["END".to_owned()];
    let cases = [
        ("END</think>a EN", false, r#"{?"END"}"a EN""#),
        ("</think>a ENDb", false, r#""a "!"#),
        ("</think>a ENDb", true, r#""a END"!"#),
        (
            "</think>E<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": \"END\"}}</tool_call>",
            false,
            r#""E"f({"a": "END"})"#,
        ),
    ];
    for (text, keep_stop, expected) in cases {
        let reader = OutputReader::new(&Output { stops: &stops, keep_stop, ..output("hermes", "qwen3") });
        assert_eq!(line(&tell(&reader, &[text])), expected, "{text}");
    }
}

#[test]
fn unknown_names_are_told() {
    let error: UnknownFormat = "nonsense".parse::<ToolFormat>().unwrap_err();
    let said = error.to_string();
    assert!(said.starts_with("there is no tool format `nonsense`, use one of hermes, "), "{said}");
    assert!("qwen3".parse::<ReasoningFormat>().is_ok());
    for format in ToolFormat::all() {
        assert_eq!(format.name().parse::<ToolFormat>().unwrap(), format);
    }
    for format in ReasoningFormat::all() {
        assert_eq!(format.name().parse::<ReasoningFormat>().unwrap(), format);
    }
}

fn line(told: &Told) -> String {
    let mut line = String::new();
    if !told.reasoning.is_empty() {
        line += &format!("{{?{:?}}}", told.reasoning);
    }
    if !told.content.is_empty() {
        line += &format!("{:?}", told.content);
    }
    for (name, arguments, ended) in &told.calls {
        line += name;
        line += if name.is_empty() { "" } else { "(" };
        line += arguments;
        line += if *ended { ")" } else { "" };
    }
    line + if told.stopped { "!" } else { "" }
}
