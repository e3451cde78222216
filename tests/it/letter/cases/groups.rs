//! Classic groups: FindCoordinator, JoinGroup, SyncGroup, Heartbeat, LeaveGroup, DescribeGroups,
//! ListGroups and DeleteGroups. No case waits for another member.

use protocol::api::ApiKey::{
    ApiVersions, DeleteGroups, DescribeGroups, FindCoordinator, Heartbeat, JoinGroup, LeaveGroup,
    ListGroups, OffsetCommit, OffsetDelete, SyncGroup,
};
use serde_json::{Value, json};

use crate::letter::talk::Talk;

cases![
    coordinators,
    a_life,
    static_life,
    joins_refused,
    names_of_instances,
    joins_of_unknown_members,
    joins_of_other_protocols,
    session_timeouts,
    syncs_refused,
    beats_refused,
    leaves_refused,
    described,
    listed,
    listed_by_state,
    deleted,
    commits_of_members,
    topics_in_use,
    requests_of_nobody,
];

fn coordinators(t: &mut Talk) {
    for version in 0..=3 {
        for key in [&*t.name("g"), "", "é", " "] {
            for kind in [0, 1, 2, 3, -1] {
                let mut body = json!({ "key": key });
                if version >= 1 {
                    body["key_type"] = kind.into();
                }
                t.ask(FindCoordinator, version, body);
            }
        }
    }
    for version in 4..=6 {
        let (one, two) = (t.name("one"), t.name("two"));
        for keys in [json!([one]), json!([two, one, two]), json!([]), json!(["", one])] {
            for kind in [0, 1, 2, 3, -1] {
                let body = json!({ "coordinator_keys": keys, "key_type": kind });
                t.ask(FindCoordinator, version, body);
            }
        }
    }
    t.ask(ApiVersions, 0, json!({}));
}

fn protocols() -> Value {
    let range = json!({ "name": "range", "metadata": "\0\0\0\0\0\0ÿÿÿÿ" });
    json!([range, { "name": "other", "metadata": "" }])
}

fn join(group: &str, member: &str) -> Value {
    json!({
        "group_id": group, "session_timeout_ms": 30_000, "rebalance_timeout_ms": 30_000,
        "member_id": member, "protocol_type": "consumer", "protocols": protocols(),
    })
}

/// Joins as the first member; the answers are compared. Returns the member id.
fn enter(t: &mut Talk, group: &str, version: i16) -> String {
    let mut answer = t.ask(JoinGroup, version, join(group, ""));
    if answer["error_code"] == 79 {
        let member = answer["member_id"].as_str().expect("an id").to_owned();
        answer = t.ask(JoinGroup, version, join(group, &member));
    }
    answer["member_id"].as_str().expect("an id").to_owned()
}

fn sync(group: &str, generation: i32, member: &str) -> Value {
    json!({
        "group_id": group, "generation_id": generation, "member_id": member,
        "protocol_type": "consumer", "protocol_name": "range",
        "assignments": [{ "member_id": member, "assignment": "work" }],
    })
}

fn beat(group: &str, generation: i32, member: &str) -> Value {
    json!({ "group_id": group, "generation_id": generation, "member_id": member })
}

fn leave(version: i16, group: &str, member: &str) -> Value {
    match version {
        3.. => json!({ "group_id": group, "members": [{ "member_id": member }] }),
        _ => json!({ "group_id": group, "member_id": member }),
    }
}

/// A member's life, every request in the version nearest to the join's.
fn a_life(t: &mut Talk) {
    for version in JoinGroup.versions() {
        let group = t.name(version);
        let member = enter(t, &group, version);
        describe(t, &group);
        t.ask(Heartbeat, version.min(4), beat(&group, 1, &member));
        t.ask(SyncGroup, version.min(5), sync(&group, 1, &member));
        t.ask(SyncGroup, version.min(5), sync(&group, 1, &member));
        t.ask(Heartbeat, version.min(4), beat(&group, 1, &member));
        describe(t, &group);
        // The leader that joins again starts another generation.
        t.ask(JoinGroup, version, join(&group, &member));
        t.ask(Heartbeat, version.min(4), beat(&group, 1, &member));
        t.ask(SyncGroup, version.min(5), sync(&group, 2, &member));
        t.ask(LeaveGroup, version.min(5), leave(version.min(5), &group, &member));
        t.ask(LeaveGroup, version.min(5), leave(version.min(5), &group, &member));
        describe(t, &group);
    }
}

fn describe(t: &mut Talk, group: &str) {
    let body = json!({ "groups": [group], "include_authorized_operations": true });
    t.ask(DescribeGroups, 5, body);
}

