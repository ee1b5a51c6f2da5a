//! Classes of requests as vLLM's priorities: numbers, of which the lower goes first. No I/O.

use cloudach_proto::v1::{GenerateRequest, Priority};

/// Between a class and the next: what clients may say within one.
const CLASS: i32 = 1_000_000;

/// The priority that puts a request among its class, and there where its client wants it.
pub(super) fn within_class(request: &GenerateRequest) -> i32 {
    let class = match request.context.as_ref().map_or(Priority::Unspecified, |context| context.priority()) {
        Priority::High => -1,
        Priority::Normal | Priority::Unspecified => 0,
        Priority::Low => 1,
    };
    let own = request.sampling.as_ref().and_then(|sampling| sampling.priority).unwrap_or_default();
    class * CLASS + own.clamp(1 - CLASS / 2, CLASS / 2 - 1)
}

#[cfg(test)]
mod tests {
    use cloudach_proto::v1::{RequestContext, Sampling};

    use super::*;

    fn of(class: Priority, own: Option<i32>) -> i32 {
        within_class(&GenerateRequest {
            context: Some(RequestContext { priority: class.into(), ..RequestContext::default() }),
            sampling: Some(Sampling { priority: own, ..Sampling::default() }),
            ..GenerateRequest::default()
        })
    }

    #[test]
    fn no_client_leaves_its_class() {
        let classes = [Priority::High, Priority::Normal, Priority::Low];
        let ranks =
            classes.map(|class| [Some(i32::MIN), Some(-3), None, Some(3), Some(i32::MAX)].map(|own| of(class, own)));
        assert!(ranks.as_flattened().is_sorted_by(|one, next| one < next), "{ranks:?}");
        assert_eq!(within_class(&GenerateRequest::default()), 0);
    }
}
