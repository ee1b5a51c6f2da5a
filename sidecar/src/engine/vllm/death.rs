//! Why a vLLM process died, found in its last lines. No I/O.
//!
//! The last lines of vLLM only say that "Engine core initialization failed. See root cause above": the cause stands
//! further up, under a prefix with the process's name.

use cloudach_proto::v1::DeathCause;

use super::super::{
    call::brief,
    last_words::{GPUS, Telling, most_telling},
};
use crate::death::Death;

/// What a full GPU is called before there is anything on it. It goes before CUDA's own texts.
const ROOM: [Telling; 3] = [
    ("Free memory on device", DeathCause::GpuMemory),
    ("No available memory for the cache blocks", DeathCause::KvCache),
    ("cache is needed, which is larger than the available KV cache", DeathCause::KvCache),
];

/// What goes after them, the more telling first.
const OTHERS: [Telling; 17] = [
    ("DefaultCPUAllocator: can't allocate memory", DeathCause::HostMemory),
    ("DefaultCPUAllocator: not enough memory", DeathCause::HostMemory),
    ("Cannot allocate memory", DeathCause::HostMemory),
    ("Address already in use", DeathCause::Command),
    ("unrecognized arguments", DeathCause::Command),
    ("unexpected argument", DeathCause::Command),
    ("No common block size", DeathCause::Command),
    ("PackageNotFoundError", DeathCause::Command),
    ("does not appear to have a file named", DeathCause::Model),
    ("RepositoryNotFoundError", DeathCause::Model),
    ("SafetensorError", DeathCause::Model),
    ("are not supported for now", DeathCause::Model),
    ("died unexpectedly (exit code: -9)", DeathCause::Killed),
    ("died with exit code -9", DeathCause::Killed),
    ("'EngineCore': -9", DeathCause::Killed),
    ("died unexpectedly", DeathCause::Other),
    ("RPC call to ", DeathCause::Other),
];

/// Looks for the cause of death, oldest line first.
pub(in crate::engine) fn cause<'a>(lines: impl DoubleEndedIterator<Item = &'a str> + Clone) -> Option<Death> {
    let telling = ROOM.into_iter().chain(GPUS).chain(OTHERS);
    if let Some((line, cause)) = most_telling(telling, lines.clone()) {
        return Some(Death::new(cause, message(line)));
    }
    // Otherwise what the first exception says, which stands at the beginning of the last line of its trace.
    let exception = lines.clone().find(|line| is_exception(line));
    let words = exception.or_else(|| lines.clone().rfind(|line| !line.trim().is_empty()))?;
    Some(Death::new(DeathCause::Other, message(words)))
}

/// `ValueError: ..`, after whatever prefixes.
fn is_exception(line: &str) -> bool {
    let Some((head, _)) = message_of(line).split_once(": ") else { return false };
    let name = head.rsplit('.').next().unwrap_or(head);
    (name.ends_with("Error") || name.ends_with("Exception"))
        && name.chars().all(char::is_alphanumeric)
        && !line.contains("See root cause above")
}

fn message(line: &str) -> String {
    brief(message_of(line))
}