fn static_life(t: &mut Talk) {
    for version in 5..=9 {
        let group = t.name(version);
        let mut first = join(&group, "");
        first["group_instance_id"] = "i1".into();
        let joined = t.ask(JoinGroup, version, first.clone());
        let member = joined["member_id"].as_str().expect("an id").to_owned();
        let mut body = sync(&group, 1, &member);
        body["group_instance_id"] = "i1".into();
        t.ask(SyncGroup, 5, body.clone());
        body["group_instance_id"] = "i2".into();
        t.ask(SyncGroup, 5, body);
        // It comes back without its member id.
        let again = t.ask(JoinGroup, version, first.clone());
        first["member_id"] = member.clone().into();
        t.ask(JoinGroup, version, first);
        let next = again["member_id"].as_str().expect("an id").to_owned();
        for (member, instance) in [(&member, "i1"), (&next, "i1"), (&next, "i2"), (&next, "")] {
            let mut body = beat(&group, 1, member);
            body["group_instance_id"] = instance.into();
            t.ask(Heartbeat, 4, body);
        }
        describe(t, &group);
        for (member, instance) in [(&*member, "i1"), ("", "i2"), ("", "i1"), ("", "i1")] {
            let one = json!({ "member_id": member, "group_instance_id": instance });
            t.ask(LeaveGroup, 5, json!({ "group_id": group, "members": [one] }));
        }
        describe(t, &group);
    }
}

fn joins_refused(t: &mut Talk) {
    for version in JoinGroup.versions() {
        let group = t.name(version);
        t.ask(JoinGroup, version, join("", ""));
        let mut none = join(&group, "");
        none["protocols"] = json!([]);
        t.ask(JoinGroup, version, none);
        let mut none = join(&group, "");
        none["protocol_type"] = "".into();
        t.ask(JoinGroup, version, none);
        describe(t, &group);
    }
}

fn names_of_instances(t: &mut Talk) {
    for version in [5, 9] {
        for (i, instance) in ["", ".", "a b", "\u{e9}", &"x".repeat(250)].iter().enumerate() {
            let group = t.name(format!("{version}-{i}"));
            let mut body = join(&group, "");
            body["group_instance_id"] = (*instance).into();
            t.ask(JoinGroup, version, body);
            describe(t, &group);
        }
    }
}

fn joins_of_unknown_members(t: &mut Talk) {
    for version in JoinGroup.versions() {
        let group = t.name(version);
        t.ask(JoinGroup, version, join(&group, "nobody"));
        enter(t, &group, version);
        t.ask(JoinGroup, version, join(&group, "nobody"));
    }
}

fn joins_of_other_protocols(t: &mut Talk) {
    for version in [0, 3, 5, 9] {
        let group = t.name(version);
        let member = enter(t, &group, version);
        t.ask(SyncGroup, version.min(5), sync(&group, 1, &member));
        for (kind, protocol) in [("connect", "range"), ("consumer", "sticky"), ("", "range")] {
            let mut body = join(&group, "");
            body["protocol_type"] = kind.into();
            body["protocols"] = json!([{ "name": protocol, "metadata": "x" }]);
            t.ask(JoinGroup, version, body);
        }
    }
}

fn session_timeouts(t: &mut Talk) {
    for version in JoinGroup.versions() {
        for timeout in [0, -1, 5999, 6000, 1_800_000, 1_800_001, i32::MAX] {
            let mut body = join(&t.name(format!("{version}-{timeout}")), "");
            body["session_timeout_ms"] = timeout.into();
            t.ask(JoinGroup, version, body);
        }
    }
}

fn syncs_refused(t: &mut Talk) {
    for version in SyncGroup.versions() {
        let group = t.name(version);
        let member = enter(t, &group, 3);
        for body in [
            sync(&group, 1, "nobody"),
            sync(&group, 0, &member),
            sync(&group, 2, &member),
            sync(&t.name("unknown"), 1, &member),
            sync("", 1, &member),
        ] {
            t.ask(SyncGroup, version, body);
        }
        if version >= 5 {
            for (kind, name) in [
                (Some("connect"), Some("range")),
                (Some("consumer"), Some("other")),
                (None, Some("range")),
                (Some("consumer"), None),
                (None, None),
            ] {
                let mut body = sync(&group, 1, &member);
                body["protocol_type"] = kind.into();
                body["protocol_name"] = name.into();
                t.ask(SyncGroup, version, body);
            }
        }
        // An assignment for somebody else, and none for itself.
        let mut body = sync(&group, 1, &member);
        body["assignments"] = json!([{ "member_id": "nobody", "assignment": "x" }]);
        t.ask(SyncGroup, version, body);
        describe(t, &group);
    }
}

fn beats_refused(t: &mut Talk) {
    for version in Heartbeat.versions() {
        let group = t.name(version);
        let member = enter(t, &group, 3);
        t.ask(SyncGroup, 3, sync(&group, 1, &member));
        for (generation, member) in [(1, "nobody"), (0, &*member), (2, &member), (-1, &member)] {
            t.ask(Heartbeat, version, beat(&group, generation, member));
        }
        t.ask(Heartbeat, version, beat(&group, 1, ""));
        t.ask(Heartbeat, version, beat(&t.name("unknown"), 1, &member));
        t.ask(Heartbeat, version, beat("", 1, &member));
    }
}

