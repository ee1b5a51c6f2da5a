//! GPUs as routers hear of them. There is none here: NVML is a stand-in that a C compiler makes of `nvml/stand_in.c`.

use std::{fs, path::Path, process::Command};

use cloudach_proto::v1::{DeathCause, Gpu, GpuState, ModelPhase};

use crate::process::{Process, kill};

/// Builds the stand-in, where that can be done.
fn stand_in(folder: &Path) -> bool {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/blackbox/nvml/stand_in.c");
    let library = folder.join("libnvml.so");
    let mut compile = Command::new("cc");
    compile.args(["-shared", "-fPIC", "-Wall", "-o"]).arg(&library).arg(source);
    match compile.status() {
        Ok(status) => {
            assert!(status.success(), "the stand-in for NVML does not compile");
            true
        }
        Err(error) => {
            eprintln!(
                "==================== GPUs are NOT tested: there is no C compiler ({error}) ===================="
            );
            false
        }
    }
}

fn gpu(index: u32) -> GpuState {
    GpuState {
        index,
        uuid: format!("GPU-{}", index.to_string().repeat(4)),
        name: "Stand-in".into(),
        memory_total_mib: 1000,
        memory_used_mib: 100 + u64::from(index),
        utilization_percent: Some(42),
        temperature_celsius: Some(61),
        uncorrected_errors: Some(0),
        throttled: vec!["sw_power_cap".into()],
        ..GpuState::default()
    }
}

#[tokio::test]
async fn gpus_are_told_and_one_that_needs_a_reset_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    if !stand_in(folder.path()) {
        return;
    }
    let mut process = Process::with_gpus(folder.path(), "1,0").await;
    let mut attachment = process.attachment().await;
    attachment.until_phase(ModelPhase::Ready).await;
    assert_eq!(attachment.gpus().await, [gpu(1), gpu(0)]);

    // The program's own fault: it is told, and the replica stays.
    fs::write(folder.path().join("xid.new"), "31").unwrap();
    fs::rename(folder.path().join("xid.new"), folder.path().join("xid")).unwrap();
    let hit = loop {
        let told = attachment.gpus().await;
        if !told[0].xids.is_empty() {
            break told;
        }
    };
    assert_eq!((hit[0].xids.as_slice(), hit[0].fault.contains("Xid 31")), ([31].as_slice(), true));
    assert_eq!(hit[1], gpu(0));

    fs::write(folder.path().join("xid.new"), "79").unwrap();
    fs::rename(folder.path().join("xid.new"), folder.path().join("xid")).unwrap();
    let state = attachment.until_phase(ModelPhase::Failed).await;
    assert_eq!(state.detail, "GPU 1 (Stand-in, GPU-1111) had Xid 79: it needs a reset");
    assert_eq!(state.deaths, 0);
    // What the engine dies of now is the GPU's doing.
    kill(process.number_in("engine.pid").await);
    let state = attachment.until_state(|state| state.deaths == 1).await;
    assert_eq!(state.last_death(), DeathCause::GpuFault);
}

#[tokio::test]
async fn a_managed_sidecar_offers_the_gpus_that_it_finds() {
    let folder = tempfile::tempdir().unwrap();
    if !stand_in(folder.path()) {
        return;
    }
    let mut process = Process::managed_with_gpus(folder.path(), "1,0").await;
    let offered = process.attachment().await.hello().await.gpus;
    let expected = ["GPU-1111", "GPU-0000"].map(|id| Gpu { id: id.into(), memory_mib: 1000 });
    assert_eq!(offered, expected);
}

#[tokio::test]
async fn memory_that_ecc_could_not_correct_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    if !stand_in(folder.path()) {
        return;
    }
    fs::write(folder.path().join("uncorrected"), "5").unwrap();
    let mut process = Process::with_gpus(folder.path(), "GPU-0").await;
    let mut attachment = process.attachment().await;
    // What was before is not held against it.
    attachment.until_phase(ModelPhase::Ready).await;
    assert_eq!(attachment.gpus().await, [GpuState { uncorrected_errors: Some(5), ..gpu(0) }]);
    fs::write(folder.path().join("uncorrected.new"), "6").unwrap();
    fs::rename(folder.path().join("uncorrected.new"), folder.path().join("uncorrected")).unwrap();
    let state = attachment.until_phase(ModelPhase::Failed).await;
    assert_eq!(state.detail, "GPU 0 (Stand-in, GPU-0000) had 1 memory errors that ECC could not correct");
}
