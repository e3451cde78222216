//! From starting the process to the first answered Metadata request, and memory when idle.

use std::time::Instant;

use tests::apache::ApacheBroker;
use tests::java;
use tests::ottla::Ottla;
use tests::zookeeper::ZooKeeperServer;

use crate::process_cost::memory_mib;
use crate::table::{Goal, Row, median};

const ROUNDS: usize = 3;

pub fn rows() -> Vec<Row> {
    let (mut apache, mut beside, mut embedded) = (vec![], vec![], vec![]);
    let (mut apache_idle, mut ottla_idle) = (vec![], vec![]);
    let zookeeper = ZooKeeperServer::start();
    for round in 0..ROUNDS {
        let connect = format!("{}/apache{round}", zookeeper.connect());
        let start = Instant::now();
        let broker = ApacheBroker::start_with(java::AS_SHIPPED, &connect, "");
        apache.push(start.elapsed().as_secs_f64());
        apache_idle.push(memory_mib(broker.process().id()));
        drop(broker);
        let connect = format!("{}/ottla{round}", zookeeper.connect());
        let (seconds, idle) = ours(Some(&connect));
        beside.push(seconds);
        ottla_idle.push(idle);
        embedded.push(ours(None).0);
    }
    let row = |what: &str, unit, apache, ottla, goal| Row {
        what: what.to_owned(),
        unit,
        apache,
        ottla,
        goal,
    };
    let (a, z, e) = (median(&apache), median(&beside), median(&embedded));
    vec![
        row("start to the first Metadata answer, beside ZooKeeper", "s", a, z, Goal::AtMost(0.5)),
        row("the same, embedded", "s", f64::NAN, e, Goal::AtMost(0.1)),
        row(
            "memory when idle",
            "MiB",
            median(&apache_idle),
            median(&ottla_idle),
            Goal::AtMost(30.0),
        ),
    ]
}

/// Ours is asked at once after its ready line; the asking program's own start counts.
fn ours(zookeeper: Option<&str>) -> (f64, f64) {
    let start = Instant::now();
    let broker = Ottla::start(zookeeper, "");
    tests::clients::kcat(&broker.bootstrap(), &["-L"], b"").ok();
    (start.elapsed().as_secs_f64(), memory_mib(broker.process().id()))
}
