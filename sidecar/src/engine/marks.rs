//! The tokens by which families are told apart, asked of an engine's tokenizer where the model's files are not here.

/// Each is one token of the vocabularies that have it, and several of those that have not. Of series, two.
const MARKS: &[&str] = &[
    "<s>",
    "</s>",
    "<|im_start|>",
    "<|im_sep|>",
    "<|im_end|>",
    "<tool_call>",
    "<think>",
    "<|begin_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
    "<|python_tag|>",
    "<|header_start|>",
    "<|header_end|>",
    "<|eot|>",
    "[INST]",
    "[/INST]",
    "[TOOL_CALLS]",
    "[SYSTEM_PROMPT]",
    "[ARGS]",
    "[CALL_ID]",
    "[THINK]",
    "<SPECIAL_998>",
    "<SPECIAL_999>",
    "<start_of_turn>",
    "<end_of_turn>",
    "<start_of_image>",
    "<|user|>",
    "<|assistant|>",
    "<|end|>",
    "<|tool|>",
    "<｜begin▁of▁sentence｜>",
    "<｜User｜>",
    "<｜Assistant｜>",
    "<｜tool▁calls▁begin｜>",
    "<｜search▁begin｜>",
    "<｜place▁holder▁no▁1｜>",
    "<｜place▁holder▁no▁2｜>",
    "<|EOT|>",
    "<|start|>",
    "<|channel|>",
    "<|message|>",
    "<|tool_call_start|>",
];

/// What a tokenizer is to be given, special tokens being read as such.
pub(super) fn question() -> String {
    MARKS.join("\n")
}

/// The marks that came back as one token each.
pub(super) fn found<'a>(pieces: impl Iterator<Item = &'a str>) -> Vec<String> {
    pieces.filter(|piece| MARKS.contains(piece)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use cloudach_model::template::families;

    use super::*;

    #[test]
    fn every_mark_that_tells_a_family_is_asked_for() {
        for mark in families::marks() {
            let asked = |mark: &str| MARKS.iter().filter(|asked| asked.replace(char::is_numeric, "") == mark).count();
            match mark.replace('#', "") {
                series if series != mark => assert_eq!(asked(&series), 2, "{mark}"),
                _ => assert!(MARKS.contains(&mark), "{mark}"),
            }
        }
    }

    #[test]
    fn only_whole_marks_are_found() {
        let pieces = ["<|im_start|>", "\n", "<", "|", "eot", "[INST]", "x"];
        assert_eq!(found(pieces.into_iter()), ["<|im_start|>", "[INST]"]);
    }
}
