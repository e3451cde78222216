//! Produce: record sets that are good, bad, in a format too old or too new, and where they may go.

use protocol::api::ApiKey::{Fetch, ListOffsets, Produce};
use protocol::records::builder::BatchOptions;
use protocol::records::codec::Codec;
use serde_json::{Value, json};

use crate::letter::records::{self, batch, legacy, packed, plain, produced};
use crate::letter::talk::Talk;
use crate::letter::tree::text;

cases![
    a_batch,
    acks,
    unknown_places,
    message_sets,
    codecs,
    null_and_empty,
    junk,
    changed_headers,
    two_batches,
    larger_than_allowed,
    with_errors_after_deletion,
    partition_twice,
    topic_twice,
    compacted_without_key,
    timestamps,
    append_time,
    sequences,
    transactional_without_transaction,
    internal_topics,
];

fn body(topic: &str, index: i32, records: Value) -> Value {
    let partition = json!({ "index": index, "records": records });
    json!({
        "acks": -1, "timeout_ms": 5000,
        "topic_data": [{ "name": topic, "partition_data": [partition] }],
    })
}

/// Asks in every version, then what the log holds.
fn each(t: &mut Talk, topic: &str, records: &str) {
    t.ask_each(Produce, body(topic, 0, records.into()));
    ends(t, topic);
}

fn ends(t: &mut Talk, topic: &str) {
    ends_at(t, topic, &[-1, -2, -3]);
}

fn ends_at(t: &mut Talk, topic: &str, timestamps: &[i64]) {
    for timestamp in timestamps {
        let partition = json!({ "partition_index": 0, "timestamp": timestamp });
        let topic = json!({ "name": topic, "partitions": [partition] });
        t.ask(ListOffsets, 7, json!({ "replica_id": -1, "topics": [topic] }));
    }
}

fn read(t: &mut Talk, topic: &str) {
    let partition = json!({ "partition": 0, "fetch_offset": 0, "partition_max_bytes": 1 << 20 });
    let topic = json!({ "topic": topic, "partitions": [partition] });
    t.ask(Fetch, 12, json!({ "max_wait_ms": 0, "topics": [topic] }));
}

fn a_batch(t: &mut Talk) {
    let topic = t.topic("t", 1);
    each(t, &topic, &plain(&["a", "b", "c"]));
    read(t, &topic);
}

fn acks(t: &mut Talk) {
    let topic = t.topic("t", 1);
    for version in Produce.versions() {
        for acks in [1, -1, 2, -2, 100] {
            let mut body = body(&topic, 0, plain(&["a"]).into());
            body["acks"] = acks.into();
            t.ask(Produce, version, body);
        }
    }
    for version in [3, 7, 9, 11] {
        let mut body = body(&topic, 0, plain(&["a"]).into());
        body["acks"] = 0.into();
        t.tell(Produce, version, body.clone());
        // An error that cannot be told closes the connection.
        body["topic_data"][0]["name"] = t.name("unknown").into();
        t.tell(Produce, version, body);
    }
    ends(t, &topic);
}

fn unknown_places(t: &mut Talk) {
    let topic = t.topic("t", 1);
    let unknown = t.name("unknown");
    for (topic, index) in [(&*topic, 1), (&topic, -1), (&topic, i32::MAX), (&unknown, 0)] {
        t.ask_each(Produce, body(topic, index, plain(&["a"]).into()));
    }
    for bad in ["", ".", "a b", "é", &"x".repeat(250)] {
        t.ask_each(Produce, body(bad, 0, plain(&["a"]).into()));
    }
}

fn message_sets(t: &mut Talk) {
    for magic in [0, 1] {
        for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4] {
            let topic = t.topic(format!("{magic}-{}", codec.name()), 1);
            for values in [&["a"][..], &["a", "b", "c"]] {
                let set = legacy(magic, codec, values);
                for version in [0, 1, 2, 3, 11] {
                    t.ask(Produce, version, body(&topic, 0, set.clone().into()));
                }
            }
            read(t, &topic);
            ends(t, &topic);
        }
    }
}

fn codecs(t: &mut Talk) {
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let topic = t.topic(codec.name(), 1);
        each(t, &topic, &packed(&["a", "b", "c"], codec));
        read(t, &topic);
        // Its bytes cannot be unpacked.
        let name = format!("{}-bad", codec.name());
        let topic = t.topic(name, 1);
        let mut bytes = batch(&["a", "b"], BatchOptions { codec, ..Default::default() });
        let last = bytes.len() - 1;
        for byte in &mut bytes[61..last] {
            *byte ^= 0x55;
        }
        records::sign(&mut bytes);
        each(t, &topic, &text(&bytes));
    }
}

