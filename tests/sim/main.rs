//! A whole cluster in one thread: real controllers, partitions, logs and ZooKeeper sessions on a
//! simulated network, disk, clock and ensemble, with everything going wrong that its seed says.
//!
//! `OTTLA_SIM_SEED=n` runs that seed alone, `OTTLA_SIM_SEEDS=n` so many instead of a thousand;
//! `OTTLA_SIM_TRACE=1` prints what happened in a run that went wrong.

mod admin;
mod broker;
mod checker;
mod client;
mod consumer;
mod context;
mod control;
mod fetcher;
mod glance;
mod isr;
mod membership;
mod message;
mod nemesis;
mod network;
mod orders;
mod producer;
mod random;
mod records;
mod run;
mod serve;
mod shutdown;
mod topics;
mod trace;
mod transactions;
mod view;
mod world;
mod zookeeper_client;

use std::sync::atomic::{AtomicU64, Ordering};

use protocol::planted::{self, Planted};
use run::{Outcome, run};
use transactions::are_in;

/// Seeds of an ordinary run.
const SEEDS: u64 = 1000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs a seed, and says what came of it if it is the only one.
fn told(seed: u64) -> Outcome {
    let outcome = run(seed);
    if number("OTTLA_SIM_SEED").is_some() {
        let Outcome { steps, acked, committed, aborted, hash, .. } = &outcome;
        println!(
            "seed {seed}: {steps} steps, {acked} records acknowledged, {committed} transactions \
             committed, {aborted} aborted, trace {hash:016x}"
        );
    }
    outcome
}

/// Runs seeds on two threads; the first that goes wrong, by number. Some take longer than others:
/// each thread takes the next that nobody has.
fn first_wrong(seeds: std::ops::Range<u64>) -> Option<(u64, Outcome)> {
    let lowest = AtomicU64::new(u64::MAX);
    let next = AtomicU64::new(seeds.start);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end || seed > lowest.load(Ordering::Relaxed) {
                return None;
            }
            let outcome = told(seed);
            if outcome.wrong.is_some() {
                lowest.fetch_min(seed, Ordering::Relaxed);
                return Some((seed, outcome));
            }
        }
    };
    std::thread::scope(|scope| {
        let threads = [(); 2].map(|()| scope.spawn(work));
        let wrong = threads.into_iter().filter_map(|t| t.join().expect("panics are caught"));
        wrong.min_by_key(|(seed, _)| *seed)
    })
}

#[test]
fn a_thousand_seeds() {
    let seeds = match number("OTTLA_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("OTTLA_SIM_SEEDS").unwrap_or(SEEDS),
    };
    if let Some((seed, outcome)) = first_wrong(seeds) {
        for line in outcome.lines {
            println!("{line}");
        }
        let wrong = outcome.wrong.expect("it went wrong");
        panic!(
            "seed {seed}: {wrong}\nreplay: OTTLA_SIM_SEED={seed} cargo test -p tests --test sim \
             a_thousand_seeds"
        );
    }
}

#[test]
fn a_seed_is_a_run() {
    for seed in [2, 3, 4] {
        let (one, other) = (run(seed), run(seed));
        assert!(one.steps > 1000, "seed {seed} does something");
        let both = one.committed > 0 && one.aborted > 0;
        assert_eq!(both, are_in(seed), "seed {seed} has transactions of both kinds, or none");
        assert_eq!((one.hash, one.steps), (other.hash, other.steps), "seed {seed} runs twice");
    }
}

/// Every planted fault is found by one of the seeds.
#[test]
fn planted_faults_are_found() {
    use Planted::*;
    are_found(
        &[
            AckBeforeIsr,
            WatermarkAlone,
            ServeAboveWatermark,
            TruncateToWatermark,
            IgnoreDivergence,
            ExpandTooEarly,
            ShrinkTooEarly,
            ElectOutsideIsr,
            KeepLeaderEpoch,
            ForgetSequences,
            ReplaceForeignLog,
        ],
        false,
    );
}

/// Those in transactions, by one of the seeds that have such.
#[test]
fn faults_planted_in_transactions_are_found() {
    use Planted::*;
    are_found(
        &[
            MarkBeforeDecision,
            KeepProducerEpoch,
            ForgetDecisions,
            ServeOpenTransactions,
            HideAborted,
            BeginUnverified,
        ],
        true,
    );
}

fn are_found(faults: &[Planted], in_transactions: bool) {
    let only = std::env::var("OTTLA_SIM_PLANTED").ok();
    let mut missed = Vec::new();
    for fault in faults.iter().copied() {
        if only.as_ref().is_some_and(|only| *only != format!("{fault:?}")) {
            continue;
        }
        planted::plant(Some(fault));
        let mut seeds = (0..SEEDS).filter(|seed| !in_transactions || are_in(*seed));
        let found = seeds.find_map(|seed| Some((seed, run(seed).wrong?)));
        planted::plant(None);
        match found {
            Some((seed, wrong)) => println!("{fault:?}: seed {seed}: {wrong}"),
            None => missed.push(fault),
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}
