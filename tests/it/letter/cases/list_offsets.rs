//! ListOffsets and OffsetForLeaderEpoch: positions by time and by leader epoch.

use protocol::api::ApiKey::{DeleteRecords, ListOffsets, OffsetForLeaderEpoch};
use serde_json::{Value, json};

use crate::letter::records::{self, plain};
use crate::letter::talk::Talk;
use crate::letter::tree::text;

cases![
    special_timestamps,
    times,
    unknown_places,
    leader_epochs,
    epoch_ends,
    epoch_ends_of_unknown_places,
    twice,
    replicas,
    isolation,
    old_limits,
    empty_logs,
];

fn filled(t: &mut Talk) -> String {
    let topic = t.topic("t", 2);
    t.append(&topic, &plain(&["a", "b"]));
    for time in [1000, 3000, 2000] {
        t.append(&topic, &text(&records::at(&["x", "y"], time)));
    }
    topic
}

fn body(topic: &str, partitions: Value) -> Value {
    json!({ "replica_id": -1, "topics": [{ "name": topic, "partitions": partitions }] })
}

fn at(index: i32, timestamp: i64) -> Value {
    json!({ "partition_index": index, "timestamp": timestamp })
}

fn special_timestamps(t: &mut Talk) {
    let topic = filled(t);
    for timestamp in [-1, -2, -3, -4, -5, -6, -7, i64::MIN] {
        t.ask_each(ListOffsets, body(&topic, json!([at(0, timestamp)])));
    }
}

fn times(t: &mut Talk) {
    let topic = filled(t);
    for timestamp in [0, 1, 1000, 1001, 2000, 2500, 3000, 3001, records::TIME_MS, i64::MAX] {
        t.ask_each(ListOffsets, body(&topic, json!([at(0, timestamp), at(1, timestamp)])));
    }
}

fn unknown_places(t: &mut Talk) {
    let topic = filled(t);
    let unknown = t.name("unknown");
    for (topic, index) in [(&*topic, 2), (&topic, -1), (&unknown, 0), ("", 0), ("a b", 0)] {
        for timestamp in [-1, 0] {
            t.ask_each(ListOffsets, body(topic, json!([at(index, timestamp)])));
        }
    }
    let bad = at(0, -1);
    t.ask_each(ListOffsets, body("__consumer_offsets", json!([bad])));
}

fn leader_epochs(t: &mut Talk) {
    let topic = filled(t);
    for epoch in [-2, -1, 0, 1, 100] {
        for timestamp in [-1, -2, 1000] {
            for version in 4..=9 {
                let mut at = at(0, timestamp);
                at["current_leader_epoch"] = epoch.into();
                t.ask(ListOffsets, version, body(&topic, json!([at])));
            }
        }
    }
}

fn ends(topic: &str, partitions: Value) -> Value {
    json!({ "topics": [{ "topic": topic, "partitions": partitions }] })
}

fn epoch_ends(t: &mut Talk) {
    let topic = filled(t);
    for epoch in [-2, -1, 0, 1, 7, i32::MAX] {
        for current in [-2, -1, 0, 1] {
            let part = |index: i32| {
                json!({
                    "partition": index, "leader_epoch": epoch, "current_leader_epoch": current,
                })
            };
            t.ask_each(OffsetForLeaderEpoch, ends(&topic, json!([part(0), part(1)])));
        }
    }
}

fn epoch_ends_of_unknown_places(t: &mut Talk) {
    let topic = filled(t);
    let part = |index: i32| json!({ "partition": index, "leader_epoch": 0 });
    let unknown = t.name("unknown");
    for (topic, index) in [(&*topic, 2), (&topic, -1), (&unknown, 0), ("", 0), ("a b", 0)] {
        t.ask_each(OffsetForLeaderEpoch, ends(topic, json!([part(index)])));
    }
    t.ask_each(OffsetForLeaderEpoch, ends(&topic, json!([part(0), part(0)])));
    t.ask_each(OffsetForLeaderEpoch, ends(&topic, json!([])));
    for replica in [-2, -1, 0, 1, 9] {
        for version in 3..=4 {
            let mut body = ends(&topic, json!([part(0)]));
            body["replica_id"] = replica.into();
            t.ask(OffsetForLeaderEpoch, version, body);
        }
    }
}

fn twice(t: &mut Talk) {
    let topic = filled(t);
    t.ask_each(ListOffsets, body(&topic, json!([at(0, -1), at(0, -2), at(1, -1)])));
    let entry = json!({ "name": topic, "partitions": [at(0, -1)] });
    let empty = json!({ "name": topic, "partitions": [] });
    t.ask_each(ListOffsets, json!({ "replica_id": -1, "topics": [entry, empty, entry] }));
    t.ask_each(ListOffsets, json!({ "replica_id": -1, "topics": [empty] }));
}

fn replicas(t: &mut Talk) {
    let topic = filled(t);
    for replica in [-2, -3, 0, 1, 99] {
        let mut body = body(&topic, json!([at(0, -1), at(0, 1000), at(1, -2)]));
        body["replica_id"] = replica.into();
        t.ask_each(ListOffsets, body);
    }
}

fn isolation(t: &mut Talk) {
    let topic = filled(t);
    for isolation in [0, 1, 2, -1] {
        for version in 2..=9 {
            let mut body = body(&topic, json!([at(0, -1), at(1, -3)]));
            body["isolation_level"] = isolation.into();
            t.ask(ListOffsets, version, body);
        }
    }
}

/// Version 0 gives the starts of segments.
fn old_limits(t: &mut Talk) {
    let topic = filled(t);
    for timestamp in [-1, -2, 0, i64::MAX] {
        for count in [0, 1, 2, 5, -1] {
            let mut at = at(0, timestamp);
            at["max_num_offsets"] = count.into();
            t.ask(ListOffsets, 0, body(&topic, json!([at])));
        }
    }
}

fn empty_logs(t: &mut Talk) {
    let topic = filled(t);
    let all = json!({ "partition_index": 0, "offset": -1 });
    let topics = json!([{ "name": topic, "partitions": [all] }]);
    t.ask(DeleteRecords, 2, json!({ "topics": topics, "timeout_ms": 5000 }));
    for timestamp in [-1, -2, -3, -4, -5, 0, 1000] {
        t.ask_each(ListOffsets, body(&topic, json!([at(0, timestamp), at(1, timestamp)])));
    }
    let part = json!({ "partition": 0, "leader_epoch": 0 });
    t.ask_each(OffsetForLeaderEpoch, ends(&topic, json!([part])));
}
