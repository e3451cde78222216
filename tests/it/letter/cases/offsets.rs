//! OffsetCommit, OffsetFetch and OffsetDelete, of groups without members.

use protocol::api::ApiKey::{OffsetCommit, OffsetDelete, OffsetFetch};
use serde_json::{Value, json};

use crate::letter::talk::Talk;

cases![
    committed,
    unknown_places,
    bad_groups,
    members_that_are_none,
    metadata_sizes,
    negative_offsets,
    committed_twice,
    fetched,
    fetched_all,
    fetched_groups,
    fetched_by_members,
    deleted,
    deleted_unknown,
];

fn part(index: i32, offset: i64) -> Value {
    json!({
        "partition_index": index, "committed_offset": offset, "committed_metadata": "note",
    })
}

fn commit(group: &str, topic: &str, partitions: Value) -> Value {
    json!({ "group_id": group, "topics": [{ "name": topic, "partitions": partitions }] })
}

/// One group and these topics, in the shape of the version.
fn fetch(version: i16, group: &str, topics: Value) -> Value {
    match version {
        8.. => json!({ "groups": [{ "group_id": group, "topics": topics }] }),
        _ => json!({ "group_id": group, "topics": topics }),
    }
}

fn stored(t: &mut Talk, group: &str, topic: &str) {
    let topics = json!([{ "name": topic, "partition_indexes": [0, 1, 2] }]);
    t.ask(OffsetFetch, 7, fetch(7, group, topics));
}

fn committed(t: &mut Talk) {
    let topic = t.topic("t", 2);
    for version in OffsetCommit.versions() {
        let group = t.name(version);
        let body = commit(&group, &topic, json!([part(0, 42), part(1, 0)]));
        t.ask(OffsetCommit, version, body);
        for read in OffsetFetch.versions() {
            let topics = json!([{ "name": topic, "partition_indexes": [0, 1, 2] }]);
            t.ask(OffsetFetch, read, fetch(read, &group, topics));
        }
    }
}

fn unknown_places(t: &mut Talk) {
    let (topic, unknown) = (t.topic("t", 1), t.name("unknown"));
    for version in OffsetCommit.versions() {
        let group = t.name(version);
        for (topic, index) in [(&*topic, 1), (&topic, -1), (&unknown, 0), ("", 0), ("a b", 0)] {
            let body = commit(&group, topic, json!([part(0, 1), part(index, 1)]));
            t.ask(OffsetCommit, version, body);
        }
        t.ask(OffsetCommit, version, commit(&group, &topic, json!([])));
        t.ask(OffsetCommit, version, json!({ "group_id": group, "topics": [] }));
    }
}

fn bad_groups(t: &mut Talk) {
    let topic = t.topic("t", 1);
    t.ask_each(OffsetCommit, commit("", &topic, json!([part(0, 1)])));
    for version in OffsetFetch.versions() {
        for group in ["", &t.name("unknown")] {
            let topics = json!([{ "name": topic, "partition_indexes": [0] }]);
            t.ask(OffsetFetch, version, fetch(version, group, topics));
        }
    }
}

fn members_that_are_none(t: &mut Talk) {
    let topic = t.topic("t", 1);
    for version in OffsetCommit.versions() {
        let group = t.name(version);
        for (generation, member) in [(0, ""), (1, "nobody"), (-1, "nobody"), (-1, ""), (5, "")] {
            let mut body = commit(&group, &topic, json!([part(0, 1)]));
            body["generation_id_or_member_epoch"] = generation.into();
            body["member_id"] = member.into();
            t.ask(OffsetCommit, version, body.clone());
            if version >= 7 {
                body["group_instance_id"] = "instance".into();
                t.ask(OffsetCommit, version, body);
            }
        }
    }
}

fn metadata_sizes(t: &mut Talk) {
    let topic = t.topic("t", 2);
    for version in OffsetCommit.versions() {
        let group = t.name(version);
        for metadata in [Some(4096), Some(4097), Some(0), None] {
            let mut part = part(0, 1);
            part["committed_metadata"] = metadata.map(|size| "m".repeat(size)).into();
            let body = commit(&group, &topic, json!([part]));
            t.ask_as(OffsetCommit, version, &format!("metadata {metadata:?}"), body);
        }
        stored(t, &group, &topic);
    }
}

fn negative_offsets(t: &mut Talk) {
    let topic = t.topic("t", 1);
    for version in OffsetCommit.versions() {
        let group = t.name(version);
        for offset in [-1, -2, i64::MIN, i64::MAX] {
            t.ask(OffsetCommit, version, commit(&group, &topic, json!([part(0, offset)])));
            stored(t, &group, &topic);
        }
        if version >= 6 {
            let mut part = part(0, 7);
            part["committed_leader_epoch"] = 3.into();
            t.ask(OffsetCommit, version, commit(&group, &topic, json!([part])));
            stored(t, &group, &topic);
        }
    }
}

fn committed_twice(t: &mut Talk) {
    let topic = t.topic("t", 2);
    for version in OffsetCommit.versions() {
        let group = t.name(version);
        let parts = json!([part(0, 1), part(1, 5), part(0, 2)]);
        t.ask(OffsetCommit, version, commit(&group, &topic, parts));
        stored(t, &group, &topic);
        let entry = |offset| json!({ "name": topic, "partitions": [part(0, offset)] });
        let empty = json!({ "name": topic, "partitions": [] });
        let topics = json!([entry(3), empty, entry(4)]);
        t.ask(OffsetCommit, version, json!({ "group_id": group, "topics": topics }));
        stored(t, &group, &topic);
    }
}

