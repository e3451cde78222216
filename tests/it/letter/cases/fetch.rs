//! Fetch: positions, limits, formats, epochs and sessions. No request waits for records.

use protocol::api::ApiKey::{DeleteRecords, Fetch};
use protocol::records::codec::Codec;
use serde_json::{Value, json};

use crate::letter::records::{legacy, packed, plain};
use crate::letter::talk::{Talk, unknown_id};

cases![
    positions,
    unknown_places,
    epochs,
    limits,
    old_formats,
    codecs,
    deleted_records,
    sessions,
    session_errors,
    by_id,
    twice,
    replicas,
    isolation,
    racks,
];

/// A topic entry that serves versions with names and with ids.
struct Place {
    name: String,
    id: String,
}

impl Place {
    fn new(t: &mut Talk, base: &str, partitions: i32) -> Place {
        let name = t.topic(base, partitions);
        let id = t.topic_id(&name);
        Place { name, id }
    }

    fn with(&self, partitions: Value) -> Value {
        json!({ "topic": self.name, "topic_id": self.id, "partitions": partitions })
    }
}

fn part(index: i32, offset: i64) -> Value {
    json!({ "partition": index, "fetch_offset": offset, "partition_max_bytes": 1 << 20 })
}

fn body(topics: Value) -> Value {
    json!({ "max_wait_ms": 0, "min_bytes": 0, "max_bytes": 1 << 20, "topics": topics })
}

fn filled(t: &mut Talk) -> Place {
    let place = Place::new(t, "t", 2);
    t.append(&place.name, &plain(&["a", "b", "c"]));
    t.append(&place.name, &plain(&["d"]));
    place
}

fn positions(t: &mut Talk) {
    let place = filled(t);
    for offset in [0, 1, 2, 3, 4, 5, -1, -2, i64::MAX] {
        t.ask_each(Fetch, body(json!([place.with(json!([part(0, offset)]))])));
    }
    t.ask_each(Fetch, body(json!([place.with(json!([part(0, 0), part(1, 0)]))])));
}

fn unknown_places(t: &mut Talk) {
    let place = filled(t);
    for index in [2, -1, i32::MAX] {
        t.ask_each(Fetch, body(json!([place.with(json!([part(index, 0)]))])));
    }
    let unknown = Place { name: t.name("unknown"), id: unknown_id() };
    let topics = json!([unknown.with(json!([part(0, 0)])), place.with(json!([part(0, 3)]))]);
    t.ask_each(Fetch, body(topics));
    for name in ["", "a b", "."] {
        let bad = Place { name: name.into(), id: "AAAAAAAAAAAAAAAAAAAAAA".into() };
        t.ask_each(Fetch, body(json!([bad.with(json!([part(0, 0)]))])));
    }
}

fn epochs(t: &mut Talk) {
    let place = filled(t);
    for epoch in [-2, -1, 0, 1, 100] {
        for version in 9..=17 {
            let mut part = part(0, 1);
            part["current_leader_epoch"] = epoch.into();
            t.ask(Fetch, version, body(json!([place.with(json!([part]))])));
        }
    }
    for epoch in [-2, -1, 0, 1, 100] {
        for version in 12..=17 {
            let mut part = part(0, 1);
            part["last_fetched_epoch"] = epoch.into();
            t.ask(Fetch, version, body(json!([place.with(json!([part]))])));
        }
    }
}

fn limits(t: &mut Talk) {
    let place = filled(t);
    for (whole, each) in [(0, 0), (1, 1), (100, 1 << 20), (1 << 20, 80), (1 << 20, -1), (-1, 100)] {
        let mut part = part(0, 0);
        part["partition_max_bytes"] = each.into();
        let mut body = body(json!([place.with(json!([part]))]));
        body["max_bytes"] = whole.into();
        t.ask_each(Fetch, body);
    }
    for (wait, min) in [(-1, 1), (0, 1 << 30), (1, 1 << 30), (0, -1)] {
        let mut body = body(json!([place.with(json!([part(0, 4)]))]));
        body["max_wait_ms"] = wait.into();
        body["min_bytes"] = min.into();
        for version in [0, 4, 11, 17] {
            t.ask(Fetch, version, body.clone());
        }
    }
}

/// What old clients are given is converted; what old clients sent is kept.
fn old_formats(t: &mut Talk) {
    for magic in [0, 1] {
        for codec in [Codec::None, Codec::Gzip] {
            let place = Place::new(t, &format!("{magic}-{}", codec.name()), 1);
            for set in [legacy(magic, codec, &["a", "b"]), legacy(magic, codec, &["c"])] {
                let partition = json!({ "index": 0, "records": set });
                let topics = json!([{ "name": place.name, "partition_data": [partition] }]);
                let body = json!({ "acks": -1, "timeout_ms": 5000, "topic_data": topics });
                t.quietly(protocol::api::ApiKey::Produce, 2, &body);
            }
            for offset in 0..3 {
                for version in [0, 1, 2, 3, 4, 10, 12, 17] {
                    t.ask(Fetch, version, body(json!([place.with(json!([part(0, offset)]))])));
                }
            }
        }
    }
}

