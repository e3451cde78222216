//! Clusters of both kinds at once: Apache's brokers and ours, as members with equal rights.
//!
//! `OTTLA_TEST_SUBJECT=apache` puts Apache's in place of ours, which checks the tests.

mod kills;
mod reassign;
mod swap;

use tests::brokers::{Brokers, Kind, Plan};
use tests::chance;
use tests::workload::Workload;

use crate::cluster::Alone;

const TOPIC: &str = "load";
const PARTITIONS: u32 = 6;

fn start(kinds: &[Kind]) -> Option<(Brokers, Alone)> {
    if !Workload::can_run() {
        return None;
    }
    let alone = Alone::wait();
    Some((Plan::of(kinds).start()?, alone))
}

fn load(brokers: &Brokers) -> Workload {
    let seed = chance::seed();
    println!("replay with OTTLA_TEST_SEED={seed}");
    Workload::start(brokers, TOPIC, PARTITIONS, seed)
}

/// One of each kind, by id: the first that is of it.
fn first_of(brokers: &Brokers, kind: Kind) -> i32 {
    let ids = brokers.ids();
    let found = ids.into_iter().find(|id| brokers.member(*id).kind() == kind);
    // With Apache's in place of ours there is one kind alone.
    found.unwrap_or(1)
}