fn leaves_refused(t: &mut Talk) {
    for version in LeaveGroup.versions() {
        let group = t.name(version);
        let member = enter(t, &group, 3);
        for (group, member) in
            [(&*group, "nobody"), (&group, ""), (&t.name("unknown"), &*member), ("", &member)]
        {
            t.ask(LeaveGroup, version, leave(version, group, member));
        }
        if version >= 3 {
            let one = json!({ "member_id": member });
            let other = json!({ "member_id": "nobody" });
            let named = json!({ "member_id": "", "group_instance_id": "i1" });
            for members in [json!([]), json!([other, named]), json!([one, other, one])] {
                t.ask(LeaveGroup, version, json!({ "group_id": group, "members": members }));
            }
        }
    }
}

fn described(t: &mut Talk) {
    let (group, unknown) = (t.name("g"), t.name("unknown"));
    let member = enter(t, &group, 9);
    t.ask(SyncGroup, 5, sync(&group, 1, &member));
    for version in DescribeGroups.versions() {
        for groups in [
            json!([group]),
            json!([unknown, group]),
            json!([group, group]),
            json!(["", group]),
            json!([]),
        ] {
            for operations in [false, true] {
                let mut body = json!({ "groups": groups });
                if version >= 3 {
                    body["include_authorized_operations"] = operations.into();
                }
                t.ask(DescribeGroups, version, body);
            }
        }
    }
}

fn listed(t: &mut Talk) {
    let group = t.name("g");
    enter(t, &group, 9);
    for version in ListGroups.versions() {
        t.ask_own(ListGroups, version, "groups", json!({}));
    }
}

fn listed_by_state(t: &mut Talk) {
    let group = t.name("g");
    let member = enter(t, &group, 9);
    t.ask(SyncGroup, 5, sync(&group, 1, &member));
    for version in 4..=5 {
        for states in [&["Stable"][..], &["stable"], &["Empty"], &["x"], &["", "Stable"], &[]] {
            t.ask_own(ListGroups, version, "groups", json!({ "states_filter": states }));
        }
    }
    for types in [&["classic"][..], &["Classic"], &["consumer"], &["x"], &[""], &["share"]] {
        t.ask_own(ListGroups, 5, "groups", json!({ "types_filter": types }));
    }
}

fn deleted(t: &mut Talk) {
    for version in DeleteGroups.versions() {
        let (group, unknown) = (t.name(version), t.name("unknown"));
        let member = enter(t, &group, 3);
        t.ask(DeleteGroups, version, json!({ "groups_names": [group] }));
        t.ask(DeleteGroups, version, json!({ "groups_names": [unknown, group, ""] }));
        t.ask(LeaveGroup, 3, leave(3, &group, &member));
        t.ask(DeleteGroups, version, json!({ "groups_names": [group, group] }));
        t.ask(DeleteGroups, version, json!({ "groups_names": [group] }));
        t.ask(DeleteGroups, version, json!({ "groups_names": [] }));
        describe(t, &group);
    }
}

fn commit(group: &str, generation: i32, member: &str, topic: &str) -> Value {
    let part = json!({ "partition_index": 0, "committed_offset": 5, "committed_metadata": "" });
    json!({
        "group_id": group, "generation_id_or_member_epoch": generation, "member_id": member,
        "topics": [{ "name": topic, "partitions": [part] }],
    })
}

fn commits_of_members(t: &mut Talk) {
    let topic = t.topic("t", 1);
    for version in 1..=9 {
        let group = t.name(version);
        let member = enter(t, &group, 3);
        t.ask(OffsetCommit, version, commit(&group, 1, &member, &topic));
        t.ask(SyncGroup, 3, sync(&group, 1, &member));
        for (generation, member) in
            [(1, &*member), (0, &member), (2, &member), (1, "nobody"), (1, ""), (-1, "")]
        {
            t.ask(OffsetCommit, version, commit(&group, generation, member, &topic));
        }
    }
}

fn topics_in_use(t: &mut Talk) {
    let (used, other) = (t.topic("used", 1), t.topic("other", 1));
    let group = t.name("g");
    let mut body = join(&group, "");
    let name: String = used.clone();
    let size = name.len() as u8 as char;
    let subscription = format!("\0\0\0\0\0\u{1}\0{size}{name}ÿÿÿÿ");
    body["protocols"] = json!([{ "name": "range", "metadata": subscription }]);
    let joined = t.ask(JoinGroup, 3, body);
    let member = joined["member_id"].as_str().expect("an id").to_owned();
    t.ask(SyncGroup, 3, sync(&group, 1, &member));
    for topic in [&used, &other] {
        t.ask(OffsetCommit, 7, commit(&group, 1, &member, topic));
        let part = json!([{ "partition_index": 0 }]);
        let topics = json!([{ "name": topic, "partitions": part }]);
        t.ask(OffsetDelete, 0, json!({ "group_id": group, "topics": topics }));
    }
}

fn requests_of_nobody(t: &mut Talk) {
    let group = t.name("unknown");
    t.ask_each(Heartbeat, beat(&group, 1, "nobody"));
    t.ask_each(SyncGroup, sync(&group, 1, "nobody"));
    for version in LeaveGroup.versions() {
        t.ask(LeaveGroup, version, leave(version, &group, "nobody"));
    }
}
