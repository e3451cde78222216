//! librdkafka through confluent-kafka: codecs, sizes, seek by time, administration, groups.

use tests::clients::python;
use tests::{Cluster, on_both_stores};

on_both_stores!(suite);

fn suite(cluster: Cluster) {
    let out = python("confluent_suite", &[&cluster.bootstrap()]).ok();
    assert!(out.ends_with("ok\n"), "{out}");
}
