//! Which of the machine's GPUs are the engine's: what `CUDA_VISIBLE_DEVICES` says. No I/O.

/// The machine's GPUs that a program with this variable sees, by their places in `uuids`, in the program's order.
///
/// As CUDA has it: without the variable all; what follows an entry that stands for none is not seen; a UUID may be cut
/// where it is still of one GPU alone. Numbers are the driver's (`CUDA_DEVICE_ORDER=PCI_BUS_ID`): where GPUs of several kinds
/// are mixed CUDA counts the fastest first, unless it is told so. Slices of a GPU (`MIG-..`) are not told.
pub(super) fn visible(variable: Option<&str>, uuids: &[String]) -> Vec<usize> {
    let Some(variable) = variable else { return (0..uuids.len()).collect() };
    let mut seen = Vec::new();
    for entry in variable.split(',').map(str::trim) {
        match place(entry, uuids) {
            Some(place) if !seen.contains(&place) => seen.push(place),
            _ => break,
        }
    }
    seen
}

fn place(entry: &str, uuids: &[String]) -> Option<usize> {
    if let Ok(index) = entry.parse::<usize>() {
        return (index < uuids.len()).then_some(index);
    }
    let mut matching = (0..uuids.len()).filter(|&place| entry.starts_with("GPU-") && uuids[place].starts_with(entry));
    let first = matching.next()?;
    matching.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_as_cuda_does() {
        let uuids = ["GPU-aa11", "GPU-aa22", "GPU-bb33"].map(str::to_owned);
        let cases: [(Option<&str>, &[usize]); 12] = [
            (None, &[0, 1, 2]),
            (Some(""), &[]),
            (Some("-1"), &[]),
            (Some("NoDevFiles"), &[]),
            (Some("2,0"), &[2, 0]),
            (Some(" 1 , 2 "), &[1, 2]),
            (Some("0,9,1"), &[0]),
            (Some("0,-1,1"), &[0]),
            (Some("GPU-bb33,GPU-aa1"), &[2, 0]),
            (Some("GPU-aa"), &[]),
            (Some("1,GPU-aa22"), &[1]),
            (Some("MIG-GPU-aa11/1/0"), &[]),
        ];
        for (variable, expected) in cases {
            assert_eq!(visible(variable, &uuids), expected, "{variable:?}");
        }
    }
}
