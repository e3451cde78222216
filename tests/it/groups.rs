//! Consumer groups: kafka-python's classic example, what it leaves in the log, and what of it
//! outlives the broker.

use tests::clients::python;
use tests::java::tool;
use tests::{Cluster, Store};

const DUMP: &str = "kafka.tools.DumpLogSegments";
/// Of topics that a client merely names.
const FOUR_PARTITIONS: &str = "num.partitions=4";

#[test]
fn classic_example_beside_zookeeper() {
    if let Some(cluster) = Cluster::start(Store::ZooKeeper, FOUR_PARTITIONS) {
        classic_example(cluster);
    }
}

#[test]
fn classic_example_embedded() {
    if let Some(cluster) = Cluster::start(Store::Embedded, FOUR_PARTITIONS) {
        classic_example(cluster);
    }
}

fn classic_example(mut cluster: Cluster) {
    let bootstrap = cluster.bootstrap();
    let run = |step: &str| {
        let out = python("classic_group", &[&bootstrap, step]).ok();
        assert!(out.ends_with("ok\n"), "{out}");
    };
    run("before");
    cluster.stop();
    cluster.restart();
    run("after");
    // Apache's broker does not start beside the registration of its former self.
    match std::env::var("OTTLA_TEST_SUBJECT").as_deref() {
        Ok("apache") => cluster.stop(),
        _ => cluster.kill9(),
    }
    cluster.restart();
    run("again");
    cluster.stop();
    let dump = offsets_log(&cluster);
    // Apache's own decoder finds the group's records, of the versions that Kafka 3.9 writes.
    for record in [
        r#"{"type":"1","data":{"group":"my-group","topic":"my-topic","partition":0}}"#,
        r#"{"type":"1","data":{"group":"classic","topic":"shared","partition":3}}"#,
        r#"{"type":"2","data":{"group":"classic"}}"#,
        r#"payload: {"version":"3","data":{"offset":"#,
        r#""protocolType":"consumer","generation":1,"protocol":"range","leader":"first-"#,
        r#""clientId":"second","clientHost":"/127.0.0.1","rebalanceTimeout""#,
    ] {
        assert!(dump.contains(record), "{record}\n{dump}");
    }
    assert!(!dump.contains("Could not decode"), "{dump}");
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
