//! Consumer groups: kafka-python's classic example, what it leaves in the log, and what of it
//! outlives the broker.

use tests::clients::python;
use tests::java::tool;
use tests::{Cluster, on_both_stores};

const DUMP: &str = "kafka.tools.DumpLogSegments";

on_both_stores!(classic_example);

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
    cluster.kill9();
    cluster.restart();
    run("again");
    cluster.stop();
    let dump = offsets_log(&cluster);
    // Apache's own decoder finds the group's records, of the versions that Kafka 3.9 writes.
    for record in [
        r#"{"type":"1","data":{"group":"my-group","topic":"my-topic","partition":0}}"#,
        r#"{"type":"1","data":{"group":"classic","topic":"shared","partition":3}}"#,
        r#"{"type":"2","data":{"group":"classic"}}"#,
        r#"payload: {"version":"3","data":{"offset":100,"leaderEpoch""#,
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
