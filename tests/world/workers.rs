//! Seeds in processes of their own, as many at a time as there are processors. Knows nothing of
//! what runs in them.

use std::ops::Range;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use protocol::planted::Planted;

use crate::outcome::Outcome;

/// Names the seed that a process runs.
pub const SEED: &str = "OTTLA_SIM_SEED";

/// Names the fault that is planted there, if one is.
pub const FAULT: &str = "OTTLA_SIM_PLANTED";

/// What came of a seed; a process that does not tell is something wrong like any other.
pub fn run(seed: u64, fault: Option<Planted>) -> Outcome {
    let this = std::env::current_exe().expect("this test's own file");
    let mut command = Command::new(this);
    command
        .args(["one_seed", "--exact", "--nocapture", "--test-threads=1"])
        .env(SEED, seed.to_string())
        .env_remove(FAULT)
        .stdin(Stdio::null());
    if let Some(fault) = fault {
        command.env(FAULT, format!("{fault:?}"));
    }
    let output = command.output().expect("it can be started");
    String::from_utf8_lossy(&output.stdout).parse().unwrap_or_else(|()| {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let wrong = Some(format!("{}: {said}", output.status));
        Outcome { wrong, ..Outcome::default() }
    })
}

/// The first seed that goes wrong, by number, with what was wrong. Some take longer than others:
/// each thread takes the next that nobody has.
pub fn first_wrong(seeds: Range<u64>, fault: Option<Planted>) -> Option<(u64, String)> {
    let (next, lowest) = (AtomicU64::new(seeds.start), AtomicU64::new(u64::MAX));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end || seed > lowest.load(Ordering::Relaxed) {
                return None;
            }
            if let Some(wrong) = run(seed, fault).wrong {
                lowest.fetch_min(seed, Ordering::Relaxed);
                return Some((seed, wrong));
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let wrong = threads.into_iter().filter_map(|thread| thread.join().expect("no panic"));
        wrong.min_by_key(|(seed, _)| *seed)
    })
}
