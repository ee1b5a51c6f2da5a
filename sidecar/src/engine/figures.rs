//! What an engine's `/metrics` page says about how busy it is. No I/O.

use std::hash::{DefaultHasher, Hash, Hasher};

/// How busy an engine is, as it says itself.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Figures {
    /// Requests in the batch.
    pub(crate) running: u32,
    /// Requests queued in the engine.
    pub(crate) waiting: u32,
    /// Share of the KV cache in use, 0 to 1.
    pub(crate) kv_cache_usage: f32,
    /// Changes whenever the engine does some work. What it is otherwise says nothing.
    pub(crate) work: u64,
}

/// One number for all that these metrics say on the page: another one as soon as any of them moves.
pub(super) fn work(page: &str, metrics: &[&str]) -> u64 {
    let mut hasher = DefaultHasher::new();
    page.lines()
        .filter(|line| metrics.iter().any(|metric| line.starts_with(metric)))
        .for_each(|line| line.hash(&mut hasher));
    hasher.finish()
}

/// The samples of `metric` on a Prometheus text page, whatever their labels.
pub(super) fn samples<'a>(page: &'a str, metric: &'a str) -> impl Iterator<Item = f32> + 'a {
    page.lines().filter_map(move |line| {
        let rest = line.strip_prefix(metric)?;
        let value = match rest.strip_prefix('{') {
            Some(labels) => labels.rsplit_once('}')?.1,
            None => rest.strip_prefix(' ')?,
        };
        // A timestamp may follow.
        value.split_whitespace().next()?.parse().ok()
    })
}

/// A gauge that counts requests, summed over the engine's ranks.
pub(super) fn count(page: &str, metric: &str) -> u32 {
    // Saturates; a page that says NaN gives 0.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast of floats saturates")]
    let sum = samples(page, metric).sum::<f32>() as u32;
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# HELP vllm:num_requests_running Number\n# TYPE vllm:num_requests_running gauge\n\
                        vllm:num_requests_running{engine=\"0\",model_name=\"a}b\"} 3.0\n\
                        vllm:num_requests_running{engine=\"1\",model_name=\"a\"} 4.0\n\
                        vllm:num_requests_running_total{engine=\"1\"} 99.0\n\
                        vllm:kv_cache_usage_perc{engine=\"0\"} 0.25 1700000000\n\
                        llamacpp:requests_processing 2\n\
                        broken{ 1\nbroken nan\nbroken";

    #[test]
    fn work_shows_in_what_moves() {
        let metrics = ["vllm:num_requests_running", "vllm:kv_cache_usage_perc"];
        let before = work(PAGE, &metrics);
        assert_eq!(work(PAGE, &metrics), before);
        assert_eq!(work(&PAGE.replace("processing 2", "processing 3"), &metrics), before);
        assert_ne!(work(&PAGE.replace("0.25", "0.26"), &metrics), before);
    }

    #[test]
    fn samples_are_found_whatever_their_labels() {
        assert_eq!(count(PAGE, "vllm:num_requests_running"), 7);
        assert_eq!(count(PAGE, "llamacpp:requests_processing"), 2);
        assert_eq!(count(PAGE, "broken"), 0);
        assert_eq!(samples(PAGE, "vllm:kv_cache_usage_perc").collect::<Vec<_>>(), [0.25]);
        assert_eq!(samples(PAGE, "absent").count(), 0);
    }
}
