//! Metadata and DescribeCluster: who is there and who leads what.

use protocol::api::ApiKey::{DescribeCluster, Metadata};
use serde_json::json;

use crate::letter::talk::{Talk, unknown_id};

cases![known, unknown, all, by_id, operations, made_when_asked, bad_names, twice, cluster];

fn known(t: &mut Talk) {
    let (one, two) = (t.topic("one", 1), t.topic("two", 3));
    t.ask_each(Metadata, json!({ "topics": [{ "name": one }] }));
    t.ask_each(Metadata, json!({ "topics": [{ "name": one }, { "name": two }] }));
    t.ask_each(Metadata, json!({ "topics": [{ "name": "__consumer_offsets" }] }));
    for version in 1..=12 {
        t.ask(Metadata, version, json!({ "topics": [] }));
    }
}

fn unknown(t: &mut Talk) {
    let (one, unknown) = (t.topic("one", 1), t.name("unknown"));
    for version in 4..=12 {
        let topics = json!([{ "name": unknown }, { "name": one }]);
        t.ask(Metadata, version, json!({ "topics": topics, "allow_auto_topic_creation": false }));
    }
}

fn all(t: &mut Talk) {
    t.topic("one", 1);
    for version in 1..=12 {
        t.ask_own(Metadata, version, "topics", json!({ "topics": null }));
    }
    t.ask_own(Metadata, 0, "topics", json!({ "topics": [] }));
}

fn by_id(t: &mut Talk) {
    let one = t.topic("one", 1);
    let id = t.topic_id(&one);
    for version in 10..=12 {
        for id in [&*id, &unknown_id(), "AAAAAAAAAAAAAAAAAAAAAA"] {
            let topic = json!({ "topic_id": id, "name": null });
            let body = json!({ "topics": [topic], "allow_auto_topic_creation": false });
            t.ask(Metadata, version, body);
        }
        let both = json!([{ "topic_id": id, "name": null }, { "name": one }]);
        t.ask(Metadata, version, json!({ "topics": both, "allow_auto_topic_creation": false }));
        let both = json!([{ "topic_id": id, "name": null }, { "name": null }]);
        t.ask(Metadata, version, json!({ "topics": both, "allow_auto_topic_creation": false }));
        let both = json!([{ "topic_id": id, "name": one }]);
        t.ask(Metadata, version, json!({ "topics": both, "allow_auto_topic_creation": false }));
    }
}

fn operations(t: &mut Talk) {
    let one = t.topic("one", 1);
    for version in 8..=12 {
        for (cluster, topic) in [(true, false), (false, true), (true, true)] {
            let mut body = json!({ "topics": [{ "name": one }] });
            body["include_topic_authorized_operations"] = topic.into();
            if version <= 10 {
                body["include_cluster_authorized_operations"] = cluster.into();
            }
            t.ask(Metadata, version, body);
        }
    }
}

fn made_when_asked(t: &mut Talk) {
    for version in Metadata.versions() {
        let name = t.name(version);
        t.ask(Metadata, version, json!({ "topics": [{ "name": name }] }));
        t.topic_id(&name);
        t.ask(Metadata, version, json!({ "topics": [{ "name": name }] }));
    }
}

fn bad_names(t: &mut Talk) {
    for name in ["", ".", "..", "a b", "a/b", "é", &"x".repeat(250)] {
        t.ask_each(Metadata, json!({ "topics": [{ "name": name }] }));
        for version in 4..=12 {
            let topics = json!([{ "name": name }]);
            let body = json!({ "topics": topics, "allow_auto_topic_creation": false });
            t.ask(Metadata, version, body);
        }
    }
}

fn twice(t: &mut Talk) {
    let (one, two) = (t.topic("one", 1), t.topic("two", 1));
    let unknown = t.name("unknown");
    let topics: Vec<_> =
        [&two, &one, &two, &unknown, &unknown].iter().map(|name| json!({ "name": name })).collect();
    for version in 4..=12 {
        t.ask(Metadata, version, json!({ "topics": topics, "allow_auto_topic_creation": false }));
    }
}

fn cluster(t: &mut Talk) {
    for operations in [true, false] {
        t.ask_each(DescribeCluster, json!({ "include_cluster_authorized_operations": operations }));
    }
    for kind in [0, 1, 2, 3, -1] {
        t.ask(DescribeCluster, 1, json!({ "endpoint_type": kind }));
    }
}
