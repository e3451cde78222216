//! The new consumer protocol (KIP-848) with stock clients: Apache's own of 4.1 and librdkafka, on
//! both metadata stores; off as Apache 3.9.2 has it, and refused beside Apache's brokers.

use std::path::Path;
use std::time::Duration;

use tests::brokers::{Kind, Plan};
use tests::clients::python;
use tests::java::{program, tool};
use tests::{Cluster, Store, on_both_stores, wait};

const LIMIT: Duration = Duration::from_secs(60);

/// Quick heartbeats, so that members hear soon what changes.
const SERVED: &str = "\
group.coordinator.rebalance.protocols=classic,consumer
group.consumer.min.heartbeat.interval.ms=200
group.consumer.heartbeat.interval.ms=200";

const DUMP: &str = "kafka.tools.DumpLogSegments";
const GROUPS: &str = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";

fn suite(bootstrap: &str, args: &[&str]) -> String {
    let args = [&[bootstrap], args].concat();
    let output = program("ConsumerProtocolSuite", "4.1.0", &args);
    assert!(output.out.ends_with("ok\n"), "{args:?}: {output:#?}");
    output.out
}

#[test]
fn java_beside_zookeeper() {
    if let Some(cluster) = Cluster::start(Store::ZooKeeper, SERVED) {
        java(cluster);
    }
}

#[test]
fn java_embedded() {
    if let Some(cluster) = Cluster::start(Store::Embedded, SERVED) {
        java(cluster);
    }
}

fn java(mut cluster: Cluster) {
    suite(&cluster.bootstrap(), &["new", "all"]);
    outlives_its_coordinator(&mut cluster);
    cluster.stop();
    let dump = offsets_log(&cluster);
    for version in 3..=8 {
        let key = format!(r#"{{"type":"{version}","data":{{"groupId":"new-share""#);
        assert!(dump.contains(&key), "{key}\n{dump}");
    }
}

/// The members go on where they were when their coordinator was killed and is back.
fn outlives_its_coordinator(cluster: &mut Cluster) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = |name: &str| dir.path().join(name).to_str().expect("UTF-8").to_owned();
    let (ready, go) = (path("ready"), path("go"));
    let bootstrap = cluster.bootstrap();
    std::thread::scope(|scope| {
        let running = scope.spawn(|| suite(&bootstrap, &["new", "restart", &ready, &go]));
        wait::until_true("the members to have read", LIMIT, || {
            running.is_finished() || Path::new(&ready).exists()
        });
        if !running.is_finished() {
            seen_by_apaches_tool(&bootstrap);
        }
        cluster.kill9();
        cluster.restart();
        std::fs::write(&go, b"").expect("room for a file");
        running.join().expect("the suite ends well");
    });
}

/// `kafka-consumer-groups` of 3.9.2 knows such groups.
fn seen_by_apaches_tool(bootstrap: &str) {
    let groups = |args: &[&str]| {
        let args = [&["--bootstrap-server", bootstrap], args].concat();
        tool(GROUPS, &args, b"").ok()
    };
    let listed = groups(&["--list", "--type", "consumer"]);
    for group in ["new-share", "new-restart"] {
        let line = listed.lines().find(|line| line.starts_with(group));
        assert!(line.is_some_and(|line| line.contains("Consumer")), "{listed}");
    }
    let described = groups(&["--describe", "--group", "new-restart", "--members"]);
    let members = described.lines().filter(|line| line.trim_end().ends_with(" 2"));
    assert_eq!(members.count(), 2, "{described}");
    let state = groups(&["--describe", "--group", "new-restart", "--state"]);
    assert!(state.contains("uniform") && state.contains("Stable"), "{state}");
}

/// Everything in the offsets topic, as Kafka's tool decodes it.
fn offsets_log(cluster: &Cluster) -> String {
    let mut dump = String::new();
    for entry in std::fs::read_dir(cluster.data_dir()).expect("the data directory") {
        let dir = entry.expect("an entry").path();
        let name = dir.file_name().expect("a name").to_string_lossy().into_owned();
        if name.starts_with("__consumer_offsets-") {
            let log = dir.join("00000000000000000000.log");
            let log = log.to_str().expect("a plain path");
            dump += &tool(DUMP, &["--offsets-decoder", "--files", log], b"").ok();
        }
    }
    dump
}

#[test]
fn librdkafka() {
    if let Some(cluster) = Cluster::start(Store::Embedded, SERVED) {
        let out = python("confluent_consumer_protocol", &[&cluster.bootstrap()]).ok();
        assert!(out.ends_with("ok\n"), "{out}");
    }
}

on_both_stores!(is_off_by_default);

fn is_off_by_default(cluster: Cluster) {
    suite(&cluster.bootstrap(), &["off", "refused"]);
}

/// Apache's coordinators would lose such groups. (Its brokers do not even start with the setting.)
#[test]
fn is_refused_beside_apaches_brokers() {
    let plan = Plan::of(&[Kind::subject(), Kind::Apache]).lines(
        "default.replication.factor=1\nmin.insync.replicas=1\n\
         offsets.topic.replication.factor=1\noffsets.topic.num.partitions=1",
    );
    let Some(mut brokers) = plan.start() else { return };
    let ours = brokers.member_mut(1);
    ours.stop();
    ours.configure(SERVED);
    ours.start();
    ours.wait_ready();
    brokers.wait_members();
    // The one coordinator may be of either kind: neither serves it.
    suite(&brokers.bootstrap(), &["mixed", "refused"]);
    let alone = brokers.member_mut(2);
    alone.stop();
    let refused = "it is served only while every broker of the cluster does";
    let ours = brokers.member(1);
    wait::until_true("ours to say why not", LIMIT, || ours.output().contains(refused));
    let served = "the consumer protocol of groups is served";
    wait::until_true("ours to serve it alone", LIMIT, || ours.output().contains(served));
}
