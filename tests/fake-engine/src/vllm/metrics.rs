//! vLLM's `/metrics`: the figures that a sidecar reads, under vLLM's names and labels.

use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;

use crate::engine::Shared;
use crate::prefix_cache::BLOCK;
use crate::reply::Whole;
use crate::script::Script;

pub(super) fn page(script: &Script, shared: &Shared) -> Whole {
    let load = &shared.load;
    let labels = format!("model_name=\"{}\",engine=\"0\"", escaped(&script.model));
    let mut page = String::new();
    let mut family = |kind: &str, name: &str, series: &[(&str, String)]| {
        writeln!(page, "# HELP vllm:{name} As of the fake engine.\n# TYPE vllm:{name} {kind}")
            .expect("a string takes everything");
        for (more, value) in series {
            writeln!(page, "vllm:{name}{{{labels}{more}}} {value}").expect("a string takes everything");
        }
    };
    let one = |value: &dyn std::fmt::Display| [("", value.to_string())];
    let sleep = shared.admin().sleep_level;
    let flag = |set: bool| u8::from(set).to_string();

    family("gauge", "num_requests_running", &one(&load.running()));
    family("gauge", "num_requests_waiting", &one(&load.waiting()));
    let by_reason = [(",reason=\"capacity\"", load.waiting().to_string()), (",reason=\"deferred\"", "0".to_owned())];
    family("gauge", "num_requests_waiting_by_reason", &by_reason);
    family("gauge", "kv_cache_usage_perc", &one(&load.kv_cache_usage()));
    family("counter", "prefix_cache_queries_total", &one(&load.prefix_queries.load(Relaxed)));
    family("counter", "prefix_cache_hits_total", &one(&load.prefix_hits.load(Relaxed)));
    family("counter", "prompt_tokens_total", &one(&load.prompt_tokens.load(Relaxed)));
    family("counter", "generation_tokens_total", &one(&load.generated()));
    family("counter", "num_preemptions_total", &one(&0));
    let finished = [
        (",finished_reason=\"stop\"", load.finished_stop.load(Relaxed).to_string()),
        (",finished_reason=\"length\"", load.finished_length.load(Relaxed).to_string()),
        (",finished_reason=\"abort\"", load.finished_abort.load(Relaxed).to_string()),
        (",finished_reason=\"error\"", "0".to_owned()),
    ];
    family("counter", "request_success_total", &finished);
    let rejected = [(",reason=\"max_num_queued_reqs\"", load.rejected.load(Relaxed).to_string())];
    family("counter", "admission_rejections_total", &rejected);
    let config = format!(
        ",block_size=\"{BLOCK}\",kv_cache_size_tokens=\"{}\",enable_prefix_caching=\"True\"",
        load.kv_cache_tokens()
    );
    family("gauge", "cache_config_info", &[(config.as_str(), "1".to_owned())]);
    let states = [
        (",sleep_state=\"awake\"", flag(sleep.is_none())),
        (",sleep_state=\"weights_offloaded\"", flag(sleep == Some(1))),
        (",sleep_state=\"discard_all\"", flag(sleep.is_some_and(|level| level > 1))),
    ];
    family("gauge", "engine_sleep_state", &states);
    if script.lora {
        let slots = format!(
            "vllm:lora_requests_info{{max_lora=\"{}\",running_lora_adapters=\"\",waiting_lora_adapters=\"\"}} 1.7e+09\n",
            script.max_loras
        );
        page.push_str("# TYPE vllm:lora_requests_info gauge\n");
        page.push_str(&slots);
    }
    Whole::text(page)
}

fn escaped(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