fn codecs(t: &mut Talk) {
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let place = Place::new(t, codec.name(), 1);
        t.append(&place.name, &plain(&["plain"]));
        t.append(&place.name, &packed(&["a", "b"], codec));
        for offset in 0..3 {
            t.ask_each(Fetch, body(json!([place.with(json!([part(0, offset)]))])));
        }
    }
}

fn deleted_records(t: &mut Talk) {
    let place = filled(t);
    let partition = json!({ "partition_index": 0, "offset": 2 });
    let topics = json!([{ "name": place.name, "partitions": [partition] }]);
    t.ask(DeleteRecords, 2, json!({ "topics": topics, "timeout_ms": 5000 }));
    for offset in [0, 1, 2, 3, 4, 5] {
        t.ask_each(Fetch, body(json!([place.with(json!([part(0, offset)]))])));
    }
}

/// A session's answers hold what changed; its id is another one at each broker.
fn sessions(t: &mut Talk) {
    for version in [7, 12, 13, 17] {
        let place = Place::new(t, &format!("v{version}"), 2);
        t.append(&place.name, &plain(&["a"]));
        let mut begin = body(json!([place.with(json!([part(0, 0), part(1, 0)]))]));
        begin["session_epoch"] = 0.into();
        let begun = t.ask(Fetch, version, begin);
        let session = begun["session_id"].clone();
        let next = |t: &mut Talk, what: &str, epoch: i32, topics: Value, forgotten: Value| {
            let mut body = body(topics);
            body["session_id"] = session.clone();
            body["session_epoch"] = epoch.into();
            body["forgotten_topics_data"] = forgotten;
            t.ask_as(Fetch, version, what, body);
        };
        next(t, "nothing new", 1, json!([]), json!([]));
        t.append(&place.name, &plain(&["b"]));
        next(t, "a record", 2, json!([]), json!([]));
        next(t, "read on", 3, json!([place.with(json!([part(0, 2)]))]), json!([]));
        let forgotten = json!([place.with(json!([1]))]);
        next(t, "forget one", 4, json!([]), forgotten);
        next(t, "an epoch again", 4, json!([]), json!([]));
        next(t, "an epoch too far", 9, json!([]), json!([]));
        next(t, "go on", 5, json!([place.with(json!([part(7, 0)]))]), json!([]));
        next(t, "what failed before", 6, json!([]), json!([]));
        next(t, "end", -1, json!([]), json!([]));
        next(t, "after the end", 7, json!([]), json!([]));
    }
}

fn session_errors(t: &mut Talk) {
    let place = filled(t);
    for version in 7..=17 {
        for (id, epoch) in [(0, 1), (0, 5), (77, 1), (77, 0), (77, -1), (-1, 1), (0, -2)] {
            let mut body = body(json!([place.with(json!([part(0, 0)]))]));
            body["session_id"] = id.into();
            body["session_epoch"] = epoch.into();
            t.ask(Fetch, version, body);
        }
    }
}

fn by_id(t: &mut Talk) {
    let place = filled(t);
    for id in ["AAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAQ", &*unknown_id(), &*place.id] {
        for version in 13..=17 {
            let topic = json!({ "topic_id": id, "partitions": [part(0, 0)] });
            t.ask(Fetch, version, body(json!([topic])));
        }
    }
}

fn twice(t: &mut Talk) {
    let place = filled(t);
    let parts = json!([part(0, 3), part(1, 0), part(0, 0)]);
    t.ask_each(Fetch, body(json!([place.with(parts)])));
    let once = place.with(json!([part(0, 3)]));
    t.ask_each(Fetch, body(json!([once, place.with(json!([])), once])));
}

/// Requests of brokers that are no replicas.
fn replicas(t: &mut Talk) {
    let place = filled(t);
    for replica in [-2, -3, 0, 1, 99] {
        for version in Fetch.versions() {
            let mut body = body(json!([place.with(json!([part(0, 0)]))]));
            body["replica_id"] = replica.into();
            if version >= 15 {
                body["replica_state"] = json!({ "replica_id": replica, "replica_epoch": 1 });
            }
            t.ask(Fetch, version, body);
        }
    }
}

fn isolation(t: &mut Talk) {
    let place = filled(t);
    for isolation in [0, 1, 2, -1] {
        for version in 4..=17 {
            let mut body = body(json!([place.with(json!([part(0, 3)]))]));
            body["isolation_level"] = isolation.into();
            t.ask(Fetch, version, body);
        }
    }
}

fn racks(t: &mut Talk) {
    let place = filled(t);
    for version in 11..=17 {
        let mut body = body(json!([place.with(json!([part(0, 3)]))]));
        body["rack_id"] = "r1".into();
        t.ask(Fetch, version, body);
    }
}
