//! Stop strings, cut anywhere: what is shown, what waits, and how much work it is.

use std::time::{Duration, Instant};

use cloudach_model::reading::{Event, HeldTokens, Reader, StopReader};
use proptest::prelude::*;

/// Stop strings, the pieces of the text, what each of them shows, what comes at the end.
#[test]
fn shows_all_but_what_may_become_a_stop() {
    type Texts = &'static [&'static str];
    let cases: &[(Texts, Texts, Texts, Result<&str, Stopped>)] = &[
        (&["\n\n"], &["a", "\n", "b", "\n", "\n", "c"], &["a", "", "\nb", "", "", ""], Err(Stopped)),
        (&["STOP"], &["x S", "TO", "nly"], &["x ", "", "STOnly"], Ok("")),
        (&["STOP"], &["x ST"], &["x "], Ok("ST")),
        (&["STOP"], &["xSTOPy", "z"], &["x", ""], Err(Stopped)),
        (&["STOP"], &["STOP"], &[""], Err(Stopped)),
        // Complete first wins, also over one that begins earlier.
        (&["abcd", "bc"], &["xabcd"], &["xa"], Err(Stopped)),
        (&["abcd", "bc"], &["xab", "c"], &["x", "a"], Err(Stopped)),
        // Complete at the same place: the longest, in any order.
        (&["c", "abc"], &["xab", "c"], &["x", ""], Err(Stopped)),
        (&["abc", "c"], &["xabc"], &["x"], Err(Stopped)),
        // A stop within a stop.
        (&["aab"], &["aa", "a", "b"], &["", "a", ""], Err(Stopped)),
        (&["abac"], &["aba", "bac"], &["", "ab"], Err(Stopped)),
        (&["ab", "abc"], &["abc"], &[""], Err(Stopped)),
        // What waits is what the longest has; then what the next longest has.
        (&["abcx", "bcy"], &["abc", "z"], &["", "abcz"], Ok("")),
        (&["abcx", "bcy"], &["abc", "y"], &["", "a"], Err(Stopped)),
        (&["aaaab"], &["aaaa", "aa", "c"], &["", "aa", "aaaac"], Ok("")),
        // Characters of several bytes, which share their first bytes.
        (&["€"], &["£", "€"], &["£", ""], Err(Stopped)),
        (&["é€"], &["é", "è", "é", "€"], &["", "éè", "", ""], Err(Stopped)),
        (&["🙂"], &["🙃", "a🙂b"], &["🙃", "a"], Err(Stopped)),
        (&["a", "b", "c", "d"], &["xyz", "d"], &["xyz", ""], Err(Stopped)),
        (&["same", "same"], &["sam", "e"], &["", ""], Err(Stopped)),
        (&[""], &["abc", ""], &["abc", ""], Ok("")),
        (&[], &["abc"], &["abc"], Ok("")),
    ];
    for (stops, pieces, shown, end) in cases {
        let mut reader = StopReader::new(&owned(stops), false);
        let seen: Vec<_> = pieces.iter().map(|piece| reader.push(piece).text.to_owned()).collect();
        assert_eq!(seen, *shown, "{stops:?} {pieces:?}");
        assert_eq!(reader.has_stopped(), end.is_err(), "{stops:?} {pieces:?}");
        assert_eq!(reader.finish(), end.unwrap_or(""), "{stops:?} {pieces:?}");
    }
}

#[derive(Debug, Clone, Copy)]
struct Stopped;

#[test]
fn a_kept_stop_never_waits() {
    let mut reader = StopReader::new(&owned(&["STOP", "OPS"]), true);
    assert_eq!(reader.push("a ST").text, "a ST");
    let last = reader.push("OPS b");
    assert_eq!((last.text, last.stopped), ("OP", true));
    assert_eq!(reader.push("c").text, "");
    assert_eq!(reader.finish(), "");
}