/// The line without `(EngineCore pid=12) ERROR 01-02 03:04:05 [core.py:123] `.
fn message_of(line: &str) -> &str {
    let line = match line.strip_prefix('(').and_then(|line| line.split_once(") ")) {
        Some((process, rest)) if process.contains("pid=") => rest,
        _ => line,
    };
    match line.split_once("] ") {
        Some((head, rest))
            if head.starts_with("ERROR ") || head.starts_with("WARNING ") || head.starts_with("INFO ") =>
        {
            rest
        }
        _ => line,
    }
    .trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What vLLM says of any failure while it starts, after the cause.
    const AFTER: &str =
        "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {'EngineCore': 1}";

    #[test]
    fn causes_are_found() {
        let room = "ValueError: Free memory on device cuda:0 (1/80 GiB) on startup is less than desired GPU memory utilization (0.92, 74 GiB).";
        let ring = "[rank1]:[E102 03:04:05.1 ProcessGroupNCCL.cpp:607] [Rank 1] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=9)";
        let cases: [(&str, &str, DeathCause); 21] = [
            (room, room, DeathCause::GpuMemory),
            (
                "(EngineCore pid=12) ERROR 01-02 03:04:05 [core.py:9] torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.",
                "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.",
                DeathCause::GpuMemory,
            ),
            (
                "(Worker_TP0 pid=12) ERROR 01-02 03:04:05 [multiproc_executor.py:9] RuntimeError: CUDA out of memory occurred when warming up sampler with 256 dummy requests.",
                "RuntimeError: CUDA out of memory occurred when warming up sampler with 256 dummy requests.",
                DeathCause::GpuMemory,
            ),
            (
                "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`",
                "",
                DeathCause::KvCache,
            ),
            (
                "ValueError: To serve at least one request with the model's max seq len (131072), (16.0 GiB KV cache is needed, which is larger than the available KV cache memory (3.1 GiB).",
                "",
                DeathCause::KvCache,
            ),
            ("torch.AcceleratorError: CUDA error: uncorrectable ECC error encountered", "", DeathCause::GpuFault),
            (
                "torch.AcceleratorError: CUDA error: uncorrectable NVLink error detected during the execution",
                "",
                DeathCause::GpuFault,
            ),
            (
                "torch.AcceleratorError: CUDA error: an illegal memory access was encountered",
                "",
                DeathCause::GpuProgram,
            ),
            ("torch.AcceleratorError: CUDA error: device-side assert triggered", "", DeathCause::GpuProgram),
            ("torch.AcceleratorError: CUDA error: unspecified launch failure", "", DeathCause::GpuProgram),
            ("torch.AcceleratorError: CUDA error: invalid argument", "", DeathCause::Other),
            (
                "torch.distributed.DistBackendError: NCCL error in: ../NCCLUtils.cpp:94, unhandled cuda error (run with NCCL_DEBUG=INFO for details)",
                "",
                DeathCause::Collective,
            ),
            (
                "ncclSystemError: System call (e.g. socket, malloc) or external library call failed or device error. ",
                "ncclSystemError: System call (e.g. socket, malloc) or external library call failed or device error.",
                DeathCause::Collective,
            ),
            ("host:12:34 [1] transport/shm.cc:180 NCCL WARN Cuda failure", "", DeathCause::Collective),
            (
                "RuntimeError: NCCL error: unhandled system error (run with NCCL_DEBUG=INFO for details)",
                "",
                DeathCause::Collective,
            ),
            (ring, ring, DeathCause::Collective),
            (
                "(EngineCore pid=9) ERROR 01-02 03:04:05 [multiproc_executor.py:315] Worker proc VllmWorker-1 died unexpectedly (exit code: -9), shutting down executor.",
                "Worker proc VllmWorker-1 died unexpectedly (exit code: -9), shutting down executor.",
                DeathCause::Killed,
            ),
            ("OSError: [Errno 98] Address already in use", "", DeathCause::Command),
            (
                "(EngineCore pid=9) ValueError: No common block size for 16 (CPU_ATTN: [MultipleOf(32)])",
                "ValueError: No common block size for 16 (CPU_ATTN: [MultipleOf(32)])",
                DeathCause::Command,
            ),
            ("huggingface_hub.errors.RepositoryNotFoundError: 404", "", DeathCause::Model),
            ("ValueError: something new", "", DeathCause::Other),
        ];
        for (line, detail, expected) in cases {
            let lines = [
                "INFO 01-02 03:04:05 [api_server.py:1] starting",
                "Traceback (most recent call last):",
                line,
                AFTER,
                " ",
            ];
            let detail = if detail.is_empty() { line } else { detail };
            assert_eq!(cause(lines.into_iter()), Some(Death::new(expected, detail)));
        }
        assert_eq!(cause(["exec failed", "  "].into_iter()), Some(Death::new(DeathCause::Other, "exec failed")));
        assert_eq!(cause([].into_iter()), None);
    }

    #[test]
    fn the_fault_goes_before_what_it_brings_about() {
        let lines = [
            "[rank0] NCCL WARN Cuda failure 'unspecified launch failure'",
            "torch.OutOfMemoryError: CUDA out of memory.",
            "torch.AcceleratorError: CUDA error: uncorrectable ECC error encountered",
            "Worker proc VllmWorker-1 died unexpectedly (exit code: 1), shutting down executor.",
        ];
        assert_eq!(cause(lines.into_iter()).unwrap().cause, DeathCause::GpuFault);
        assert_eq!(cause([lines[0], lines[3]].into_iter()).unwrap().cause, DeathCause::GpuProgram);
    }
}
