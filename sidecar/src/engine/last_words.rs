//! What tells a cause in an engine's last words, in every dialect: the texts of CUDA, of PyTorch on top of it, and of NCCL.

use cloudach_proto::v1::DeathCause;

/// A text that tells a cause, wherever in a line.
pub(super) type Telling = (&'static str, DeathCause);

/// The more telling first: after a fault of a GPU its memory cannot be had and its neighbours wait in vain; when one
/// of several GPUs fails, the others complain of it.
pub(super) const GPUS: [Telling; 24] = [
    ("uncorrectable ECC error", DeathCause::GpuFault),
    ("uncorrectable NVLink error", DeathCause::GpuFault),
    ("hardware stack error", DeathCause::GpuFault),
    ("GPU is lost", DeathCause::GpuFault),
    ("fallen off the bus", DeathCause::GpuFault),
    ("CUDA-capable device(s) is/are busy or unavailable", DeathCause::GpuFault),
    ("CUDA out of memory", DeathCause::GpuMemory),
    ("CUDA error: out of memory", DeathCause::GpuMemory),
    ("torch.OutOfMemoryError", DeathCause::GpuMemory),
    ("torch.cuda.OutOfMemoryError", DeathCause::GpuMemory),
    ("device-side assert triggered", DeathCause::GpuProgram),
    ("an illegal memory access was encountered", DeathCause::GpuProgram),
    ("an illegal instruction was encountered", DeathCause::GpuProgram),
    ("misaligned address", DeathCause::GpuProgram),
    ("unspecified launch failure", DeathCause::GpuProgram),
    ("the launch timed out and was terminated", DeathCause::GpuProgram),
    ("Watchdog caught collective operation timeout", DeathCause::Collective),
    ("ncclUnhandledCudaError", DeathCause::Collective),
    ("ncclSystemError", DeathCause::Collective),
    ("ncclRemoteError", DeathCause::Collective),
    ("ncclInternalError", DeathCause::Collective),
    ("NCCL error", DeathCause::Collective),
    ("NCCL WARN", DeathCause::Collective),
    ("CUDA error", DeathCause::Other),
];

/// The first line with the most telling text, and what that tells.
pub(super) fn most_telling<'a>(
    telling: impl IntoIterator<Item = Telling>,
    lines: impl Iterator<Item = &'a str> + Clone,
) -> Option<(&'a str, DeathCause)> {
    telling.into_iter().find_map(|(text, cause)| Some((lines.clone().find(|line| line.contains(text))?, cause)))
}
