//! Forced calls, cut anywhere: what begins when, what is lost (nothing), and what happens to text that is no call.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops where it is")]

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use cloudach_model::reading::{Event, Forced, Function, Reader};
use proptest::prelude::*;
use serde_json::Value;

const WEATHER: Function<'_> = Function { name: "get_weather", parameters: None };
const OTHER: Function<'_> = Function { name: "naïve \"f\"", parameters: None };
const NAMED: Forced<'_> = Forced::Named(WEATHER);
const REQUIRED: Forced<'_> = Forced::Required { functions: &[WEATHER, OTHER], parallel: true };

/// More than a reader may hold, with its description around it.
const MOST_MEMORY: usize = 150 * 1024;

/// Events as a line: `name(` begins a call, then come its arguments, `)` ends it; text is in quotes.
#[test]
fn required() {
    let cases = [
        (r#"[{"name": "get_weather", "parameters": {"city": "Paris"}}]"#, r#"get_weather({"city": "Paris"})"#),
        (
            r#"[{"name":"get_weather","parameters":{}},{"name":"get_weather","parameters":{"a":[{}]}}]"#,
            r#"get_weather({})get_weather({"a":[{}]})"#,
        ),
        // White space wherever it may be; that of the arguments is theirs.
        (
            " \n[\n{ \"name\" :\r\n\"get_weather\" , \"parameters\"\t: { \"a\" : 1 } }\n, {\"name\":\"get_weather\",\"parameters\":{}} ]\n ",
            "get_weather({ \"a\" : 1 })get_weather({})",
        ),
        // What looks like an end, inside of strings.
        (
            r#"[{"name":"get_weather","parameters":{"code":"}]{[\"]\\","x":"\\\""}}]"#,
            r#"get_weather({"code":"}]{[\"]\\","x":"\\\""})"#,
        ),
        (r#"[{"name":"get_weather","parameters":{"é":"🙂 \u6771"}}]"#, r#"get_weather({"é":"🙂 \u6771"})"#),
        (r#"[{"name":"na\u00efve \"f\"","parameters":{}}]"#, r#"naïve "f"({})"#),
        (r#"[{"na\u006de":"naïve \"f\"","parameters":{}}]"#, r#"naïve "f"({})"#),
        // Arguments before their name wait for it; none at all are none.
        (r#"[{"parameters" : {"a":{}} ,"name":"get_weather"}]"#, r#"get_weather({"a":{}})"#),
        (r#"[{"name":"get_weather"},{"name":"get_weather"}]"#, "get_weather({})get_weather({})"),
        // The budget ran out. What has begun stays as it is.
        ("", ""),
        (" ", ""),
        ("[", ""),
        (r#"[{"name":"get_weath"#, ""),
        (r#"[{"name":"get_weather""#, "get_weather("),
        (r#"[{"name":"get_weather","parameters":"#, "get_weather("),
        (r#"[{"name":"get_weather","parameters":{"city":"Par"#, r#"get_weather({"city":"Par"#),
        (r#"[{"name":"get_weather","parameters":{"city":"Par\"#, r#"get_weather({"city":"Par\"#),
        (r#"[{"name":"get_weather","parameters":{}"#, "get_weather({}"),
        (r#"[{"name":"get_weather","parameters":{}},{"na"#, "get_weather({})"),
        (r#"[{"parameters":{"a":1}"#, ""),
        // The constraint was not kept.
        ("Sure! [1]", r#""Sure! [1]""#),
        ("\n\n é", r#""\n\n é""#),
        ("é", r#""é""#),
        ("[]", r#""[]""#),
        ("[[", r#""[[""#),
        (r#"{"name":"get_weather","parameters":{}}"#, r#""{\"name\":\"get_weather\",\"parameters\":{}}""#),
        (r#"[{"name":"Bob"}]"#, r#""[{\"name\":\"Bob\"}]""#),
        (r#"[{"name":1}]"#, r#""[{\"name\":1}]""#),
        (r#"[{"name":"\ud800"}]"#, r#""[{\"name\":\"\\ud800\"}]""#),
        (r#"[{"age":1}]"#, r#""[{\"age\":1}]""#),
        (r#"[{"parameters":{}}]"#, r#""[{\"parameters\":{}}]""#),
        (r#"[{"parameters":{},"parameters":{}}]"#, r#""[{\"parameters\":{},\"parameters\":{}}]""#),
        (r#"[{"name":"get_weather","parameters":5}]"#, r#"get_weather(",\"parameters\":5}]""#),
        (r#"[{"name":"get_weather","name":"get_weather"}]"#, r#"get_weather(",\"name\":\"get_weather\"}]""#),
        (r#"[{"name":"get_weather","parameters":{},"x":1}]"#, r#"get_weather({})",\"x\":1}]""#),
        (r#"[{"name":"get_weather","parameters":{}}{"#, r#"get_weather({})"{""#),
        (r#"[{"name":"get_weather","parameters":{}}, 1, é]"#, r#"get_weather({})", 1, é]""#),
        ("[{\"name\":\"get_weather\",\"parameters\":{}}]\n I hope", r#"get_weather({})"\n I hope""#),
    ];
    for (text, expected) in cases {
        check(&REQUIRED, text, expected);
    }
}

#[test]
fn named() {
    let cases = [
        (r#"{"city": "Paris"}"#, r#"get_weather({"city": "Paris"})"#),
        (" \n{ } \n", "get_weather({ })"),
        ("", ""),
        ("\n", ""),
        (r#"{"city": "Pa"#, r#"get_weather({"city": "Pa"#),
        ("{\n\n ", "get_weather({\n\n "),
        (r#"{"a":"}"}"#, r#"get_weather({"a":"}"})"#),
        (" Sure {}", r#"" Sure {}""#),
        ("[]", r#""[]""#),
        (r#"{} as asked"#, r#"get_weather({})" as asked""#),
        (r#"{}{}"#, r#"get_weather({})"{}""#),
    ];
    for (text, expected) in cases {
        check(&NAMED, text, expected);
    }
}

/// What is certain is given out with the piece that made it so.
#[test]
fn arguments_flow() {
    let steps = [
        ("[{\"na", ""),
        ("me\": \"get_weather", ""),
        ("\", \"par", "get_weather("),
        ("ameters\": ", ""),
        ("{", "{"),
        ("\"ci", "\"ci"),
        ("ty\": \"Par", "ty\": \"Par"),
        ("is\"}", "is\"}"),
        ("}", ")"),
        (", {\"name\": \"get_weather\", \"parameters\": {\"a", "get_weather({\"a"),
        ("\": 1}}]", "\": 1})"),
    ];
    let mut reader = Reader::of_calls(&REQUIRED, &[], false);
    for (piece, expected) in steps {
        assert_eq!(line(&read(&mut reader, [piece])), expected, "{piece}");
    }
}

/// Text in place of calls ends at a stop string, for every cut, which is nothing to calls.
#[test]
fn stop_strings_are_about_text() {
    let stops = ["Paris".to_owned(), "ris and".to_owned()];
    for (text, expected, met) in [
        (r#"{"city": "Paris"}"#, r#""{\"city\": \""."#, Some("Paris")),
        (r#"{"city": "Pari"}"#, r#""{\"city\": \"Pari\"}""#, None),
        ("To Pa", r#""To Pa""#, None),
        (r#"[{"name": "get_weather", "parameters": {"city": "Paris"}}]"#, r#"get_weather({"city": "Paris"})"#, None),
    ] {
        for cut in 0..=text.len() {
            let mut reader = Reader::of_calls(&REQUIRED, &stops, false);
            let more = if met.is_some() { " and on" } else { "" };
            let seen = read(&mut reader, [&text[..cut], &text[cut..], more]);
            assert_eq!((&*line(&seen), reader.stop_met()), (expected, met), "{text} cut at {cut}");
        }
    }
}

/// What vLLM's own tests take for the two forms, in a folder beside this repository.
#[test]
fn golden_outputs() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/tool-output");
    if !folder.is_dir() {
        assert!(std::env::var_os("CI").is_none(), "the recorded outputs are missing at {}", folder.display());
        println!("skipped: no recorded outputs at {}", folder.display());
        return;
    }
    let open = |name: &str| serde_json::from_str::<Value>(&fs::read_to_string(folder.join(name)).unwrap()).unwrap();
    let tools = open("tools.json");
    let names = tools.as_array().unwrap().iter().map(|tool| tool["function"]["name"].as_str().unwrap());
    let functions: Vec<Function<'_>> = names.map(|name| Function { name, parameters: None }).collect();
    let mut compared = 0;
    for (file, forced) in [
        ("tool_choice_required.json", Forced::Required { functions: &functions, parallel: true }),
        ("tool_choice_named.json", NAMED),
    ] {
        for case in open(file)["cases"].as_array().unwrap() {
            let raw = case["raw_output"].as_str().unwrap();
            let expected = match (&forced, serde_json::from_str::<Value>(raw)) {
                (Forced::Required { .. }, Ok(calls)) => calls.as_array().unwrap().iter().map(of_call).collect(),
                (Forced::Named(_), Ok(_)) => format!("get_weather({raw})"),
                (_, Err(_)) => format!("get_weather({raw}"),
            };
            let chunks = case["chunks"].as_array().unwrap().iter().map(|chunk| chunk.as_str().unwrap());
            let seen = read(&mut Reader::of_calls(&forced, &[], false), chunks);
            // The recorded texts have one space behind each sign, and escapes.
            let plain = |text: &str| text.replace(": ", ":").replace("\\u6771\\u4eac", "東京");
            assert_eq!(plain(&line(&seen)), plain(&expected), "{}", case["id"]);
            compared += 1;
        }
    }
    assert!(compared >= 5, "{compared} recorded outputs");
}

fn of_call(call: &Value) -> String {
    format!("{}({})", call["name"].as_str().unwrap(), call["parameters"])
}

/// Ten megabytes of each: in memory that has a bound, in time that is linear.
#[test]
fn hostile_texts() {
    let cases = [
        ("", "[", true),
        ("", "[{", true),
        ("", " \n", false),
        ("[", "\n\t", true),
        (r#"[{"name":""#, "a", true),
        (r#"[{"name":""#, r"\u0061", true),
        (r#"[{""#, "é", true),
        (r#"[{"parameters":{"a":"#, "[", true),
        (r#"[{"name":"get_weather","parameters":{"a":"#, "[", false),
        (r#"[{"name":"get_weather","parameters":{"a":"#, r#"{"a":"#, false),
        (r#"[{"name":"get_weather","parameters":{"a":""#, r#"\""#, false),
        (r#"[{"name":"get_weather","parameters":{}"#, " ", false),
        (r#"[{"name":"get_weather","parameters":{}}]"#, "\n", false),
        (r#"[{"name":"get_weather","parameters":{}}"#, r#",{"name":"get_weather","parameters":{}}"#, false),
    ];
    for (begin, repeated, is_text) in cases {
        let start = Instant::now();
        let mut reader = Reader::of_calls(&REQUIRED, &[], false);
        let piece = repeated.repeat(1000 / repeated.len());
        let mut pushed = begin.len();
        let mut text = 0;
        let mut most = 0;
        let mut emit = |event: Event<'_>| text += if let Event::Text(shown) = event { shown.len() } else { 0 };
        reader.push(begin, &mut emit);
        while pushed < 10_000_000 {
            reader.push(&piece, &mut emit);
            pushed += piece.len();
            if pushed % 97 == 0 || pushed < 200_000 {
                most = most.max(format!("{reader:?}").len());
            }
        }
        reader.finish(&mut emit);
        println!("{:?} {most} {begin}{repeated:.10}", start.elapsed());
        // What was text was all text, but for what is a call of its own.
        assert_eq!(text > 0, is_text, "{begin}{repeated}");
        assert!(!is_text || text + 100 > pushed, "{begin}{repeated}: {text} of {pushed}");
        assert!(most < MOST_MEMORY, "{begin}{repeated} held {most}");
        assert!(start.elapsed() < Duration::from_secs(30), "{begin}{repeated} took {:?}", start.elapsed());
    }
}

/// A call in some spelling: its text, and what it is to the client.
fn call() -> impl Strategy<Value = (String, String)> {
    let space = || prop::sample::select(vec!["", "", " ", "\n", "\r\n\t "]);
    let name = prop::sample::select(vec![
        ("get_weather", "get_weather"),
        ("get\\u005fweather", "get_weather"),
        ("naïve \\\"f\\\"", "naïve \"f\""),
    ]);
    let arguments = prop::sample::select(vec![
        "{}",
        "{ }",
        r#"{"city": "Paris", "days": 3}"#,
        r#"{"a":[1,{"b":[[]]}],"é":"🙂"}"#,
        r#"{"}":"{[\"\\","x":"]}\\\""}"#,
        "{\n  \"text\" : \"東京 }\"\n}",
    ]);
    let spaces = prop::collection::vec(space(), 9);
    (name, arguments, spaces, any::<bool>()).prop_map(|((written, name), arguments, s, name_first)| {
        let name_member = format!("\"name\"{}:{}\"{written}\"", s[0], s[1]);
        let other_member = format!("\"parameters\"{}:{}{arguments}", s[2], s[3]);
        let (first, second) = if name_first { (name_member, other_member) } else { (other_member, name_member) };
        let text = format!("{}{{{}{first}{},{}{second}{}}}", s[4], s[5], s[6], s[7], s[8]);
        (text, format!("{name}({arguments})"))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn every_call_is_read(calls in prop::collection::vec(call(), 1..4), end in "[ \n]{0,3}") {
        let texts: Vec<&str> = calls.iter().map(|(text, _)| text.as_str()).collect();
        let expected: String = calls.iter().map(|(_, call)| call.as_str()).collect();
        check(&REQUIRED, &format!("{end}[{}{end}]{end}", texts.join(&format!("{end},"))), &expected);
    }

    /// One sign too much, one too little, or an early end.
    #[test]
    fn every_text_is_read_the_same_however_cut(
        calls in prop::collection::vec(call(), 1..3),
        at in any::<prop::sample::Index>(),
        change in prop::sample::select(vec!["", "cut", "[", "]", "{", "}", "\"", ",", ":", "\\", "1", "é", "name", " "]),
    ) {
        let texts: Vec<&str> = calls.iter().map(|(text, _)| text.as_str()).collect();
        let whole: Vec<char> = format!("[{}]", texts.join(",")).chars().collect();
        let (before, after) = whole.split_at(at.index(whole.len()));
        let before = String::from_iter(before);
        let text = match change {
            "cut" => before,
            "" => before + &String::from_iter(&after[1..]),
            sign => before + sign + &String::from_iter(after),
        };
        for forced in [REQUIRED, NAMED] {
            let seen = read(&mut Reader::of_calls(&forced, &[], false), [text.as_str()]);
            check(&forced, &text, &line(&seen));
            // Text is the rest, from some place on.
            let mut plain = seen.iter().filter_map(|event| if let Seen::Text(text) = event { Some(text) } else { None });
            if let Some(rest) = plain.next() {
                prop_assert!(text.ends_with(rest.as_str()));
                prop_assert!(matches!(seen.last(), Some(Seen::Text(_))));
            }
            prop_assert_eq!(plain.next(), None);
        }
    }

    #[test]
    fn arguments_of_a_named_function(call in call(), cut in any::<prop::sample::Index>()) {
        let object = call.0.trim();
        let end = (0..=object.len()).filter(|end| object.is_char_boundary(*end)).collect::<Vec<_>>();
        let end = *cut.get(&end);
        let arguments = &object[..end];
        let expected = match end {
            0 => String::new(),
            end if end == object.len() => format!("get_weather({object})"),
            _ => format!("get_weather({arguments}"),
        };
        check(&NAMED, arguments, &expected);
    }
}

/// Whole, cut in two at every place, and cut at every place.
fn check(forced: &Forced<'_>, text: &str, expected: &str) {
    let ends: Vec<usize> = text.char_indices().map(|(begin, _)| begin).chain([text.len()]).collect();
    for end in &ends {
        let (first, second) = text.split_at(*end);
        let seen = read(&mut Reader::of_calls(forced, &[], false), [first, second]);
        assert_eq!(line(&seen), expected, "{first:?} {second:?}");
    }
    let seen = read(&mut Reader::of_calls(forced, &[], false), ends.windows(2).map(|ends| &text[ends[0]..ends[1]]));
    assert_eq!(line(&seen), expected, "{text:?} character by character");
}

#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Begin(String),
    Arguments(String),
    End,
    Text(String),
    Stopped,
}

fn read<'t>(reader: &mut Reader, pieces: impl IntoIterator<Item = &'t str>) -> Vec<Seen> {
    let mut seen = Vec::new();
    let mut emit = |event: Event<'_>| match (event, seen.last_mut()) {
        (Event::Text("") | Event::CallArguments(""), _) => panic!("an empty event"),
        (Event::Reasoning(_), _) => panic!("calls have no reasoning"),
        (Event::Stopped, _) => seen.push(Seen::Stopped),
        (Event::Text(more), Some(Seen::Text(text))) => text.push_str(more),
        (Event::Text(text), _) => seen.push(Seen::Text(text.to_owned())),
        (Event::CallArguments(more), Some(Seen::Arguments(arguments))) => arguments.push_str(more),
        (Event::CallArguments(arguments), _) => seen.push(Seen::Arguments(arguments.to_owned())),
        (Event::CallBegin { name }, _) => seen.push(Seen::Begin(name.to_owned())),
        (Event::CallEnd, _) => seen.push(Seen::End),
    };
    for piece in pieces {
        reader.push(piece, &mut emit);
    }
    reader.clone().finish(&mut emit);
    seen
}

fn line(seen: &[Seen]) -> String {
    let one = |seen: &Seen| match seen {
        Seen::Begin(name) => format!("{name}("),
        Seen::Arguments(arguments) => arguments.clone(),
        Seen::End => ")".to_owned(),
        Seen::Text(text) => format!("{text:?}"),
        Seen::Stopped => ".".to_owned(),
    };
    seen.iter().map(one).collect()
}
