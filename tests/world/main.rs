//! A whole cluster in one thread: production brokers on simulated computers, network, disks, clocks
//! and ensemble, with everything going wrong that its seed says.
//!
//! `OTTLA_SIM_SEED=n` names the seed of `one_seed`, `OTTLA_SIM_SEEDS=n` how many `seeds` takes;
//! `OTTLA_SIM_TRACE=1` prints what happened.

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

/// Seeds of an ordinary run.
const SEEDS: u64 = 300;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// One seed, in this process. The others run in processes of their own: a run's chance must not
/// depend on what ran before it.
#[test]
fn one_seed() {
    let seed = number(workers::SEED).unwrap_or(1);
    let outcome = outcome::of(seed);
    println!("{outcome}");
    assert_eq!(outcome.wrong, None, "seed {seed}");
}

#[test]
fn seeds() {
    let count = number("OTTLA_SIM_SEEDS").unwrap_or(SEEDS);
    let first_wrong = workers::first_wrong(1..count + 1);
    if let Some((seed, wrong)) = first_wrong {
        panic!(
            "seed {seed}: {wrong}\nreplay: {}={seed} cargo test -p tests --test world one_seed",
            workers::SEED
        );
    }
}

#[test]
fn a_seed_is_a_run() {
    for seed in [2, 3] {
        let (one, other) = (workers::run(seed), workers::run(seed));
        assert!(one.events > 1000 && one.acked > 0 && one.consumed > 0, "seed {seed}: {one}");
        assert_eq!(one, other, "seed {seed} runs twice");
    }
}
