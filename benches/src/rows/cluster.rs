//! Three brokers of each kind: replicated throughput, its cost over all brokers, the round trip.
//! One cluster runs at a time, since six brokers do not fit on a small machine.

use tests::brokers::{Brokers, Plan};
use tests::java;

use crate::load::Load;
use crate::process_cost;
use crate::rows::latency;
use crate::subject::{KINDS, Kind};
use crate::table::{Goal, Row, median};

/// Kafka's own values where the harness has quick ones, and what one pass wrote goes at once.
pub const SETTINGS: &str = "\
zookeeper.session.timeout.ms=10000
replica.lag.time.max.ms=30000
replica.fetch.wait.max.ms=500
replica.fetch.backoff.ms=1000
log.segment.bytes=1073741824
log.segment.delete.delay.ms=100
offsets.topic.num.partitions=50
";

const PARTITIONS: u32 = 6;
const COUNT: u64 = 500_000;
const BYTES: u64 = 1000;
/// Each round starts both clusters anew, one after the other; its first pass only warms up.
const ROUNDS: usize = 2;
const PASSES: usize = 2;
const TRIPS: f64 = 3000.0;

#[derive(Default)]
struct Measured {
    cpu_per_gb: Vec<f64>,
    mb_per_second: Vec<f64>,
    p99_ms: Vec<f64>,
    average_ms: Vec<f64>,
}

pub fn start(kind: Kind) -> Brokers {
    let plan = Plan::of(&[kind; 3]).jvm(java::AS_SHIPPED).lines(SETTINGS);
    plan.start().expect("cargo xtask setup installs what it needs")
}

/// Of all brokers and their children.
fn cpu_seconds(brokers: &Brokers) -> f64 {
    let members = brokers.ids().into_iter().filter_map(|id| brokers.member(id).process());
    members.map(|process| process_cost::cpu_seconds(process.id())).sum()
}

pub fn rows(load: &Load) -> Vec<Row> {
    let mut measured = <[Measured; 2]>::default();
    for _ in 0..ROUNDS {
        for (kind, into) in KINDS.into_iter().zip(&mut measured) {
            let brokers = start(kind);
            throughput(load, &brokers, into);
            round_trips(&brokers, into);
        }
    }
    let row = |what: &str, unit, of: fn(&Measured) -> &Vec<f64>, goal| Row {
        what: format!("three brokers, RF 3: {what}"),
        unit,
        apache: median(of(&measured[0])),
        ottla: median(of(&measured[1])),
        goal,
    };
    let load = "produce 1 kB, acks=all, min ISR 2, 6 partitions";
    vec![
        row(&format!("{load}: throughput"), "MB/s", |m| &m.mb_per_second, Goal::AtLeast(2.0)),
        row(&format!("{load}: CPU per GB, all"), "s", |m| &m.cpu_per_gb, Goal::Ratio(0.25)),
        row("round trip, 100 B, acks=all: average", "ms", |m| &m.average_ms, Goal::None),
        row("the same: 99th percentile", "ms", |m| &m.p99_ms, Goal::Ratio(1.0 / 3.0)),
    ]
}

fn throughput(load: &Load, brokers: &Brokers, into: &mut Measured) {
    for pass in 0..=PASSES {
        let topic = format!("load{pass}");
        brokers.create_topic(&topic, PARTITIONS);
        let before = cpu_seconds(brokers);
        let done = load.produce(&brokers.bootstrap(), &topic, COUNT, BYTES, "all");
        let cpu = cpu_seconds(brokers) - before;
        brokers.delete_topic(&topic);
        if pass > 0 {
            into.cpu_per_gb.push(cpu / (done.bytes / 1e9));
            into.mb_per_second.push(done.bytes / 1e6 / done.seconds);
        }
    }
}

fn round_trips(brokers: &Brokers, into: &mut Measured) {
    for round in 0..=1 {
        let topic = format!("trip{round}");
        brokers.create_topic(&topic, 1);
        let out = latency::end_to_end(&brokers.bootstrap(), &topic, TRIPS as u64, "all");
        if round > 0 {
            into.average_ms.push(latency::after(&out, "Avg latency: "));
            into.p99_ms.push(latency::after(&out, "99th = "));
        }
    }
}
