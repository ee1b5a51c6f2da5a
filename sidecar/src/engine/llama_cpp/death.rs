//! Why a llama.cpp server died, found in its last lines. No I/O.

use cloudach_proto::v1::DeathCause;

use super::super::{
    call::brief,
    last_words::{GPUS, Telling, most_telling},
};
use crate::death::Death;

/// What tells a cause beside CUDA's own texts, the more telling first.
const OTHERS: [Telling; 9] = [
    ("cudaMalloc failed", DeathCause::GpuMemory),
    ("ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate", DeathCause::HostMemory),
    ("out of memory", DeathCause::GpuMemory),
    ("failed to allocate", DeathCause::Other),
    ("couldn't bind HTTP server socket", DeathCause::Command),
    ("error: invalid argument", DeathCause::Command),
    ("failed to open GGUF file", DeathCause::Model),
    ("error loading model", DeathCause::Model),
    ("error: ", DeathCause::Other),
];

/// Looks for the cause of death, oldest line first.
pub(in crate::engine) fn cause<'a>(lines: impl DoubleEndedIterator<Item = &'a str> + Clone) -> Option<Death> {
    let (line, cause) = most_telling(GPUS.into_iter().chain(OTHERS), lines.clone())
        .or_else(|| Some((lines.clone().rfind(|line| !line.trim().is_empty())?, DeathCause::Other)))?;
    Some(Death::new(cause, brief(line)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_found() {
        let cases = [
            ("couldn't bind HTTP server socket, hostname: 127.0.0.1, port: 8081", DeathCause::Command),
            ("llama_model_load: error loading model: tensor 'x' data is not within the file bounds", DeathCause::Model),
            (
                "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 9.00 MiB on device 0: cudaMalloc failed: out of memory",
                DeathCause::GpuMemory,
            ),
            ("CUDA error: uncorrectable ECC error encountered", DeathCause::GpuFault),
            ("ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of size 9", DeathCause::HostMemory),
            ("something else", DeathCause::Other),
        ];
        for (line, expected) in cases {
            assert_eq!(cause(["loading", line, ""].into_iter()), Some(Death::new(expected, line)));
        }
        assert_eq!(cause([].into_iter()), None);
    }
}