fn null_and_empty(t: &mut Talk) {
    let topic = t.topic("t", 1);
    t.ask_in_vain(Produce, 9, body(&topic, 0, Value::Null));
    t.ask_each(Produce, body(&topic, 0, "".into()));
    ends(t, &topic);
}

fn junk(t: &mut Talk) {
    let topic = t.topic("t", 1);
    for size in [1, 11, 12, 16, 17, 60, 61, 100] {
        for byte in [0, 0xff, 2] {
            let junk = text(&vec![byte; size]);
            for version in [0, 1, 2, 3, 8, 9, 11] {
                t.ask(Produce, version, body(&topic, 0, junk.clone().into()));
            }
        }
    }
    ends(t, &topic);
}

/// One field of a batch's header has a value that is not right.
fn changed_headers(t: &mut Talk) {
    let topic = t.topic("t", 1);
    let changes: &[(&str, usize, &[u8])] = &[
        ("base offset", 0, &[0, 0, 0, 0, 0, 0, 0, 9]),
        ("size 0", 8, &[0; 4]),
        ("size too large", 8, &[0, 0, 4, 0]),
        ("size negative", 8, &[0xff; 4]),
        ("leader epoch", 12, &[0, 0, 0, 9]),
        ("magic 0", 16, &[0]),
        ("magic 1", 16, &[1]),
        ("magic 3", 16, &[3]),
        ("magic -1", 16, &[0xff]),
        ("codec 5", 21, &[0, 5]),
        ("codec 7", 21, &[0, 7]),
        ("append time", 21, &[0, 8]),
        ("transactional", 21, &[0, 16]),
        ("control", 21, &[0, 32]),
        ("delete horizon", 21, &[0, 64]),
        ("unknown attributes", 21, &[0x7f, 0x80]),
        ("last offset delta 0", 23, &[0; 4]),
        ("last offset delta 5", 23, &[0, 0, 0, 5]),
        ("last offset delta -1", 23, &[0xff; 4]),
        ("base timestamp -1", 27, &[0xff; 8]),
        ("max timestamp -1", 35, &[0xff; 8]),
        ("max timestamp 0", 35, &[0; 8]),
        ("count 0", 57, &[0; 4]),
        ("count 1", 57, &[0, 0, 0, 1]),
        ("count 9", 57, &[0, 0, 0, 9]),
        ("count -1", 57, &[0xff; 4]),
        ("a record's size", 61, &[2]),
        ("a record's attributes", 62, &[1]),
        ("a record's offset delta", 64, &[4]),
    ];
    for (what, at, bytes) in changes {
        let mut changed = batch(&["a", "b", "c"], BatchOptions::default());
        changed[*at..at + bytes.len()].copy_from_slice(bytes);
        if *at > 16 {
            records::sign(&mut changed);
        }
        for version in [2, 3, 7, 8, 11] {
            let body = body(&topic, 0, text(&changed).into());
            t.ask_as(Produce, version, what, body);
        }
    }
    let mut bad = batch(&["a"], BatchOptions::default());
    bad[17] ^= 1;
    t.ask_each(Produce, body(&topic, 0, text(&bad).into()));
    ends(t, &topic);
    read(t, &topic);
}

fn two_batches(t: &mut Talk) {
    let topic = t.topic("t", 1);
    each(t, &topic, &format!("{}{}", plain(&["a"]), plain(&["b"])));
    let cut = plain(&["a", "b"]);
    each(t, &topic, &cut[..cut.len() - 1]);
    each(t, &topic, &format!("{cut}{}", &cut[..20]));
}

fn larger_than_allowed(t: &mut Talk) {
    let configs = json!([{ "name": "max.message.bytes", "value": "100" }]);
    let topic = t.topic_with("t", 1, configs);
    each(t, &topic, &plain(&[&"x".repeat(200)]));
    each(t, &topic, &plain(&["x"]));
    each(t, &topic, &legacy(1, Codec::None, &[&"x".repeat(200)]));
}

/// The log begins at 2, as an error tells too.
fn with_errors_after_deletion(t: &mut Talk) {
    let topic = t.topic("t", 1);
    t.append(&topic, &plain(&["a", "b", "c"]));
    let partition = json!({ "partition_index": 0, "offset": 2 });
    let topics = json!([{ "name": topic, "partitions": [partition] }]);
    t.ask(protocol::api::ApiKey::DeleteRecords, 2, json!({ "topics": topics, "timeout_ms": 5000 }));
    let mut bad = batch(&["a"], BatchOptions::default());
    bad[17] ^= 1;
    each(t, &topic, &text(&bad));
    each(t, &topic, &plain(&[&"x".repeat(2 << 20)]));
    let producer = t.producer(None);
    t.append(&topic, &produced(producer, 0, false));
    each(t, &topic, &produced(producer, 7, false));
    let old = (producer.0, producer.1 - 1);
    each(t, &topic, &produced(old, 0, false));
}

