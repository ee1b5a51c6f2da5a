//! What a token costs in memory where an answer is read for calls, reasoning and stop strings: nothing, as long as it begins
//! none of them.

use std::sync::Arc;

use cloudach_model::reading::{Function, Functions, Output, OutputReader};

#[test]
fn a_token_of_an_answer_allocates_nothing() {
    let tools = Arc::new(Functions::new(&[Function { name: "known", parameters: None }]));
    for format in ["hermes", "llama3_json", "mistral", "qwen3_coder", "gemma4", "deepseek_v31"] {
        let mut reader = OutputReader::new(&Output {
            tool_format: Some(format.parse().unwrap()),
            reasoning_format: None,
            tools: &tools,
            prompt_end: "",
            offered: true,
            stops: &["END".to_owned(), "\n\n\n".to_owned()],
            keep_stop: false,
            one_call: false,
        });
        let mut shown = 0;
        let mut read = |times: usize| {
            for text in [" token", " <b>", " of", "\n\n", "日本", " many words."].iter().cycle().take(times) {
                reader.push(text, &mut |_| shown += 1);
            }
        };
        read(60);
        let allocations = allocation_counter::measure(|| read(600)).count_total;
        assert_eq!(allocations, 0, "{format}");
        assert!(shown > 300, "{format}: {shown}");
    }
}
