//! CreateTopics, DeleteTopics, CreatePartitions and DeleteRecords.

use protocol::api::ApiKey::{
    CreatePartitions, CreateTopics, DeleteRecords, DeleteTopics, Metadata,
};
use serde_json::{Value, json};

use crate::letter::records::plain;
use crate::letter::talk::{Talk, unknown_id};

cases![
    made,
    counts,
    assignments,
    assignments_without_leaders,
    negative_partitions,
    brokers_twice,
    bad_names,
    names_that_collide,
    made_twice,
    configurations,
    validate_only,
    deleted,
    deleted_by_id,
    deleted_unknown,
    deleted_twice,
    more_partitions,
    more_partitions_refused,
    more_partitions_twice,
    records_deleted,
    records_of_unknown_places,
    records_twice,
];

fn create(topics: Value) -> Value {
    json!({ "topics": topics, "timeout_ms": 10_000 })
}

fn topic(name: &str, partitions: i32, replicas: i16) -> Value {
    json!({ "name": name, "num_partitions": partitions, "replication_factor": replicas })
}

fn made(t: &mut Talk) {
    for version in CreateTopics.versions() {
        let names = [t.name(format!("a{version}")), t.name(format!("b{version}"))];
        let topics = json!([topic(&names[0], 1, 1), topic(&names[1], 3, 1)]);
        t.ask(CreateTopics, version, create(topics));
        for name in names {
            t.topic_id(&name);
            t.ask(Metadata, 9, json!({ "topics": [{ "name": name }] }));
        }
    }
}

fn counts(t: &mut Talk) {
    for version in CreateTopics.versions() {
        for (partitions, replicas) in
            [(-1, 1), (1, -1), (-1, -1), (0, 1), (-2, 1), (1, 0), (1, -2), (1, 2), (1, 100)]
        {
            let name = t.name(format!("{version}-{partitions}-{replicas}").replace("--", "-m"));
            t.ask(CreateTopics, version, create(json!([topic(&name, partitions, replicas)])));
        }
    }
}

fn of(replicas: &[(i32, &[i32])]) -> Value {
    let entry = |(p, b): &(i32, &[i32])| json!({ "partition_index": p, "broker_ids": b });
    replicas.iter().map(entry).collect()
}

fn assignments(t: &mut Talk) {
    let all = [
        ("good", of(&[(0, &[1]), (1, &[1])]), -1, -1),
        ("with-counts", of(&[(0, &[1])]), 1, 1),
        ("gap", of(&[(0, &[1]), (2, &[1])]), -1, -1),
        ("from-one", of(&[(1, &[1])]), -1, -1),
        ("partition-twice", of(&[(0, &[1]), (0, &[1])]), -1, -1),
        ("uneven", of(&[(0, &[1]), (1, &[1, 2])]), -1, -1),
    ];
    assign(t, &all, 10_000);
}

/// Made, and waited for in vain.
fn assignments_without_leaders(t: &mut Talk) {
    let all = [
        ("unknown-broker", of(&[(0, &[9])]), -1, -1),
        ("no-broker", of(&[(0, &[])]), -1, -1),
        ("negative-broker", of(&[(0, &[-1])]), -1, -1),
    ];
    assign(t, &all, 300);
}

fn negative_partitions(t: &mut Talk) {
    assign(t, &[("t", of(&[(-1, &[1])]), -1, -1)], 10_000);
}

fn brokers_twice(t: &mut Talk) {
    assign(t, &[("t", of(&[(0, &[1, 1])]), -1, -1)], 10_000);
}

fn assign(t: &mut Talk, all: &[(&str, Value, i32, i16)], timeout_ms: i32) {
    for version in CreateTopics.versions() {
        for (base, assignments, partitions, replicas) in all {
            let name = t.name(format!("{base}{version}"));
            let mut topic = topic(&name, *partitions, *replicas);
            topic["assignments"] = assignments.clone();
            let mut body = create(json!([topic]));
            body["timeout_ms"] = timeout_ms.into();
            t.ask(CreateTopics, version, body);
        }
    }
}

fn bad_names(t: &mut Talk) {
    for name in ["", ".", "..", "a b", "a/b", "é", "a\0b", &"x".repeat(249), &"x".repeat(250)] {
        for version in [0, 1, 4, 5, 7] {
            let mut body = create(json!([topic(name, 1, 1)]));
            if version > 0 {
                body["validate_only"] = true.into();
            }
            if version > 0 || name.len() != 249 {
                t.ask(CreateTopics, version, body);
            }
        }
    }
    for version in [1, 7] {
        let internal = create(json!([topic("__consumer_offsets", 1, 1)]));
        t.ask(CreateTopics, version, internal);
    }
}

fn names_that_collide(t: &mut Talk) {
    let (dot, underscore) = (t.name("a.b"), t.name("a_b"));
    for version in [1, 7] {
        t.ask(CreateTopics, version, create(json!([topic(&dot, 1, 1)])));
        t.ask(CreateTopics, version, create(json!([topic(&underscore, 1, 1)])));
    }
}