fn partition_twice(t: &mut Talk) {
    for version in Produce.versions() {
        let topic = t.topic(version, 1);
        let part = |value: &str| json!({ "index": 0, "records": plain(&[value]) });
        let topics = json!([{ "name": topic, "partition_data": [part("first"), part("last")] }]);
        t.ask(Produce, version, json!({ "acks": 1, "timeout_ms": 5000, "topic_data": topics }));
        read(t, &topic);
    }
}

fn topic_twice(t: &mut Talk) {
    for version in Produce.versions() {
        let topic = t.topic(version, 2);
        let entry = |index: i32, value: &str| {
            let part = json!({ "index": index, "records": plain(&[value]) });
            json!({ "name": topic, "partition_data": [part] })
        };
        let empty = json!({ "name": topic, "partition_data": [] });
        let topics = json!([entry(0, "a"), entry(1, "b"), entry(0, "c"), empty]);
        t.ask(Produce, version, json!({ "acks": 1, "timeout_ms": 5000, "topic_data": topics }));
        read(t, &topic);
        let topics = json!([empty, { "name": t.name("unknown"), "partition_data": [] }]);
        t.ask(Produce, version, json!({ "acks": 1, "timeout_ms": 5000, "topic_data": topics }));
    }
}

fn compacted_without_key(t: &mut Talk) {
    let configs = json!([{ "name": "cleanup.policy", "value": "compact" }]);
    let topic = t.topic_with("t", 1, configs);
    each(t, &topic, &plain(&["with a key"]));
    each(t, &topic, &records::keyless(&["a", "b"]));
    each(t, &topic, &legacy(1, Codec::None, &["a"]));
    each(t, &topic, &legacy(1, Codec::Gzip, &["a", "b"]));
}

fn timestamps(t: &mut Talk) {
    let limits = [
        ("before", "message.timestamp.before.max.ms", "1000"),
        ("after", "message.timestamp.after.max.ms", "1000"),
        ("difference", "message.timestamp.difference.max.ms", "1000"),
    ];
    let far = text(&records::at(&["a", "b"], 4_000_000_000_000));
    for (base, key, value) in limits {
        let topic = t.topic_with(base, 1, json!([{ "name": key, "value": value }]));
        each(t, &topic, &plain(&["a", "b"]));
        each(t, &topic, &far);
        each(t, &topic, &legacy(1, Codec::None, &["a"]));
        each(t, &topic, &legacy(0, Codec::None, &["a"]));
        read(t, &topic);
    }
}

/// Which of several records of one millisecond has the largest time is chance.
fn append_time(t: &mut Talk) {
    let configs = json!([{ "name": "message.timestamp.type", "value": "LogAppendTime" }]);
    let topic = t.topic_with("t", 1, configs);
    let far = text(&records::at(&["a", "b"], 4_000_000_000_000));
    for set in [&*plain(&["a", "b"]), &far, &legacy(1, Codec::Gzip, &["a"])] {
        t.ask_each(Produce, body(&topic, 0, set.into()));
        ends_at(t, &topic, &[-1, -2]);
        read(t, &topic);
    }
}

fn sequences(t: &mut Talk) {
    let topic = t.topic("t", 1);
    let (id, epoch) = t.producer(None);
    for (epoch, sequence) in [(0, 0), (0, 0), (0, 1), (0, 3), (0, 0), (1, 1), (1, 0), (0, 2)] {
        let set = produced((id, epoch), sequence, false);
        t.ask_as(Produce, 9, &format!("{epoch} {sequence}"), body(&topic, 0, set.into()));
    }
    // A producer that the broker has not met.
    let unknown = (id + 900_000, epoch);
    for sequence in [5, 0, -1, i32::MAX] {
        let set = produced(unknown, sequence, false);
        t.ask_as(Produce, 9, &format!("unknown {sequence}"), body(&topic, 0, set.into()));
    }
    ends(t, &topic);
}

fn transactional_without_transaction(t: &mut Talk) {
    let topic = t.topic("t", 1);
    let name = t.name("txn");
    let producer = t.producer(Some(&name));
    for version in Produce.versions() {
        for transactional_id in [None, Some(&*name), Some("")] {
            let mut body = body(&topic, 0, produced(producer, 0, true).into());
            body["transactional_id"] = transactional_id.into();
            t.ask_as(Produce, version, "not in a transaction", body);
        }
    }
    let mut body = body(&topic, 0, produced(producer, 0, false).into());
    body["transactional_id"] = name.into();
    t.ask_as(Produce, 9, "not transactional", body);
    ends(t, &topic);
}

fn internal_topics(t: &mut Talk) {
    for topic in ["__consumer_offsets", "__transaction_state"] {
        t.ask_each(Produce, body(topic, 99, plain(&["a"]).into()));
    }
}
