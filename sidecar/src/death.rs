//! Why an engine died: the cause as routers and metrics have it, and the words for people.

use cloudach_proto::v1::DeathCause;

use crate::gpu::Fault;

/// The end of an engine that nobody had asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Death {
    pub(crate) cause: DeathCause,
    pub(crate) detail: String,
}

/// How the process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Code(i32),
    Signal(i32),
}

/// The signal that the kernel, and nothing but force, ends processes with.
const KILL: i32 = 9;

/// No such program, as shells have it.
const NO_PROGRAM: [i32; 2] = [126, 127];

impl Death {
    pub(crate) fn new(cause: DeathCause, detail: impl Into<String>) -> Self {
        Self { cause, detail: detail.into() }
    }

    /// What is behind an end: how it came, what the engine's last words tell, and whether the kernel has ended processes
    /// for their memory meanwhile.
    pub(crate) fn of(exit: Exit, words: Option<Self>, memory_ran_out: bool) -> Self {
        let how = match exit {
            // It had no last words: what it said before has nothing to do with it.
            Exit::Signal(KILL) if memory_ran_out => {
                let detail = "the engine was killed (signal 9): the kernel ended it, or another, for want of memory";
                return Self::new(DeathCause::HostMemory, detail);
            }
            Exit::Signal(KILL) => return Self::new(DeathCause::Killed, "the engine was killed (signal 9), by hand"),
            Exit::Signal(signal) => format!("the engine was ended by signal {signal}"),
            Exit::Code(code) => format!("the engine ended with exit code {code}"),
        };
        let Some(words) = words else { return Self::new(DeathCause::Other, how) };
        let cause = match words.cause {
            // One of its processes went without a word.
            DeathCause::Other | DeathCause::Killed if memory_ran_out => DeathCause::HostMemory,
            DeathCause::Other if matches!(exit, Exit::Code(code) if NO_PROGRAM.contains(&code)) => DeathCause::Command,
            cause => cause,
        };
        Self::new(cause, format!("{how}: {}", words.detail))
    }

    /// The same, when this is wrong with a GPU that it ran on: what the engine says then follows from it.
    pub(crate) fn on(self, fault: Option<Fault>) -> Self {
        match fault.filter(|fault| fault.needs_reset) {
            Some(fault) if !matches!(self.cause, DeathCause::Command | DeathCause::Model) => {
                Self::new(DeathCause::GpuFault, format!("{}; {}", self.detail, fault.text))
            }
            _ => self,
        }
    }
}

/// The cause as it is shown: `gpu_memory`.
pub(crate) fn name(cause: DeathCause) -> String {
    cause.as_str_name().trim_start_matches("DEATH_CAUSE_").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_have_causes() {
        let words = |cause| Some(Death::new(cause, "words"));
        let cases = [
            (Exit::Signal(9), None, false, DeathCause::Killed),
            (Exit::Signal(9), words(DeathCause::GpuMemory), false, DeathCause::Killed),
            (Exit::Signal(9), words(DeathCause::Other), true, DeathCause::HostMemory),
            (Exit::Signal(6), words(DeathCause::Collective), false, DeathCause::Collective),
            (Exit::Signal(11), None, false, DeathCause::Other),
            (Exit::Code(1), words(DeathCause::Killed), false, DeathCause::Killed),
            (Exit::Code(1), words(DeathCause::Killed), true, DeathCause::HostMemory),
            (Exit::Code(1), words(DeathCause::Other), true, DeathCause::HostMemory),
            (Exit::Code(1), words(DeathCause::GpuMemory), true, DeathCause::GpuMemory),
            (Exit::Code(127), words(DeathCause::Other), false, DeathCause::Command),
            (Exit::Code(0), None, true, DeathCause::Other),
        ];
        for (exit, words, memory, expected) in cases {
            let death = Death::of(exit, words.clone(), memory);
            assert_eq!(death.cause, expected, "{exit:?} {words:?} {memory}");
        }
        assert_eq!(
            Death::of(Exit::Code(3), words(DeathCause::Other), false).detail,
            "the engine ended with exit code 3: words"
        );
        let fault = |needs_reset| Some(Fault { needs_reset, text: "GPU 1 had Xid 79".into() });
        let death = Death::new(DeathCause::Hung, "it hangs");
        assert_eq!(death.clone().on(None), death);
        assert_eq!(death.clone().on(fault(false)), death);
        assert_eq!(death.on(fault(true)), Death::new(DeathCause::GpuFault, "it hangs; GPU 1 had Xid 79"));
        let death = Death::new(DeathCause::Command, "no such program");
        assert_eq!(death.clone().on(fault(true)), death);
        assert_eq!(name(DeathCause::GpuMemory), "gpu_memory");
    }
}
