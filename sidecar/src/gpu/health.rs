//! Whether a GPU is well. No I/O.

use super::{
    Snapshot,
    xid::{Action, action},
};

/// What is wrong with a GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// It is of no use before it was reset: nothing new is to come here.
    pub(crate) needs_reset: bool,
    /// For people, with the GPU's name.
    pub(crate) text: String,
}

/// What is wrong with this GPU, the worst first.
pub(crate) fn fault(gpu: &Snapshot) -> Option<Fault> {
    let name = format!("GPU {} ({}, {})", gpu.index, gpu.name, gpu.uuid);
    let worst = |wanted| gpu.xids.iter().rev().find(|xid| action(**xid) == wanted);
    if let Some(xid) = worst(Action::ResetGpu) {
        return Some(Fault { needs_reset: true, text: format!("{name} had Xid {xid}: it needs a reset") });
    }
    let new = gpu.uncorrected.unwrap_or(0).saturating_sub(gpu.uncorrected_before);
    if new > 0 {
        let text = format!("{name} had {new} memory errors that ECC could not correct");
        // Without the Xid that says that they were contained, nobody knows what they have hit.
        return Some(Fault { needs_reset: !gpu.xids.contains(&94), text });
    }
    let xid = worst(Action::RestartEngine)?;
    Some(Fault {
        needs_reset: false,
        text: format!("{name} had Xid {xid}: the program that it hit has to start again"),
    })
}

/// The worst fault of all of them.
pub(crate) fn worst(gpus: &[Snapshot]) -> Option<Fault> {
    let faults: Vec<_> = gpus.iter().filter_map(fault).collect();
    faults.iter().find(|fault| fault.needs_reset).or(faults.first()).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpu(uncorrected: Option<u64>, xids: &[u32]) -> Snapshot {
        Snapshot {
            index: 1,
            uuid: "GPU-7".into(),
            name: "NVIDIA H100".into(),
            uncorrected,
            uncorrected_before: 2,
            xids: xids.to_vec(),
            ..Snapshot::default()
        }
    }

    #[test]
    fn faults_are_found_and_named() {
        let cases: [(Snapshot, Option<(bool, &str)>); 9] = [
            (gpu(None, &[]), None),
            (gpu(Some(2), &[43, 45, 63]), None),
            // Its driver was loaded anew.
            (gpu(Some(0), &[]), None),
            (gpu(Some(3), &[]), Some((true, "had 1 memory errors"))),
            (gpu(Some(3), &[94]), Some((false, "had 1 memory errors"))),
            (gpu(Some(3), &[94, 95]), Some((true, "Xid 95"))),
            (gpu(None, &[31]), Some((false, "Xid 31"))),
            (gpu(None, &[79, 31]), Some((true, "Xid 79"))),
            (gpu(Some(2), &[13, 31]), Some((false, "Xid 31"))),
        ];
        for (gpu, expected) in cases {
            let found = fault(&gpu);
            assert_eq!(found.as_ref().map(|fault| fault.needs_reset), expected.map(|(reset, _)| reset), "{gpu:?}");
            if let (Some(found), Some((_, text))) = (found, expected) {
                assert!(
                    found.text.starts_with("GPU 1 (NVIDIA H100, GPU-7) ") && found.text.contains(text),
                    "{}",
                    found.text
                );
            }
        }
        let all = [gpu(None, &[31]), gpu(None, &[79]), gpu(None, &[])];
        assert!(worst(&all).unwrap().needs_reset);
        assert_eq!(worst(&all[2..]), None);
    }
}