fn made_twice(t: &mut Talk) {
    for version in CreateTopics.versions() {
        let (name, other) = (t.name(version), t.name(format!("other{version}")));
        let topics = json!([topic(&name, 1, 1), topic(&name, 2, 1), topic(&other, 1, 1)]);
        t.ask(CreateTopics, version, create(topics));
        t.ask(CreateTopics, version, create(json!([topic(&other, 1, 1)])));
        t.ask(CreateTopics, version, create(json!([topic(&other, 0, 1)])));
    }
}

fn configurations(t: &mut Talk) {
    let all = [
        ("retention.ms", Some("1000")),
        ("retention.ms", Some("-2")),
        ("retention.ms", Some("x")),
        ("retention.ms", Some("")),
        ("retention.ms", None),
        ("cleanup.policy", Some("compact,delete")),
        ("cleanup.policy", Some("nothing")),
        ("unknown.key", Some("1")),
        ("", Some("1")),
        ("compression.type", Some("zstd")),
        ("compression.type", Some("brotli")),
        ("min.insync.replicas", Some("0")),
        ("segment.bytes", Some("13")),
        ("max.message.bytes", Some("-1")),
        ("message.format.version", Some("0.10")),
        ("message.format.version", Some("9.9")),
        ("message.timestamp.type", Some("Sometimes")),
        ("leader.replication.throttled.replicas", Some("0:1,1:1")),
        ("leader.replication.throttled.replicas", Some("x")),
        ("min.compaction.lag.ms", Some("9223372036854775807")),
        ("remote.storage.enable", Some("true")),
        ("remote.log.copy.disable", Some("true")),
        ("flush.messages", Some("0")),
        ("preallocate", Some("yes")),
        ("unclean.leader.election.enable", Some("TRUE")),
    ];
    for (i, (key, value)) in all.iter().enumerate() {
        for version in CreateTopics.versions() {
            let mut topic = topic(&t.name(format!("{i}-{version}")), 1, 1);
            topic["configs"] = json!([{ "name": key, "value": value }]);
            t.ask(CreateTopics, version, create(json!([topic])));
        }
    }
    let mut topic = topic(&t.name("twice"), 1, 1);
    let twice = ["1000", "2000"].map(|value| json!({ "name": "retention.ms", "value": value }));
    topic["configs"] = json!(twice);
    t.ask(CreateTopics, 7, create(json!([topic])));
}

fn validate_only(t: &mut Talk) {
    let exists = t.topic("exists", 1);
    for version in 1..=7 {
        for (name, partitions) in [(t.name("new"), 2), (exists.clone(), 2), (t.name("bad"), 0)] {
            let mut body = create(json!([topic(&name, partitions, 1)]));
            body["validate_only"] = true.into();
            t.ask(CreateTopics, version, body);
        }
    }
    let body = json!({ "topics": [{ "name": t.name("new") }], "allow_auto_topic_creation": false });
    t.ask(Metadata, 9, body);
    for timeout in [0, -1] {
        let mut body = create(json!([topic(&t.name(format!("at-once{timeout}")), 1, 1)]));
        body["timeout_ms"] = timeout.into();
        t.ask(CreateTopics, 7, body);
    }
}

fn gone(t: &mut Talk, name: &str) {
    let body = json!({ "topics": [{ "name": name }], "allow_auto_topic_creation": false });
    t.until(Metadata, 9, body, |answer| answer["topics"][0]["error_code"] == 3);
}

fn deleted(t: &mut Talk) {
    for version in DeleteTopics.versions() {
        let name = t.topic(version, 1);
        let body = match version {
            6 => json!({ "topics": [{ "name": name }], "timeout_ms": 10_000 }),
            _ => json!({ "topic_names": [name], "timeout_ms": 10_000 }),
        };
        t.ask(DeleteTopics, version, body.clone());
        gone(t, &name);
        t.ask(DeleteTopics, version, body);
    }
}

fn deleted_by_id(t: &mut Talk) {
    let name = t.topic("t", 1);
    let id = t.topic_id(&name);
    for topic in [
        json!({ "name": name, "topic_id": id }),
        json!({ "name": t.name("unknown"), "topic_id": id }),
        json!({ "topic_id": unknown_id() }),
        json!({ "name": null }),
        json!({ "name": "" }),
    ] {
        t.ask(DeleteTopics, 6, json!({ "topics": [topic], "timeout_ms": 10_000 }));
    }
    let by_id = json!({ "topic_id": id });
    t.ask(DeleteTopics, 6, json!({ "topics": [by_id, by_id], "timeout_ms": 10_000 }));
    // The name is known until the last replica is gone.
    let body = json!({ "topics": [by_id], "timeout_ms": 10_000 });
    t.until(DeleteTopics, 6, body, |answer| answer["responses"][0]["error_code"] == 100);
}

fn deleted_unknown(t: &mut Talk) {
    for version in 0..=5 {
        let names = json!([t.name("unknown"), "", "a b"]);
        t.ask(DeleteTopics, version, json!({ "topic_names": names, "timeout_ms": 10_000 }));
    }
    let topics = [&*t.name("unknown"), "", "a b"].map(|name| json!({ "name": name }));
    t.ask(DeleteTopics, 6, json!({ "topics": topics, "timeout_ms": 10_000 }));
}