fn fetched(t: &mut Talk) {
    let (topic, unknown) = (t.topic("t", 2), t.name("unknown"));
    let group = t.name("g");
    t.ask(OffsetCommit, 8, commit(&group, &topic, json!([part(0, 42)])));
    for version in OffsetFetch.versions() {
        for topics in [
            json!([{ "name": topic, "partition_indexes": [0, 0, 1, 9, -1] }]),
            json!([{ "name": topic, "partition_indexes": [] }]),
            json!([
                { "name": topic, "partition_indexes": [0] },
                { "name": topic, "partition_indexes": [1] },
            ]),
            json!([{ "name": unknown, "partition_indexes": [0] }]),
            json!([{ "name": "", "partition_indexes": [0] }]),
            json!([{ "name": "a b", "partition_indexes": [0] }]),
            json!([]),
        ] {
            t.ask(OffsetFetch, version, fetch(version, &group, topics.clone()));
            if version >= 7 {
                let mut body = fetch(version, &group, topics);
                body["require_stable"] = true.into();
                t.ask(OffsetFetch, version, body);
            }
        }
    }
}

fn fetched_all(t: &mut Talk) {
    let (one, two) = (t.topic("one", 2), t.topic("two", 1));
    let group = t.name("g");
    t.ask(OffsetCommit, 8, commit(&group, &one, json!([part(1, 5), part(0, 42)])));
    t.ask(OffsetCommit, 8, commit(&group, &two, json!([part(0, 1)])));
    for version in 2..=9 {
        t.ask(OffsetFetch, version, fetch(version, &group, Value::Null));
        t.ask(OffsetFetch, version, fetch(version, &t.name("unknown"), Value::Null));
        t.ask(OffsetFetch, version, fetch(version, "", Value::Null));
    }
}

fn fetched_groups(t: &mut Talk) {
    let topic = t.topic("t", 1);
    let (one, two) = (t.name("one"), t.name("two"));
    t.ask(OffsetCommit, 8, commit(&one, &topic, json!([part(0, 1)])));
    t.ask(OffsetCommit, 8, commit(&two, &topic, json!([part(0, 2)])));
    for version in 8..=9 {
        let of = |group: &str| {
            json!({
                "group_id": group, "topics": [{ "name": topic, "partition_indexes": [0] }],
            })
        };
        let unknown = t.name("unknown");
        let groups = json!([of(&two), of(&one), of(&unknown), of("")]);
        t.ask(OffsetFetch, version, json!({ "groups": groups }));
        t.ask(OffsetFetch, version, json!({ "groups": [of(&one), of(&one)] }));
    }
    t.ask_in_vain(OffsetFetch, 8, json!({ "groups": [] }));
}

fn fetched_by_members(t: &mut Talk) {
    let topic = t.topic("t", 1);
    let group = t.name("g");
    t.ask(OffsetCommit, 8, commit(&group, &topic, json!([part(0, 1)])));
    for (member, epoch) in [(None, -1), (Some(""), 0), (Some("nobody"), 1), (None, 5)] {
        let mut body = fetch(9, &group, json!([{ "name": topic, "partition_indexes": [0] }]));
        body["groups"][0]["member_id"] = member.into();
        body["groups"][0]["member_epoch"] = epoch.into();
        t.ask(OffsetFetch, 9, body);
    }
}

fn delete(group: &str, topic: &str, partitions: &[i32]) -> Value {
    let partitions: Vec<_> = partitions.iter().map(|p| json!({ "partition_index": p })).collect();
    json!({ "group_id": group, "topics": [{ "name": topic, "partitions": partitions }] })
}

fn deleted(t: &mut Talk) {
    let topic = t.topic("t", 2);
    let group = t.name("g");
    for partitions in [&[0][..], &[0, 1], &[0, 0], &[], &[9, 0], &[-1]] {
        t.ask(OffsetCommit, 8, commit(&group, &topic, json!([part(0, 1), part(1, 2)])));
        t.ask(OffsetDelete, 0, delete(&group, &topic, partitions));
        stored(t, &group, &topic);
    }
}

fn deleted_unknown(t: &mut Talk) {
    let topic = t.topic("t", 1);
    let (group, unknown) = (t.name("g"), t.name("unknown"));
    t.ask(OffsetDelete, 0, delete(&unknown, &topic, &[0]));
    t.ask(OffsetDelete, 0, delete("", &topic, &[0]));
    t.ask(OffsetCommit, 8, commit(&group, &topic, json!([part(0, 1)])));
    t.ask(OffsetDelete, 0, delete(&group, &unknown, &[0]));
    t.ask(OffsetDelete, 0, delete(&group, "a b", &[0]));
    t.ask(OffsetDelete, 0, json!({ "group_id": group, "topics": [] }));
    let entry = delete(&group, &topic, &[0])["topics"][0].clone();
    t.ask(OffsetDelete, 0, json!({ "group_id": group, "topics": [entry, entry] }));
}
