//! One run from its seed to its end: a time of faults, a time to heal, and what must hold then.

use crate::checker::Checker;
use crate::nemesis::Nemesis;
use crate::world::World;

/// How long things go wrong.
const FAULTS_MS: u64 = 25_000;
/// How long everything may take to be well again.
const HEALING_US: u64 = 60_000_000;
/// Simulated time between two looks at whether it is.
const LOOK_US: u64 = 250_000;

#[derive(Debug, Default)]
pub struct Outcome {
    /// What was wrong, if anything was.
    pub wrong: Option<String>,
    pub hash: u64,
    pub steps: u64,
    pub acked: u64,
    /// Transactions whose clients were told so.
    pub committed: u64,
    pub aborted: u64,
    pub lines: Vec<String>,
}

/// Runs a seed; a panic is something wrong like any other.
pub fn run(seed: u64) -> Outcome {
    let caught = std::panic::catch_unwind(|| run_to_the_end(seed));
    caught.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let wrong = Some(format!("a panic: {}", text.unwrap_or_default()));
        Outcome { wrong, ..Outcome::default() }
    })
}

fn run_to_the_end(seed: u64) -> Outcome {
    let mut world = World::new(seed, Nemesis::new(FAULTS_MS));
    while !world.nemesis.calm && world.checker.wrong.is_none() {
        world.step();
    }
    let deadline_us = world.now_us + HEALING_US;
    let mut next_us = world.now_us;
    while world.checker.wrong.is_none() {
        world.step();
        if world.now_us < next_us {
            continue;
        }
        next_us = world.now_us + LOOK_US;
        match Checker::unsettled(&world) {
            None => {
                Checker::look_at_logs(&mut world);
                break;
            }
            Some(why) if world.now_us > deadline_us => {
                world.checker.wrong = Some(format!("not well again: {why}"));
            }
            Some(_) => {}
        }
    }
    Outcome {
        wrong: world.checker.wrong.take(),
        hash: world.trace.hash(),
        steps: world.steps,
        acked: world.checker.acked,
        committed: world.checker.ledger.committed,
        aborted: world.checker.ledger.aborted,
        lines: world.trace.lines.take().unwrap_or_default(),
    }
}
