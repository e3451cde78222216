//! Partitions move from Apache's brokers to ours and back, under load, by Java's tool, asked of
//! either kind.

use std::time::Duration;

use tests::brokers::{Brokers, Kind};
use tests::workload::Workload;
use tests::{chance, java, wait};

use super::{TOPIC, start};

const REASSIGN: &str = "org.apache.kafka.tools.reassign.ReassignPartitionsCommand";
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn one_controlled_by_apache() {
    there_and_back(Kind::Apache);
}

#[test]
fn one_controlled_by_ours() {
    there_and_back(Kind::subject());
}

/// Broker 1 is Apache's, 2 is ours; 3 stays a replica throughout.
fn there_and_back(controller: Kind) {
    let Some((brokers, _alone)) = start(&[Kind::Apache, Kind::subject(), Kind::subject()]) else {
        return;
    };
    let controller = if controller == Kind::Apache { 1 } else { 2 };
    brokers.make_controller(controller);
    brokers.create_topic_with(TOPIC, &["--replica-assignment", "1:3,3:1"]);
    let seed = chance::seed();
    println!("replay with OTTLA_TEST_SEED={seed}");
    let load = Workload::start_on(&brokers, TOPIC, 2, seed);
    for (asked, replicas) in [(1, [[2, 3], [3, 2]]), (2, [[1, 3], [3, 1]])] {
        reassign(&brokers, asked, replicas);
        load.goes_on();
        let assigned = brokers.znodes().assignment(TOPIC).expect("the topic");
        let assigned: Vec<_> = assigned.partitions.values().map(|p| p.replicas.clone()).collect();
        assert_eq!(assigned, replicas);
    }
    load.finish(&brokers).judge(brokers);
}

/// Executes a plan through the broker `asked`, and waits until the tool says that it is done.
fn reassign(brokers: &Brokers, asked: i32, replicas: [[i32; 2]; 2]) {
    let moves = replicas.iter().enumerate().map(|(partition, replicas)| {
        format!("{{\"topic\":\"{TOPIC}\",\"partition\":{partition},\"replicas\":{replicas:?}}}")
    });
    let moves = moves.collect::<Vec<_>>().join(",");
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("plan.json");
    std::fs::write(&file, format!("{{\"version\":1,\"partitions\":[{moves}]}}")).expect("a plan");
    let file = file.to_string_lossy();
    let address = brokers.member(asked).address();
    let tool = |what: &[&str]| {
        let plan = ["--bootstrap-server", &address, "--reassignment-json-file", &file];
        java::tool(REASSIGN, &[&plan[..], what].concat(), b"").ok()
    };
    let started = tool(&["--execute"]);
    assert!(started.contains("Successfully started partition reassignments"), "{started}");
    wait::until_true("the reassignment to be complete", LIMIT, || {
        let verified = tool(&["--verify"]);
        verified.matches("is completed.").count() == replicas.len()
    });
}
