//! What administrators ask of the whole: log directories, elections, reassignments, ACLs without
//! an authorizer, and groups of the new protocol, which a broker beside ZooKeeper refuses.

use protocol::api::ApiKey::{
    AlterPartitionReassignments, AlterReplicaLogDirs, ConsumerGroupDescribe,
    ConsumerGroupHeartbeat, CreateAcls, DeleteAcls, DescribeAcls, DescribeLogDirs, ElectLeaders,
    ListPartitionReassignments,
};
use serde_json::{Value, json};

use crate::letter::records::plain;
use crate::letter::talk::Talk;

cases![
    log_dirs,
    replicas_moved,
    leaders_elected,
    unknown_elections,
    reassignments,
    reassignments_refused,
    reassignments_listed,
    acls,
    new_groups,
    new_groups_described,
];

fn log_dirs(t: &mut Talk) {
    let (topic, unknown) = (t.topic("t", 2), t.name("unknown"));
    t.append(&topic, &plain(&["a"]));
    for version in DescribeLogDirs.versions() {
        for topics in [
            json!([{ "topic": topic, "partitions": [0] }]),
            json!([{ "topic": topic, "partitions": [1, 0, 9] }]),
            json!([{ "topic": topic, "partitions": [] }]),
            json!([{ "topic": unknown, "partitions": [0] }]),
            json!([{ "topic": "a b", "partitions": [0] }]),
            json!([]),
        ] {
            t.ask(DescribeLogDirs, version, json!({ "topics": topics }));
        }
        let twice = json!({ "topic": topic, "partitions": [0] });
        t.ask(DescribeLogDirs, version, json!({ "topics": [twice, twice] }));
    }
}

fn replicas_moved(t: &mut Talk) {
    let (topic, unknown) = (t.topic("t", 1), t.name("unknown"));
    let own = t.quietly(DescribeLogDirs, 1, &json!({ "topics": [] }));
    let own = own["results"][0]["log_dir"].as_str().expect("a directory").to_owned();
    for version in AlterReplicaLogDirs.versions() {
        for path in [&*own, "/nowhere", "nowhere", ""] {
            for (topic, partition) in
                [(&*topic, 0), (&topic, 9), (&unknown, 0), ("", 0), ("a b", 0)]
            {
                let topics = json!([{ "name": topic, "partitions": [partition] }]);
                let dirs = json!([{ "path": path, "topics": topics }]);
                t.ask(AlterReplicaLogDirs, version, json!({ "dirs": dirs }));
            }
        }
        let topics = json!([{ "name": topic, "partitions": [0, 0] }]);
        let dir = json!({ "path": own, "topics": topics });
        t.ask(AlterReplicaLogDirs, version, json!({ "dirs": [dir, dir] }));
        t.ask(AlterReplicaLogDirs, version, json!({ "dirs": [] }));
    }
}

fn leaders_elected(t: &mut Talk) {
    elect(t, &[0, 1]);
    let all = json!({ "topic_partitions": null, "timeout_ms": 5000 });
    t.ask_each(ElectLeaders, all);
}

fn unknown_elections(t: &mut Talk) {
    elect(t, &[2, -1]);
}

fn elect(t: &mut Talk, kinds: &[i8]) {
    let (topic, unknown) = (t.topic("t", 2), t.name("unknown"));
    for version in ElectLeaders.versions() {
        for kind in kinds.iter().filter(|kind| version >= 1 || **kind == 0) {
            for topics in [
                json!([{ "topic": topic, "partitions": [0] }]),
                json!([{ "topic": topic, "partitions": [1, 0, 1, 9] }]),
                json!([{ "topic": unknown, "partitions": [0] }]),
                json!([{ "topic": "a b", "partitions": [0] }]),
                json!([{ "topic": topic, "partitions": [] }]),
                json!([]),
            ] {
                let mut body = json!({ "topic_partitions": topics, "timeout_ms": 5000 });
                if version >= 1 {
                    body["election_type"] = (*kind).into();
                }
                t.ask(ElectLeaders, version, body);
            }
        }
    }
}

fn reassign(topic: &str, index: i32, replicas: Value) -> Value {
    let part = json!({ "partition_index": index, "replicas": replicas });
    json!({ "timeout_ms": 5000, "topics": [{ "name": topic, "partitions": [part] }] })
}

fn reassignments(t: &mut Talk) {
    let topic = t.topic("t", 2);
    t.ask(AlterPartitionReassignments, 0, reassign(&topic, 0, json!([1])));
    t.ask(ListPartitionReassignments, 0, json!({}));
    t.ask(AlterPartitionReassignments, 0, reassign(&topic, 0, Value::Null));
}

fn reassignments_refused(t: &mut Talk) {
    let (topic, unknown) = (t.topic("t", 1), t.name("unknown"));
    for replicas in [json!([9]), json!([]), json!([1, 1]), json!([-1]), json!([1, 9]), json!([1])] {
        t.ask(AlterPartitionReassignments, 0, reassign(&topic, 0, replicas));
    }
    for (topic, index) in [(&*topic, 9), (&topic, -1), (&unknown, 0), ("", 0), ("a b", 0)] {
        for replicas in [json!([1]), Value::Null] {
            t.ask(AlterPartitionReassignments, 0, reassign(topic, index, replicas));
        }
    }
    let part = json!({ "partition_index": 0, "replicas": [9] });
    let entry = json!({ "name": topic, "partitions": [part, part] });
    t.ask(AlterPartitionReassignments, 0, json!({ "topics": [entry, entry] }));
    t.ask(AlterPartitionReassignments, 0, json!({ "topics": [] }));
}

fn reassignments_listed(t: &mut Talk) {
    let (topic, unknown) = (t.topic("t", 1), t.name("unknown"));
    for topics in [
        Value::Null,
        json!([]),
        json!([{ "name": topic, "partition_indexes": [0, 9] }]),
        json!([{ "name": unknown, "partition_indexes": [0] }]),
    ] {
        t.ask(ListPartitionReassignments, 0, json!({ "topics": topics }));
    }
}

fn acls(t: &mut Talk) {
    let filter = json!({
        "resource_type_filter": 1, "resource_name_filter": null, "principal_filter": null,
        "host_filter": null, "operation": 1, "permission_type": 1,
    });
    t.ask_each(DescribeAcls, filter.clone());
    t.ask_each(DeleteAcls, json!({ "filters": [filter, filter] }));
    t.ask_each(DeleteAcls, json!({ "filters": [] }));
    let one = json!({
        "resource_type": 2, "resource_name": "t", "principal": "User:a", "host": "*",
        "operation": 3, "permission_type": 3,
    });
    t.ask_each(CreateAcls, json!({ "creations": [one, one] }));
    t.ask_each(CreateAcls, json!({ "creations": [] }));
}

fn new_groups(t: &mut Talk) {
    let group = t.name("g");
    for (group, member, epoch) in
        [(&*group, "", 0), (&group, "m", 1), ("", "", 0), (&group, "", -1)]
    {
        let body = json!({
            "group_id": group, "member_id": member, "member_epoch": epoch,
            "rebalance_timeout_ms": 5000, "subscribed_topic_names": ["t"],
            "topic_partitions": [],
        });
        t.ask(ConsumerGroupHeartbeat, 0, body);
    }
}

fn new_groups_described(t: &mut Talk) {
    let group = t.name("g");
    for groups in [json!([group]), json!([group, group]), json!([""]), json!([])] {
        t.ask(ConsumerGroupDescribe, 0, json!({ "group_ids": groups }));
    }
}