#[test]
fn what_does_not_wait_is_not_copied() {
    let text = "no beginning of it";
    let mut reader = StopReader::new(&owned(&["STOP"]), false);
    assert_eq!(reader.push(text).text.as_ptr(), text.as_ptr());
    let mut plain = Reader::of_text(&[], false);
    plain.push(text, &mut |event| assert!(matches!(event, Event::Text(shown) if shown.as_ptr() == text.as_ptr())));
    assert!(matches!(plain, Reader::Plain));
}

#[test]
fn a_reader_says_once_that_it_stopped() {
    let mut reader = Reader::of_text(&owned(&["END"]), false);
    let mut events = Vec::new();
    let mut emit = |event: Event<'_>| events.push(format!("{event:?}"));
    for piece in ["", "a", "bEN", "D", "c", ""] {
        reader.push(piece, &mut emit);
    }
    reader.finish(&mut emit);
    assert_eq!(events, ["Text(\"a\")", "Text(\"b\")", "Stopped"]);

    let mut reader = Reader::of_text(&owned(&["END"]), false);
    let mut events = Vec::new();
    let mut emit = |event: Event<'_>| events.push(format!("{event:?}"));
    reader.push("aEN", &mut emit);
    reader.finish(&mut emit);
    assert_eq!(events, ["Text(\"a\")", "Text(\"EN\")"]);
}

/// Read anew from every place where a stop string may begin, this would be a thousand times the work: minutes.
#[test]
fn repetitive_stops_are_read_in_linear_time() {
    let most = 1024;
    let stops = ["b", "c", "ab", "é"].map(|last| format!("{}{last}", "a".repeat(most - last.chars().count())));
    let half = format!("{}b", "a".repeat(most / 2));
    for text in ["aaaa", "aaaaaaaaaaaac", half.as_str()] {
        let start = Instant::now();
        let mut reader = StopReader::new(&stops, false);
        let mut shown = 0;
        let mut read = 0;
        while read < 4_000_000 {
            let piece = reader.push(text);
            assert!(!piece.stopped);
            shown += piece.text.len();
            read += text.len();
        }
        assert_eq!(shown + reader.finish().len(), read);
        println!("{:?} for {read} bytes of {:.16}", start.elapsed(), text);
        assert!(start.elapsed() < Duration::from_secs(20));
    }
}

#[test]
fn tokens_go_with_their_text() {
    // The stop string begins inside of the third token.
    let mut reader = StopReader::new(&owned(&["STOP"]), false);
    let mut tokens = HeldTokens::new();
    let mut released = Vec::new();
    for token in ["Hi", " ", "xS", "TO", "P", "more"] {
        tokens.push(token.len(), [(token, token.len())]);
        released.push(tokens.release(reader.push(token).text.len()).collect::<Vec<_>>());
    }
    assert_eq!(released, [vec!["Hi"], vec![" "], vec!["xS"], vec![], vec![], vec![]]);

    // Bytes of a split character: the token without text goes with the one that completes it.
    let mut tokens = HeldTokens::new();
    tokens.push(0, [("first half", 2)]);
    assert_eq!(tokens.release(0).count(), 0);
    tokens.push("é".len(), [("second half", 1)]);
    assert_eq!(tokens.release("é".len()).collect::<Vec<_>>(), ["first half", "second half"]);

    // Wrong numbers are wrong within their piece only.
    tokens.push(4, [("a", 100), ("b", usize::MAX), ("c", 1)]);
    tokens.push(1, [("d", 1)]);
    assert_eq!(tokens.release(4).collect::<Vec<_>>(), ["a"]);
    assert_eq!(tokens.release(1).collect::<Vec<_>>(), ["b", "c", "d"]);

    // The end of the text, and a token without text behind it.
    tokens.push(2, [("held", 2), ("end of text", 0)]);
    assert_eq!(tokens.finish().collect::<Vec<_>>(), ["held", "end of text"]);
}

/// Texts of few letters, so that they meet the stop strings, some of several bytes with bytes in common.
fn letters(most: usize) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!['a', 'a', 'a', 'b', 'é', 'è', '🙂']), 1..=most)
        .prop_map(String::from_iter)
}

