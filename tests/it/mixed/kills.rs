//! Every broker of a mixed cluster dies in turn and comes back, under load, with either kind as
//! controller.

use tests::brokers::{Brokers, Kind};
use tests::java;

use super::{TOPIC, first_of, load, start};

const ELECTION: &str = "org.apache.kafka.tools.LeaderElectionCommand";

fn one_apache() -> Vec<Kind> {
    vec![Kind::Apache, Kind::subject(), Kind::subject()]
}

fn two_apache() -> Vec<Kind> {
    vec![Kind::Apache, Kind::Apache, Kind::subject()]
}

#[test]
fn one_apache_controls_two_ours() {
    every_broker_in_turn(&one_apache(), Kind::Apache);
}

#[test]
fn ours_controls_one_apache() {
    every_broker_in_turn(&one_apache(), Kind::subject());
}

#[test]
fn apache_controls_one_ours() {
    every_broker_in_turn(&two_apache(), Kind::Apache);
}

#[test]
fn ours_controls_two_apache() {
    every_broker_in_turn(&two_apache(), Kind::subject());
}

fn every_broker_in_turn(kinds: &[Kind], controller: Kind) {
    let Some((mut brokers, _alone)) = start(kinds) else { return };
    brokers.make_controller(first_of(&brokers, controller));
    let load = load(&brokers);
    all_lead(&brokers);
    for id in brokers.ids() {
        brokers.kill9(id);
        load.goes_on();
        brokers.restart(id);
        brokers.wait_all_in_sync();
        load.goes_on();
    }
    brokers.make_controller(first_of(&brokers, controller));
    prefer_first_replicas(&brokers);
    all_lead(&brokers);
    load.goes_on();
    load.finish(&brokers).judge(brokers);
}

/// Back to the leaders that the topic was made with, by Java's tool.
fn prefer_first_replicas(brokers: &Brokers) {
    let bootstrap = brokers.bootstrap();
    let all = ["--election-type", "preferred", "--all-topic-partitions"];
    let args = [&["--bootstrap-server", &bootstrap][..], &all].concat();
    java::tool(ELECTION, &args, b"").ok();
}

fn all_lead(brokers: &Brokers) {
    let mut leaders: Vec<i32> =
        brokers.znodes().partitions(TOPIC).iter().map(|partition| partition.leader).collect();
    leaders.sort_unstable();
    leaders.dedup();
    assert_eq!(leaders, brokers.ids(), "every broker leads something");
}
