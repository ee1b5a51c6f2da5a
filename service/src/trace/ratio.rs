//! Which traces of many are sampled: by their ids alone, so that services that sample alike sample the same.

use opentelemetry::trace::TraceId;

/// The ids of sampled traces are below it, as everywhere in OpenTelemetry.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "of 0 to 1")]
pub(super) fn bound(ratio: f64) -> u64 {
    (ratio.clamp(0.0, 1.0) * (1_u64 << 63) as f64) as u64
}

/// Whether a trace with this id is.
pub(super) fn is_sampled(trace_id: TraceId, bound: u64) -> bool {
    let [.., a, b, c, d, e, f, g, h] = trace_id.to_bytes();
    u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 1 < bound
}