/// What a reader with all the time in the world would show, and whether it stopped.
fn reference<'t>(stops: &[String], keep: bool, text: &'t str) -> (&'t str, bool) {
    for end in 0..=text.len() {
        let met = stops.iter().filter(|stop| text.as_bytes()[..end].ends_with(stop.as_bytes()));
        if let Some(longest) = met.map(String::len).max() {
            return (&text[..if keep { end } else { end - longest }], true);
        }
    }
    (text, false)
}

/// How many bytes at the end of the text may still become a stop string.
fn waiting(stops: &[String], text: &str) -> usize {
    let beginnings = stops.iter().flat_map(|stop| stop.char_indices().map(|(end, _)| &stop[..end]));
    beginnings.filter(|beginning| text.ends_with(beginning)).map(str::len).max().unwrap_or(0)
}

fn pieces<'t>(text: &'t str, cuts: &[usize]) -> Vec<&'t str> {
    let mut at: Vec<usize> = cuts.iter().copied().filter(|cut| text.is_char_boundary(*cut)).collect();
    at.extend([0, text.len()]);
    at.sort_unstable();
    at.windows(2).map(|ends| &text[ends[0]..ends[1]]).collect()
}

fn check(stops: &[String], keep: bool, text: &str, pieces: &[&str]) {
    let (expected, stops_there) = reference(stops, keep, text);
    let mut reader = StopReader::new(stops, keep);
    let mut read = 0;
    let mut shown = String::new();
    for piece in pieces {
        let seen = reader.push(piece);
        shown.push_str(seen.text);
        read += piece.len();
        let waits = if keep || seen.stopped { 0 } else { waiting(stops, &text[..read]) };
        if seen.stopped {
            assert_eq!(shown, expected);
        } else {
            assert_eq!(shown, text[..read - waits], "{stops:?} {pieces:?}");
        }
    }
    assert_eq!(reader.has_stopped(), stops_there);
    shown.push_str(reader.finish());
    assert_eq!(shown, expected, "{stops:?} {pieces:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn every_cut_shows_the_same_as_soon_as_it_may(
        stops in prop::collection::vec(letters(6), 1..=4),
        text in letters(40),
        keep in any::<bool>(),
        cuts in prop::collection::vec(0..160usize, 0..20),
    ) {
        let everywhere: Vec<usize> = (0..text.len()).collect();
        check(&stops, keep, &text, &pieces(&text, &everywhere));
        check(&stops, keep, &text, &pieces(&text, &cuts));
        for cut in everywhere {
            check(&stops, keep, &text, &pieces(&text, &[cut]));
        }
    }

    #[test]
    fn released_tokens_begin_in_what_is_shown(
        stops in prop::collection::vec(letters(6), 1..=4),
        tokens in prop::collection::vec(letters(5), 1..20),
        deltas in prop::collection::vec(1..4usize, 20),
    ) {
        let mut begins = Vec::new();
        let mut text = String::new();
        for token in &tokens {
            begins.push(text.len());
            text.push_str(token);
        }
        let mut reader = StopReader::new(&stops, false);
        let mut held = HeldTokens::new();
        let mut released = Vec::new();
        let mut shown = 0;
        let mut next = 0;
        for delta in deltas {
            let together = next..tokens.len().min(next + delta);
            next = together.end;
            let piece = tokens[together.clone()].concat();
            held.push(piece.len(), together.map(|index| (index, tokens[index].len())));
            let new = reader.push(&piece).text.len();
            shown += new;
            released.extend(held.release(new));
            let expected: Vec<usize> = (0..next).filter(|index| begins[*index] < shown).collect();
            prop_assert_eq!(&released, &expected);
        }
        if !reader.has_stopped() {
            released.extend(held.finish());
            prop_assert_eq!(released, (0..next).collect::<Vec<_>>());
        }
    }
}

fn owned(stops: &[&str]) -> Vec<String> {
    stops.iter().map(|stop| (*stop).to_owned()).collect()
}
