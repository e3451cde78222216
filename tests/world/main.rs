//! A whole cluster in one thread: production brokers on simulated computers, network, disks, clocks
//! and ensemble, with everything going wrong that its seed says.
//!
//! `OTTLA_SIM_SEED=n` names the seed of `one_seed`, `OTTLA_SIM_SEEDS=n` how many `seeds` takes,
//! `OTTLA_SIM_PLANTED=Name` a fault that is planted in both; `OTTLA_SIM_TRACE=1` prints what
//! happened.

mod checker;
mod clients;
mod computer;
mod determinism;
mod ensemble;
mod glance;
mod ledger;
mod nemesis;
mod network;
mod outcome;
mod pipe;
mod place;
mod random;
mod records;
mod topics;
mod trace;
mod workers;
mod world;

use protocol::planted::Planted;

/// Seeds of an ordinary run.
const SEEDS: u64 = 300;

/// Seeds in which a planted fault is to be found.
const SEEDS_FOR_A_FAULT: u64 = 150;

/// The faults that are to be found here. The simulation of parts alone finds `BeginUnverified` and
/// `ReplaceForeignLog` so far.
const FAULTS: &[Planted] = &[
    Planted::AckBeforeIsr,
    Planted::WatermarkAlone,
    Planted::ServeAboveWatermark,
    Planted::TruncateToWatermark,
    Planted::IgnoreDivergence,
    Planted::ExpandTooEarly,
    Planted::ShrinkTooEarly,
    Planted::ElectOutsideIsr,
    Planted::KeepLeaderEpoch,
    Planted::ForgetSequences,
    Planted::MarkBeforeDecision,
    Planted::KeepProducerEpoch,
    Planted::ForgetDecisions,
    Planted::ServeOpenTransactions,
    Planted::HideAborted,
];

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn named_fault() -> Option<Planted> {
    let name = std::env::var(workers::FAULT).ok()?;
    let fault = FAULTS.iter().find(|fault| format!("{fault:?}") == name);
    Some(*fault.expect("the name of a fault"))
}

/// One seed, in this process. The others run in processes of their own: a run's chance must not
/// depend on what ran before it.
#[test]
fn one_seed() {
    let seed = number(workers::SEED).unwrap_or(1);
    let outcome = outcome::of(seed, named_fault());
    println!("{outcome}");
    assert_eq!(outcome.wrong, None, "seed {seed}");
}

#[test]
fn seeds() {
    let count = number("OTTLA_SIM_SEEDS").unwrap_or(SEEDS);
    let first_wrong = workers::first_wrong(1..count + 1, named_fault());
    if let Some((seed, wrong)) = first_wrong {
        panic!(
            "seed {seed}: {wrong}\nreplay: {}={seed} cargo test -p tests --test world one_seed",
            workers::SEED
        );
    }
}

/// Every planted fault is found by one of the seeds.
#[test]
fn planted_faults_are_found() {
    let mut missed = Vec::new();
    for fault in FAULTS {
        match workers::first_wrong(1..SEEDS_FOR_A_FAULT + 1, Some(*fault)) {
            Some((seed, wrong)) => println!("{fault:?}: seed {seed}: {wrong}"),
            None => missed.push(fault),
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}

#[test]
fn a_seed_is_a_run() {
    for seed in [2, 3] {
        let (one, other) = (workers::run(seed, None), workers::run(seed, None));
        assert!(one.events > 1000 && one.acked > 0 && one.consumed > 0, "seed {seed}: {one}");
        assert_eq!(one, other, "seed {seed} runs twice");
    }
}
