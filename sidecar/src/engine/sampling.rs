//! What holds for the sampling of every dialect: OpenAI's defaults, and numbers that no engine may get to see.

use cloudach_proto::v1::{Failed, GenerateRequest, Sampling};

use super::failure::invalid;

/// A request's sampling with nothing left to an engine's own defaults.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Explicit {
    pub(super) temperature: f32,
    pub(super) top_p: f32,
    /// 0: off.
    pub(super) top_k: u32,
    pub(super) min_p: f32,
    pub(super) presence_penalty: f32,
    pub(super) frequency_penalty: f32,
    pub(super) repetition_penalty: f32,
}

impl From<&Sampling> for Explicit {
    fn from(sampling: &Sampling) -> Self {
        // OpenAI takes a `top_p` of 0, which leaves the likeliest token alone; vLLM refuses it. `top_k` says the same
        // and touches nothing else: penalties and biases still decide which token that is.
        let (top_p, top_k) = match sampling.top_p.unwrap_or(1.0) {
            0.0 => (1.0, 1),
            top_p => (top_p, sampling.top_k.unwrap_or(0)),
        };
        Self {
            temperature: sampling.temperature.unwrap_or(1.0),
            top_p,
            top_k,
            min_p: sampling.min_p.unwrap_or(0.0),
            presence_penalty: sampling.presence_penalty.unwrap_or(0.0),
            frequency_penalty: sampling.frequency_penalty.unwrap_or(0.0),
            repetition_penalty: sampling.repetition_penalty.unwrap_or(1.0),
        }
    }
}

/// Refuses what engines would misread in silence: JSON has no NaN, so it would arrive as "use the default"; and
/// llama.cpp takes any number at all.
pub(super) fn check(request: &GenerateRequest) -> Result<(), Failed> {
    let Some(sampling) = &request.sampling else { return Ok(()) };
    if sampling.max_tokens == Some(0) && !request.echo {
        return Err(invalid("max_tokens", "max_tokens must be at least 1, or 0 with echo"));
    }
    let explicit = Explicit::from(sampling);
    let ranges = [
        ("temperature", explicit.temperature, 0.0..=f32::MAX),
        ("top_p", explicit.top_p, 0.0..=1.0),
        ("min_p", explicit.min_p, 0.0..=1.0),
        ("presence_penalty", explicit.presence_penalty, -2.0..=2.0),
        ("frequency_penalty", explicit.frequency_penalty, -2.0..=2.0),
        ("repetition_penalty", explicit.repetition_penalty, f32::MIN_POSITIVE..=f32::MAX),
    ];
    for (name, value, range) in ranges {
        if !range.contains(&value) {
            return Err(invalid(name, format!("{name} is {value}, which is out of range")));
        }
    }
    if let Some((token, bias)) = sampling.logit_bias.iter().find(|(_, bias)| !bias.is_finite()) {
        return Err(invalid("logit_bias", format!("the bias of token {token} is {bias}, not a number")));
    }
    if sampling.stop.iter().any(String::is_empty) {
        return Err(invalid("stop", "a stop string must not be empty"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use cloudach_proto::v1::ErrorCode;

    use super::*;

    fn outcome(sampling: Sampling) -> Result<(), String> {
        let request = GenerateRequest { sampling: Some(sampling), ..GenerateRequest::default() };
        check(&request).map_err(|failed| {
            assert_eq!(failed.code(), ErrorCode::InvalidRequest);
            failed.param
        })
    }

    #[test]
    fn a_top_p_of_0_leaves_the_likeliest_token() {
        for zero in [0.0, -0.0] {
            let sampling = Sampling {
                top_p: Some(zero),
                top_k: Some(40),
                temperature: Some(1.5),
                presence_penalty: Some(0.5),
                ..Sampling::default()
            };
            assert_eq!(outcome(sampling.clone()), Ok(()));
            let explicit = Explicit::from(&sampling);
            assert_eq!((explicit.top_p, explicit.top_k), (1.0, 1));
            assert_eq!((explicit.temperature, explicit.presence_penalty), (1.5, 0.5), "as they were asked for");
        }
        let smallest = Explicit::from(&Sampling { top_p: Some(f32::MIN_POSITIVE), ..Sampling::default() });
        assert_eq!((smallest.top_p, smallest.top_k), (f32::MIN_POSITIVE, 0));
    }

    #[test]
    fn what_engines_would_misread_is_refused() {
        let refused = |param: &str| Err(param.to_owned());
        assert_eq!(outcome(Sampling::default()), Ok(()));
        assert_eq!(outcome(Sampling { temperature: Some(0.0), ..Sampling::default() }), Ok(()));
        assert_eq!(outcome(Sampling { temperature: Some(f32::NAN), ..Sampling::default() }), refused("temperature"));
        assert_eq!(outcome(Sampling { temperature: Some(-1.0), ..Sampling::default() }), refused("temperature"));
        for top_p in [f32::NAN, f32::INFINITY, -0.1, 1.1] {
            assert_eq!(outcome(Sampling { top_p: Some(top_p), ..Sampling::default() }), refused("top_p"), "{top_p}");
        }
        assert_eq!(outcome(Sampling { max_tokens: Some(0), ..Sampling::default() }), refused("max_tokens"));
        assert_eq!(outcome(Sampling { stop: vec![String::new()], ..Sampling::default() }), refused("stop"));
        let nothing = Some(Sampling { max_tokens: Some(0), ..Sampling::default() });
        let echo = GenerateRequest { sampling: nothing, echo: true, ..GenerateRequest::default() };
        assert_eq!(check(&echo), Ok(()), "the answer is the prompt");
        let logit_bias = [(7, f32::INFINITY)].into();
        assert_eq!(outcome(Sampling { logit_bias, ..Sampling::default() }), refused("logit_bias"));
    }
}
