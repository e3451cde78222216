//! Transactions with stock clients: on one broker beside either metadata store, on a directory that
//! changes hands between Apache's broker and ours, and in a cluster of both.

use std::time::Duration;

use protocol::error_code::ErrorCode;
use tests::brokers::{Brokers, Kind, Plan};
use tests::clients::{go_transactions, python};
use tests::java::{program, tool};
use tests::znodes::Znodes;
use tests::{Cluster, on_both_stores, places, wait};

use crate::verification::{self, Producer};

on_both_stores!(java, librdkafka, go);

/// One replica of everything.
const ALONE: &str = "\
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000";

const DUMP: &str = "kafka.tools.DumpLogSegments";

/// A part of `TransactionSuite`.
fn suite(bootstrap: &str, prefix: &str, part: &str) {
    let output = program("TransactionSuite", "3.9.2", &[bootstrap, prefix, part]);
    assert!(output.out.ends_with("ok\n"), "{prefix} {part}: {output:#?}");
}

fn java(mut cluster: Cluster) {
    suite(&cluster.bootstrap(), "one", "all");
    suite(&cluster.bootstrap(), "left", "open");
    cluster.kill9();
    wait_unregistered(&mut cluster);
    cluster.restart();
    suite(&cluster.bootstrap(), "left", "finish");
    // Only a closed log ends with its last record.
    cluster.stop();
    let states = dumped_states(&cluster.data_dir(), "left-left");
    let expected = [
        "0 Empty",
        "0 Ongoing",
        "0 PrepareCommit",
        "0 CompleteCommit",
        "0 Ongoing",
        "0 Ongoing",
        "1 PrepareAbort",
        "1 CompleteAbort",
        "2 Empty",
        "2 Ongoing",
        "2 Ongoing",
        "2 PrepareCommit",
        "2 CompleteCommit",
    ];
    assert_eq!(states, expected);
}

/// Until the killed broker may come back: nobody ends an Apache broker's session but its timeout.
fn wait_unregistered(cluster: &mut Cluster) {
    let Some(zookeeper) = cluster.zookeeper() else { return };
    let znodes = Znodes::connect(&format!("{}/kafka", zookeeper.connect()));
    let gone = || znodes.brokers().is_empty();
    wait::until_true("the registration to go", Duration::from_secs(60), gone);
}

/// Epoch and state of each record of a transactional id, as Apache's tool reads them.
fn dumped_states(data_dir: &std::path::Path, id: &str) -> Vec<String> {
    let dirs = std::fs::read_dir(data_dir).expect("the data directory");
    let logs = dirs.filter_map(|dir| {
        let path = dir.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
        let ours = name.starts_with("__transaction_state-");
        let log = path.join("00000000000000000000.log");
        let filled = std::fs::metadata(&log).map_or(0, |meta| meta.len()) > 0;
        (ours && filled).then(|| log.to_str().expect("UTF-8").to_owned())
    });
    let files = logs.collect::<Vec<_>>().join(",");
    let out = tool(DUMP, &["--transaction-log-decoder", "--files", &files], b"").ok();
    let of_id = format!("transactionalId={id} ");
    let field = |line: &str, name: &str| {
        let rest = line.split_once(name).expect("the field").1;
        rest.split(',').next().expect("a value").to_owned()
    };
    out.lines()
        .filter(|line| line.contains(&of_id))
        .map(|line| format!("{} {}", field(line, "producerEpoch:"), field(line, "state=")))
        .collect()
}

fn librdkafka(cluster: Cluster) {
    let out = python("confluent_transactions", &[&cluster.bootstrap()]).ok();
    assert!(out.ends_with("ok\n"), "{out}");
}

fn go(cluster: Cluster) {
    if !places::have(&[("Go's clients", places::go_transactions())]) {
        return;
    }
    for library in ["franz", "sarama"] {
        let out = go_transactions(library, &cluster.bootstrap()).ok();
        assert_eq!(out, "ok\n", "{library}");
    }
}

fn start(kinds: &[Kind]) -> Option<Brokers> {
    Plan::of(kinds).lines(ALONE).start()
}

/// What one kind of broker left open the other finishes, from the same directory.
#[test]
fn a_directory_changes_hands() {
    let Some(mut brokers) = start(&[Kind::subject()]) else { return };
    for (prefix, next) in [("ours", Kind::Apache), ("theirs", Kind::subject())] {
        suite(&brokers.bootstrap(), prefix, "open");
        brokers.replace(1, next);
        suite(&brokers.bootstrap(), prefix, "finish");
    }
}

/// A leader stands still with the markers that it was sent: they go to its successor as soon as
/// there is one, long before anybody's request times out.
#[test]
fn markers_do_not_wait_for_a_broker_that_stands_still() {
    let patient = "request.timeout.ms=300000\nzookeeper.session.timeout.ms=6000";
    let plan = Plan::of(&[Kind::subject(); 2]).lines(ALONE).lines(patient);
    let Some(brokers) = plan.start() else { return };
    let by_both = ["--replica-assignment", "1:2"];
    brokers.create_topic_with(verification::TOPIC, &by_both);
    let producer = Producer::init(&brokers);
    producer.add(&brokers, verification::TOPIC);
    brokers.wait_full_isr(verification::TOPIC);
    assert_eq!(producer.produce(&brokers, 11, 0), ErrorCode::NONE);
    brokers.member(verification::LEADER).pause();
    producer.end(&brokers);
    brokers.member(verification::LEADER).resume();
}

/// Coordinators and leaders of both kinds: markers and questions travel in both directions.
#[test]
fn beside_apaches_brokers() {
    let Some(brokers) = start(&[Kind::Apache, Kind::subject()]) else { return };
    // Ids of three partitions of the transactions' topic, so that both brokers coordinate.
    for prefix in ["a", "b", "c"] {
        suite(&brokers.bootstrap(), prefix, "all");
    }
}
