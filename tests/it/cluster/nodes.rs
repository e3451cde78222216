//! Rows 27 and 28: znodes that make no sense, or may not be written. What a single broker makes of
//! them, and of a ZooKeeper from the past (row 26), is in `zookeeper_faults.rs`.

use std::time::Duration;

use metadata::znodes::partition_state;
use protocol::ids::TopicPartition;
use tests::brokers::Plan;
use tests::{wait, zookeeper};

use super::{PARTITIONS, TOPIC, scene};

const LIMIT: Duration = Duration::from_secs(60);

/// The leaders that are there keep what they know; once the nodes make sense again, so does the
/// next controller's view.
#[test]
fn row_27_nodes_without_sense() {
    let Some(mut scene) = scene(27, Plan::subject().ensemble()) else { return };
    let znodes = scene.brokers.znodes();
    let partition = scene.chance.below(PARTITIONS.into()) as i32;
    let state = partition_state::path(&TopicPartition::new(TOPIC, partition));
    let nodes = [state, format!("/brokers/topics/{TOPIC}"), format!("/config/topics/{TOPIC}")];
    let negative = "{\"controller_epoch\":-1,\"leader\":-7,\"version\":1,\"leader_epoch\":-5,\
                    \"isr\":[-7]}";
    let long = "[".repeat(2_000_000);
    let mut values = ["{", "", negative, &long];
    scene.chance.shuffle(&mut values);
    for (node, value) in nodes.iter().zip(values) {
        let (good, _) = znodes.get(node).expect("the node");
        println!("{node}: {value:.20}");
        znodes.set(node, value.as_bytes()).expect("it may be written");
        scene.load.goes_on();
        znodes.set(node, &good).expect("it may be written");
    }
    let controller = scene.brokers.controller();
    let epoch = znodes.controller_epoch();
    znodes.delete("/controller").expect("there was one");
    wait::until_true("another election", LIMIT, || znodes.controller_epoch() > epoch);
    scene.brokers.kill9(controller);
    scene.load.goes_on();
    scene.brokers.restart(controller);
    scene.brokers.wait_full_isr(TOPIC);
    scene.end_but_znodes();
}

/// A partition whose state may not be written keeps its leader's epoch; the others fail over, and
/// it does so once it may.
#[test]
fn row_28_no_permission() {
    let Some(mut scene) = scene(28, Plan::subject().ensemble()) else { return };
    let partition = scene.chance.below(PARTITIONS.into()) as i32;
    let id = scene.brokers.leader(TOPIC, partition);
    let connect = scene.brokers.zookeeper_connect();
    let path = partition_state::path(&TopicPartition::new(TOPIC, partition));
    let path = format!("/kafka{path}");
    let before = scene.brokers.znodes().partition(TOPIC, partition);
    zookeeper::set_acl(&connect, &path, "ra");
    scene.brokers.kill9(id);
    wait::until_true("other leaders of the other partitions", LIMIT, || {
        let partitions = scene.brokers.znodes().partitions(TOPIC);
        partitions.iter().filter(|state| state.leader == id).count() == 1
    });
    assert_eq!(scene.brokers.znodes().partition(TOPIC, partition), before);
    zookeeper::set_acl(&connect, &path, "cdrwa");
    scene.brokers.restart(id);
    scene.brokers.wait_full_isr(TOPIC);
    scene.end();
}
