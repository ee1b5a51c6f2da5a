//! What a plan of placement costs, which is made with every change and each second: `cargo bench -p cloudach-router --bench placement`.

#![expect(clippy::print_stdout, clippy::expect_used, reason = "figures are what a bench is for, and it fails loudly")]

use std::{collections::BTreeSet, hint::black_box, time::Duration, time::Instant};

use cloudach_router::placement::{
    need::Need,
    plan::{Rules, plan},
    situation::{Gpu, Holding, Phase, Replica, Situation},
    spec::Spec,
};

const ROUNDS: u32 = 7;
const NOW: Duration = Duration::from_secs(100_000);

fn main() {
    println!("{:>10} {:>10}", "at rest", "to be filled");
    for (models, replicas) in [(1, 1), (10, 10), (10, 100), (100, 100), (100, 1000)] {
        let at_rest = fleet(models, replicas, true);
        let empty = fleet(models, replicas, false);
        assert!(plan(&at_rest, &Rules::default()).is_empty());
        assert_eq!(plan(&empty, &Rules::default()).len(), models.min(replicas));
        let figures = [at_rest, empty].map(|situation| format!("{:>7.3} ms", measure(&situation) * 1e3));
        println!("{}  {models} models on {replicas} replicas", figures.join(" "));
    }
}

/// The best of some rounds, in seconds.
fn measure(situation: &Situation) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        black_box(plan(black_box(situation), &Rules::default()));
        best = best.min(start.elapsed().as_secs_f64());
    }
    best
}

/// Replicas of a GPU each. Each model is needed once; where they are held, each replica has one.
fn fleet(models: usize, replicas: usize, held: bool) -> Situation {
    let spec: Spec =
        serde_json::from_str(r#"{"source": "org/model", "memory_mib": 40000, "max": 1000}"#).expect("a spec");
    let model = |number: usize| format!("model-{}", number % models);
    let need =
        |count: usize| Need { now: u32::try_from(count).expect("few"), last: vec![NOW; count], unmet_since: None };
    let each = if held { replicas / models } else { 1 };
    let replica = |number: usize| Replica {
        dialect: "vllm".to_owned(),
        obeys: true,
        gpus: vec![Gpu { id: format!("gpu-{number}"), memory_mib: 80_000 }],
        holds: held.then(|| Holding {
            model: model(number),
            phase: Phase::Ready,
            since: Duration::ZERO,
            adapters: BTreeSet::new(),
        }),
        ..Replica::default()
    };
    Situation {
        models: (0..models).map(|number| (model(number), spec.clone())).collect(),
        needs: (0..models).map(|number| (model(number), need(each))).collect(),
        replicas: (0..replicas).map(|number| (format!("replica-{number}"), replica(number))).collect(),
        now: NOW,
        ..Situation::default()
    }
}