fn deleted_twice(t: &mut Talk) {
    for version in DeleteTopics.versions() {
        let name = t.topic(version, 1);
        let entry = json!({ "name": name });
        let body = match version {
            6 => json!({ "topics": [entry, entry], "timeout_ms": 10_000 }),
            _ => json!({ "topic_names": [name, name], "timeout_ms": 10_000 }),
        };
        t.ask(DeleteTopics, version, body);
    }
}

fn grow(name: &str, count: i32, assignments: Value) -> Value {
    let topic = json!({ "name": name, "count": count, "assignments": assignments });
    json!({ "topics": [topic], "timeout_ms": 10_000 })
}

fn more_partitions(t: &mut Talk) {
    for version in CreatePartitions.versions() {
        let name = t.topic(version, 1);
        t.ask(CreatePartitions, version, grow(&name, 3, Value::Null));
        t.topic_id(&name);
        let one = json!([{ "broker_ids": [1] }]);
        t.ask(CreatePartitions, version, grow(&name, 4, one));
        t.topic_id(&name);
        t.ask(Metadata, 9, json!({ "topics": [{ "name": name }] }));
    }
}

fn more_partitions_refused(t: &mut Talk) {
    let name = t.topic("t", 2);
    let unknown = t.name("unknown");
    for version in CreatePartitions.versions() {
        for (name, count) in [
            (&*name, 2),
            (&name, 1),
            (&name, 0),
            (&name, -1),
            (&unknown, 3),
            ("", 3),
            ("__consumer_offsets", 1),
        ] {
            t.ask(CreatePartitions, version, grow(name, count, Value::Null));
        }
        for brokers in [&[&[9][..]][..], &[&[]], &[&[1, 1]], &[&[1, 2]], &[&[1], &[1]], &[]] {
            let assignments: Vec<_> =
                brokers.iter().map(|ids| json!({ "broker_ids": ids })).collect();
            t.ask(CreatePartitions, version, grow(&name, 3, json!(assignments)));
        }
        let mut body = grow(&name, 5, Value::Null);
        body["validate_only"] = true.into();
        t.ask(CreatePartitions, version, body);
    }
}

fn more_partitions_twice(t: &mut Talk) {
    let (name, other) = (t.topic("t", 1), t.topic("other", 1));
    for version in CreatePartitions.versions() {
        let entry =
            |name: &str, count| json!({ "name": name, "count": count, "assignments": null });
        let topics = json!([entry(&name, 9), entry(&other, 1), entry(&name, 8)]);
        t.ask(CreatePartitions, version, json!({ "topics": topics, "timeout_ms": 10_000 }));
    }
}

fn delete_to(topic: &str, partitions: &[(i32, i64)]) -> Value {
    let entry = |(p, o): &(i32, i64)| json!({ "partition_index": p, "offset": o });
    let partitions: Vec<_> = partitions.iter().map(entry).collect();
    json!({ "topics": [{ "name": topic, "partitions": partitions }], "timeout_ms": 5000 })
}

fn records_deleted(t: &mut Talk) {
    let name = t.topic("t", 1);
    t.append(&name, &plain(&["a", "b", "c", "d"]));
    for offset in [0, 1, 1, 0, -2, 5, i64::MAX, 2, -1, 4, 5] {
        t.ask_each(DeleteRecords, delete_to(&name, &[(0, offset)]));
    }
}

fn records_of_unknown_places(t: &mut Talk) {
    let name = t.topic("t", 1);
    t.append(&name, &plain(&["a"]));
    let unknown = t.name("unknown");
    for (name, index) in [(&*name, 1), (&name, -1), (&unknown, 0), ("", 0), ("a b", 0)] {
        t.ask_each(DeleteRecords, delete_to(name, &[(index, 0)]));
    }
    for internal in ["__consumer_offsets", "__transaction_state"] {
        t.ask_each(DeleteRecords, delete_to(internal, &[(0, 0), (99, 0)]));
    }
    let configs = json!([{ "name": "cleanup.policy", "value": "compact" }]);
    let compacted = t.topic_with("compacted", 1, configs);
    t.append(&compacted, &plain(&["a"]));
    t.ask_each(DeleteRecords, delete_to(&compacted, &[(0, 1)]));
}

fn records_twice(t: &mut Talk) {
    for version in DeleteRecords.versions() {
        let name = t.topic(version, 2);
        t.append(&name, &plain(&["a", "b", "c"]));
        t.ask(DeleteRecords, version, delete_to(&name, &[(0, 2), (1, 0), (0, 1)]));
        let entry = delete_to(&name, &[(0, 3)])["topics"][0].clone();
        let empty = json!({ "name": name, "partitions": [] });
        let topics = json!([entry, empty, entry]);
        t.ask(DeleteRecords, version, json!({ "topics": topics, "timeout_ms": 5000 }));
    }
}
