//! NVIDIA's Xids: the numbers by which the driver tells what went wrong, and what each asks for. No I/O.
//!
//! From the "immediate action" of NVIDIA's Xid catalog (docs.nvidia.com/deploy/xid-errors), for A100 and newer.

use strum::{IntoStaticStr, VariantArray};

/// What an Xid asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum Action {
    /// Nothing: it is a note, or follows from another.
    Ignore,
    /// The program that it hit has lost its work, and is to be started again. The GPU is well.
    RestartEngine,
    /// The GPU does nothing useful before it was reset, or its machine started anew.
    ResetGpu,
}

impl Action {
    /// The name in logs and metrics.
    pub(crate) fn name(self) -> &'static str {
        self.into()
    }
}

/// What this Xid asks for. One that is not known is a note: what it comes to shows in the engine.
pub(crate) fn action(xid: u32) -> Action {
    match xid {
        // 46: the GPU stopped. 48: an error of two bits. 62: its power manager halted. 64: a bad page could not be
        // retired. 74: a link (some of them mend themselves; which, the number does not tell). 79: it has fallen off the
        // bus. 95: an error that was not contained. 109, 110, 119, 120: its firmware or its scheduler hangs. 136, 143: it
        // does not come up. 140: an error of its memory that escaped. 151: its keys. 154: it says itself that it needs to
        // be reset.
        46 | 48 | 62 | 64 | 74 | 79 | 95 | 109 | 110 | 119 | 120 | 136 | 140 | 143 | 151 | 154 => Action::ResetGpu,
        // 13, 31, 69: a program's access or instruction. 94: an error of memory that was contained. The others: an error
        // of one of the GPU's engines (copies, video), for one program.
        8
        | 11
        | 13
        | 25
        | 31
        | 32
        | 39..=41
        | 60
        | 68..=72
        | 75..=77
        | 80
        | 82..=86
        | 88
        | 89
        | 94
        | 96..=105
        | 126..=135
        | 139 => Action::RestartEngine,
        _ => Action::Ignore,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalog_is_followed() {
        let cases = [
            (13, Action::RestartEngine),
            (31, Action::RestartEngine),
            (43, Action::Ignore),
            (45, Action::Ignore),
            (48, Action::ResetGpu),
            (63, Action::Ignore),
            (64, Action::ResetGpu),
            (74, Action::ResetGpu),
            (79, Action::ResetGpu),
            (92, Action::Ignore),
            (94, Action::RestartEngine),
            (95, Action::ResetGpu),
            (119, Action::ResetGpu),
            (154, Action::ResetGpu),
            (999, Action::Ignore),
        ];
        for (xid, expected) in cases {
            assert_eq!(action(xid), expected, "Xid {xid}");
        }
    }
}
