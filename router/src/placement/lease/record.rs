//! What a Lease object of Kubernetes says, and what is to be written into it. No I/O.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::time::Instant;

/// A Lease as it was last seen to change. Clocks of other machines are not trusted: how long a lease still holds is
/// measured from when its holder was last seen to write.
#[derive(Debug, Default)]
pub struct Seen(Option<(Value, Instant)>);

/// What is to be done.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// To replace the Lease by this, if it is still the same. Done, its holder orders with this epoch.
    Put(Value, u64),
    /// Another holds it.
    Wait,
}

/// A new Lease, held by `me`.
pub fn new(namespace: &str, name: &str, me: &str, time: Duration, clock: SystemTime) -> Value {
    let now = micros(clock);
    json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": { "name": name, "namespace": namespace },
        "spec": {
            "holderIdentity": me,
            "leaseDurationSeconds": seconds(time),
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": 0,
        },
    })
}

/// With what epoch the holder of this Lease orders: higher for each holder than for all before it, also when somebody has
/// deleted the Lease in between, as its holders change at most once a second.
pub fn epoch(lease: &Value) -> Option<u64> {
    let created = lease.pointer("/metadata/creationTimestamp")?.as_str()?;
    let created = humantime::parse_rfc3339(created).ok()?.duration_since(UNIX_EPOCH).ok()?.as_secs();
    created.checked_add(transitions(lease))
}

/// What `me` is to do about this Lease. None: it is no Lease.
pub fn next(lease: &Value, me: &str, time: Duration, seen: &mut Seen, now: Instant, clock: SystemTime) -> Option<Step> {
    let old = lease.get("spec").cloned().unwrap_or_default();
    let holder = old["holderIdentity"].as_str().unwrap_or_default();
    let mut written = lease.clone();
    let clock = micros(clock);
    if holder != me {
        let since = seen.since(&old, now);
        let holds = old["leaseDurationSeconds"].as_u64().map_or(time, Duration::from_secs);
        if !holder.is_empty() && now.saturating_duration_since(since) <= holds {
            return Some(Step::Wait);
        }
        let spec = written.as_object_mut()?.entry("spec").or_insert_with(|| json!({}));
        *spec.as_object_mut()?.entry("leaseTransitions").or_insert(Value::Null) = (transitions(lease) + 1).into();
        spec["holderIdentity"] = me.into();
        spec["acquireTime"] = clock.as_str().into();
    }
    let spec = written.get_mut("spec")?;
    spec["renewTime"] = clock.into();
    spec["leaseDurationSeconds"] = seconds(time).into();
    let epoch = epoch(&written)?;
    Some(Step::Put(written, epoch))
}

/// The same Lease without a holder, if `me` holds it.
pub fn released(mut lease: Value, me: &str) -> Option<Value> {
    let spec = lease.get_mut("spec").filter(|spec| spec["holderIdentity"] == me)?;
    spec["holderIdentity"] = "".into();
    Some(lease)
}

impl Seen {
    fn since(&mut self, spec: &Value, now: Instant) -> Instant {
        match &self.0 {
            Some((seen, since)) if seen == spec => *since,
            _ => {
                self.0 = Some((spec.clone(), now));
                now
            }
        }
    }
}

fn transitions(lease: &Value) -> u64 {
    lease.pointer("/spec/leaseTransitions").and_then(Value::as_u64).unwrap_or_default()
}

/// Whole seconds are all that a Lease knows: never less than the time itself.
fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

fn micros(clock: SystemTime) -> String {
    humantime::format_rfc3339_micros(clock).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_millis(9_500);

    fn clock() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_700_000_000)
    }

    /// As the API server keeps it.
    fn kept(mut lease: Value) -> Value {
        lease["metadata"]["creationTimestamp"] = "2023-11-14T22:13:20Z".into();
        lease["metadata"]["resourceVersion"] = "7".into();
        lease
    }

    fn put(step: Option<Step>) -> (Value, u64) {
        match step {
            Some(Step::Put(lease, epoch)) => (lease, epoch),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn it_is_renewed_by_its_holder_and_kept_as_it_is_otherwise() {
        let mut lease = kept(new("ns", "l", "a", TIME, clock()));
        lease["metadata"]["labels"] = json!({ "x": "y" });
        assert_eq!(lease["spec"]["leaseDurationSeconds"], 10);
        assert_eq!(epoch(&lease), Some(1_700_000_000));
        let (mut renewed, epoch) = put(next(&lease, "a", TIME, &mut Seen::default(), Instant::now(), clock() + TIME));
        assert_eq!((epoch, &renewed["spec"]["renewTime"]), (1_700_000_000, &json!("2023-11-14T22:13:29.500000Z")));
        renewed["spec"]["renewTime"] = lease["spec"]["renewTime"].clone();
        assert_eq!(renewed, lease);
    }

    #[test]
    fn another_takes_it_only_when_nothing_was_written_for_its_time() {
        let (mut seen, start) = (Seen::default(), Instant::now());
        let mut lease = kept(new("ns", "l", "a", TIME, clock()));
        // By its times it is long over: clocks differ.
        let mut at = |lease: &Value, seconds| {
            next(lease, "b", TIME, &mut seen, start + Duration::from_secs(seconds), clock() + Duration::from_secs(9999))
        };
        assert_eq!(at(&lease, 0), Some(Step::Wait));
        assert_eq!(at(&lease, 9), Some(Step::Wait));
        lease["spec"]["renewTime"] = "2023-11-14T22:13:30.000000Z".into();
        assert_eq!(at(&lease, 9), Some(Step::Wait), "it was renewed");
        lease["metadata"]["labels"] = json!({ "seen": "by somebody" });
        assert_eq!(at(&lease, 19), Some(Step::Wait), "so long does it hold");
        let (taken, epoch) = put(at(&lease, 20));
        assert_eq!((epoch, &taken["spec"]["holderIdentity"]), (1_700_000_001, &json!("b")));
        assert_eq!(taken["metadata"], lease["metadata"], "of the version that was looked at");
    }

    #[test]
    fn what_was_given_back_is_taken_at_once() {
        let lease = kept(new("ns", "l", "a", TIME, clock()));
        assert_eq!(released(lease.clone(), "b"), None);
        let free = released(lease, "a").unwrap();
        let (taken, epoch) = put(next(&free, "b", TIME, &mut Seen::default(), Instant::now(), clock()));
        assert_eq!((epoch, &taken["spec"]["leaseTransitions"]), (1_700_000_001, &json!(1)));
        let empty = json!({ "metadata": { "creationTimestamp": "2023-11-14T22:13:20Z" } });
        assert_eq!(put(next(&empty, "b", TIME, &mut Seen::default(), Instant::now(), clock())).1, 1_700_000_001);
    }

    #[test]
    fn what_is_no_lease_is_left_alone() {
        let now = Instant::now();
        for odd in [json!(null), json!([]), json!({}), json!({ "spec": 5 }), json!({ "spec": {}, "metadata": {} })] {
            assert_eq!(next(&odd, "b", TIME, &mut Seen::default(), now, clock()), None, "{odd}");
        }
    }
}
