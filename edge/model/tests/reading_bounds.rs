//! Outputs that are longer than anybody means them: memory has a bound, time is linear, and cuts change nothing.

mod reading_told;

use std::time::{Duration, Instant};

use cloudach_model::reading::{Output, OutputReader, ToolFormat};
use reading_told::{output, reader, tell};

/// More than a reader may hold, with its description around it.
const MOST_MEMORY: usize = 600 * 1024;

/// What is too long to be a name is none, wherever it is cut: also in the marker behind it.
#[test]
fn names_are_bounded() {
    for length in [255, 256, 257] {
        let name = "f".repeat(length);
        let cases = [
            ("qwen3_coder", format!("<function={name}></function>")),
            ("glm45", format!("<tool_call>{name}</tool_call>")),
            ("qwen3_coder", format!("<function=f><parameter={name}>1</parameter></function>")),
            ("kimi_k2", format!("<|tool_call_begin|>{}{name}<|tool_call_argument_begin|>{{}}", "f".repeat(256))),
        ];
        for (format, text) in cases {
            let reader = reader(format, "");
            let told = tell(&reader, &[&text]);
            let named =
                told.calls.iter().any(|(called, arguments, _)| called.contains(&name) || arguments.contains(&name));
            assert_eq!(named, length <= 256, "{format} {length}");
            for place in 0..text.len() {
                assert_eq!(tell(&reader, &[&text[..place], &text[place..]]), told, "{format} {length} {place}");
            }
        }
    }
}

/// What is held of signs of several bytes does not depend on the cuts either.
#[test]
fn what_is_held_ends_alike() {
    let header = format!("<|channel|>commentary to=functions.{}éaa<|message|>{{}}<|call|>", "f".repeat(988));
    let space = format!("</think>\u{3000}{}\u{3000}  a", " ".repeat(16 * 1024 - 4));
    for (format, text) in [("harmony", header), ("qwen3", space)] {
        let reader = reader(if format == "harmony" { format } else { "qwen3_coder" }, format);
        let told = tell(&reader, &[&text]);
        let signs: Vec<String> = text.chars().map(String::from).collect();
        assert_eq!(tell(&reader, &signs.iter().map(String::as_str).collect::<Vec<_>>()), told);
    }
}

/// A hundred kilobytes of each beginning to every format: in memory that has a bound, in time that is linear.
#[test]
fn hostile_texts() {
    let cases = [
        ("", "<tool_call>"),
        ("", "<tool_call>{\"name\": \""),
        ("", "<tool_call>{\"a\": [[[["),
        ("", "{\"k\": \"{"),
        ("", "["),
        ("", "{"),
        ("", " \n"),
        ("<tool_call>", " "),
        ("<|start|>", "<|channel|>analysis"),
        ("<function=f><parameter=n>", "1"),
        ("<function=f><parameter=n>", " "),
        ("<function=f><parameter=", "a"),
        ("<tool_call>f<arg_key>a</arg_key><arg_value>[", "["),
        ("<tool_call>", "f"),
        ("<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>function<｜tool▁sep｜>"),
        ("<|tool_calls_section_begin|><|tool_call_begin|>", "a"),
        ("[f(a=", "["),
        ("[f(a='", "\\"),
        ("[f(", "a"),
        ("<|tool_call>call:", "f"),
        ("<|tool_call>call:f{", "a:{"),
        ("<|tool_call>call:f{a:", "1"),
    ];
    for tool_format in ToolFormat::all() {
        for (begin, repeated) in cases {
            let start = Instant::now();
            let mut reader = OutputReader::new(&Output { tool_format: Some(tool_format), ..output("", "") });
            let piece = repeated.repeat(1000 / repeated.len());
            let mut pushed = 0;
            let mut most = 0;
            reader.push(begin, &mut |_| {});
            while pushed < 150_000 {
                // As an engine would, for a while.
                let pieces = if pushed < 20_000 { 4 } else { piece.len() };
                let mut place = 0;
                while place < piece.len() {
                    let end = piece.ceil_char_boundary(place + pieces);
                    reader.push(&piece[place..end], &mut |_| {});
                    place = end;
                }
                pushed += piece.len();
                if pushed % 7 == 0 {
                    most = most.max(format!("{reader:?}").len());
                }
            }
            reader.finish(&mut |_| {});
            let took = start.elapsed();
            assert!(most < MOST_MEMORY, "{tool_format:?} {begin}{repeated} held {most}");
            assert!(took < Duration::from_secs(5), "{tool_format:?} {begin}{repeated} took {took:?}");
        }
    }
}
