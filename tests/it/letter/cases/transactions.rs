//! InitProducerId, AddPartitionsToTxn, AddOffsetsToTxn, EndTxn, TxnOffsetCommit, WriteTxnMarkers,
//! and what DescribeTransactions, ListTransactions and DescribeProducers tell of them.

use protocol::api::ApiKey::{
    AddOffsetsToTxn, AddPartitionsToTxn, DescribeProducers, DescribeTransactions, EndTxn, Fetch,
    InitProducerId, ListOffsets, ListTransactions, OffsetFetch, Produce, TxnOffsetCommit,
    WriteTxnMarkers,
};
use serde_json::{Value, json};

use crate::letter::records::{plain, produced};
use crate::letter::talk::Talk;

cases![
    producers,
    producers_refused,
    producers_that_resume,
    timeouts,
    a_transaction,
    partitions_added,
    partitions_refused,
    partitions_verified,
    no_transactions,
    offsets_added,
    ended,
    ended_twice,
    fenced,
    offsets_committed,
    offsets_refused,
    described,
    listed,
    producers_described,
    markers,
];

type Producer = (i64, i16);

/// An answer that is not "ask again": the transaction before is being ended.
fn settled(answer: &Value) -> bool {
    answer["error_code"] != 51
}

fn init(name: Option<&str>) -> Value {
    json!({ "transactional_id": name, "transaction_timeout_ms": 60_000 })
}

fn producers(t: &mut Talk) {
    for version in InitProducerId.versions() {
        let name = t.name(version);
        t.ask(InitProducerId, version, init(None));
        t.ask(InitProducerId, version, init(Some(&name)));
        t.ask(InitProducerId, version, init(Some(&name)));
    }
}

fn producers_refused(t: &mut Talk) {
    t.ask_each(InitProducerId, init(Some("")));
    let name = t.name("t");
    for version in 3..=5 {
        for (name, id, epoch) in [
            (None, 5, -1),
            (None, -1, 5),
            (None, 5, 5),
            (Some(&*name), 5, -1),
            (Some(&name), -1, 5),
            (Some(&name), 987_654, 5),
            (Some(&name), -2, -2),
        ] {
            let mut body = init(name);
            body["producer_id"] = id.into();
            body["producer_epoch"] = epoch.into();
            t.ask(InitProducerId, version, body);
        }
    }
}

fn producers_that_resume(t: &mut Talk) {
    for version in 3..=5 {
        let name = t.name(version);
        let (id, epoch) = t.producer(Some(&name));
        let mut body = init(Some(&name));
        body["producer_id"] = id.into();
        for (what, given) in [("as it is", epoch), ("before", epoch), ("ahead", epoch + 5)] {
            body["producer_epoch"] = given.into();
            t.ask_as(InitProducerId, version, what, body.clone());
        }
        body["producer_id"] = (id + 500_000).into();
        t.ask_as(InitProducerId, version, "another id", body.clone());
    }
}

fn timeouts(t: &mut Talk) {
    for version in InitProducerId.versions() {
        for timeout in [0, -1, 1, 900_000, 900_001, i32::MAX] {
            let mut body = init(Some(&t.name(format!("{version}-{timeout}"))));
            body["transaction_timeout_ms"] = timeout.into();
            t.ask(InitProducerId, version, body);
            let mut body = init(None);
            body["transaction_timeout_ms"] = timeout.into();
            t.ask(InitProducerId, version, body);
        }
    }
}

/// The partitions of one transaction, in the shape of the version.
fn add(version: i16, name: &str, producer: Producer, topics: Value) -> Value {
    match version {
        4.. => json!({ "transactions": [{
            "transactional_id": name, "producer_id": producer.0, "producer_epoch": producer.1,
            "topics": topics,
        }] }),
        _ => json!({
            "v3_and_below_transactional_id": name, "v3_and_below_producer_id": producer.0,
            "v3_and_below_producer_epoch": producer.1, "v3_and_below_topics": topics,
        }),
    }
}

fn only(topic: &str, partitions: &[i32]) -> Value {
    json!([{ "name": topic, "partitions": partitions }])
}

fn end(name: &str, producer: Producer, committed: bool) -> Value {
    json!({
        "transactional_id": name, "producer_id": producer.0, "producer_epoch": producer.1,
        "committed": committed,
    })
}

fn write(t: &mut Talk, name: &str, producer: Producer, topic: &str, sequence: i32) {
    let part = json!({ "index": 0, "records": produced(producer, sequence, true) });
    let topics = json!([{ "name": topic, "partition_data": [part] }]);
    let body = json!({
        "transactional_id": name, "acks": -1, "timeout_ms": 5000, "topic_data": topics,
    });
    t.ask_as(Produce, 9, "a record of the transaction", body);
}

fn read(t: &mut Talk, topic: &str) {
    for isolation in [0, 1] {
        let part = json!({ "partition": 0, "fetch_offset": 0, "partition_max_bytes": 1 << 20 });
        let topics = json!([{ "topic": topic, "partitions": [part] }]);
        let body = json!({ "max_wait_ms": 0, "isolation_level": isolation, "topics": topics });
        for version in [4, 11, 12] {
            t.ask(Fetch, version, body.clone());
        }
        let part = json!({ "partition_index": 0, "timestamp": -1 });
        let topics = json!([{ "name": topic, "partitions": [part] }]);
        let body = json!({ "replica_id": -1, "isolation_level": isolation, "topics": topics });
        t.ask(ListOffsets, 7, body);
    }
}

/// The end of the transaction is written by the time the next may begin.
fn ended_for_sure(t: &mut Talk, name: &str) {
    let body = json!({ "transactional_ids": [name] });
    let state = |answer: &Value| answer["transaction_states"][0]["transaction_state"].clone();
    t.settle(DescribeTransactions, 0, &body, |answer| {
        state(answer).as_str().is_some_and(|state| state.starts_with("Complete"))
    });
}

fn a_transaction(t: &mut Talk) {
    for committed in [true, false] {
        let (topic, name) = (t.topic(committed, 1), t.name(format!("txn-{committed}")));
        let producer = t.producer(Some(&name));
        t.append(&topic, &plain(&["before"]));
        t.ask(AddPartitionsToTxn, 3, add(3, &name, producer, only(&topic, &[0])));
        write(t, &name, producer, &topic, 0);
        write(t, &name, producer, &topic, 1);
        t.append(&topic, &plain(&["after"]));
        read(t, &topic);
        t.ask(EndTxn, 3, end(&name, producer, committed));
        ended_for_sure(t, &name);
        read(t, &topic);
        describe_producers(t, &topic, &[0]);
    }
}

fn partitions_added(t: &mut Talk) {
    for version in 0..=3 {
        let (topic, name) = (t.topic(version, 3), t.name(format!("txn{version}")));
        let producer = t.producer(Some(&name));
        let topics = json!([
            { "name": topic, "partitions": [0, 2] }, { "name": topic, "partitions": [1, 0] },
        ]);
        for topics in [only(&topic, &[0]), only(&topic, &[0, 0]), topics, json!([])] {
            t.ask(AddPartitionsToTxn, version, add(version, &name, producer, topics));
        }
        t.ask(DescribeTransactions, 0, json!({ "transactional_ids": [name] }));
        t.ask(EndTxn, 3, end(&name, producer, false));
    }
}

fn partitions_refused(t: &mut Talk) {
    let (topic, unknown) = (t.topic("t", 1), t.name("unknown"));
    for version in AddPartitionsToTxn.versions() {
        let name = t.name(format!("txn{version}"));
        let (id, epoch) = t.producer(Some(&name));
        for (name, producer) in [
            (&*unknown, (id, epoch)),
            ("", (id, epoch)),
            (&name, (id, epoch + 1)),
            (&name, (id, epoch - 1)),
            (&name, (id + 500_000, epoch)),
            (&name, (-1, -1)),
        ] {
            t.ask(AddPartitionsToTxn, version, add(version, name, producer, only(&topic, &[0])));
        }
        for topics in [
            only(&unknown, &[0]),
            only(&topic, &[0, 9]),
            only("", &[0]),
            only("__consumer_offsets", &[0]),
            only(&topic, &[]),
        ] {
            t.ask(AddPartitionsToTxn, version, add(version, &name, (id, epoch), topics));
        }
    }
}

fn partitions_verified(t: &mut Talk) {
    let topic = t.topic("t", 2);
    for version in 4..=5 {
        let name = t.name(format!("txn{version}"));
        let producer = t.producer(Some(&name));
        for verify in [true, false, true] {
            let mut body = add(version, &name, producer, only(&topic, &[0, 1]));
            body["transactions"][0]["verify_only"] = verify.into();
            t.ask(AddPartitionsToTxn, version, body.clone());
            let twice = json!([body["transactions"][0], body["transactions"][0]]);
            t.ask(AddPartitionsToTxn, version, json!({ "transactions": twice }));
        }
        t.ask(EndTxn, 3, end(&name, producer, false));
    }
}

fn no_transactions(t: &mut Talk) {
    t.ask_in_vain(AddPartitionsToTxn, 4, json!({ "transactions": [] }));
}

fn offsets_added(t: &mut Talk) {
    for version in AddOffsetsToTxn.versions() {
        let name = t.name(version);
        let (id, epoch) = t.producer(Some(&name));
        for (name, id, epoch, group) in [
            (&*name, id, epoch, "g"),
            (&name, id, epoch, ""),
            (&name, id, epoch + 1, "g"),
            (&name, id, epoch - 1, "g"),
            (&name, id + 500_000, epoch, "g"),
            ("", id, epoch, "g"),
            (&t.name("unknown"), id, epoch, "g"),
        ] {
            let body = json!({
                "transactional_id": name, "producer_id": id, "producer_epoch": epoch,
                "group_id": group,
            });
            t.ask(AddOffsetsToTxn, version, body);
        }
        t.ask(EndTxn, 3, end(&name, (id, epoch), false));
    }
}

fn ended(t: &mut Talk) {
    for version in EndTxn.versions() {
        let name = t.name(version);
        let (id, epoch) = t.producer(Some(&name));
        for (name, producer) in [
            (&*name, (id, epoch)),
            (&name, (id, epoch + 1)),
            (&name, (id, epoch - 1)),
            (&name, (id + 500_000, epoch)),
            ("", (id, epoch)),
            (&t.name("unknown"), (id, epoch)),
        ] {
            for committed in [true, false] {
                t.ask(EndTxn, version, end(name, producer, committed));
            }
        }
    }
}

fn ended_twice(t: &mut Talk) {
    let topic = t.topic("t", 1);
    for version in EndTxn.versions() {
        for committed in [true, false] {
            let name = t.name(format!("{version}-{committed}"));
            let producer = t.producer(Some(&name));
            t.ask(AddPartitionsToTxn, 3, add(3, &name, producer, only(&topic, &[0])));
            t.ask(EndTxn, version, end(&name, producer, committed));
            ended_for_sure(t, &name);
            t.ask(EndTxn, version, end(&name, producer, committed));
            t.ask(EndTxn, version, end(&name, producer, !committed));
            t.ask(DescribeTransactions, 0, json!({ "transactional_ids": [name] }));
        }
    }
}

fn fenced(t: &mut Talk) {
    let topic = t.topic("t", 1);
    let name = t.name("txn");
    let old = t.producer(Some(&name));
    t.ask(AddPartitionsToTxn, 3, add(3, &name, old, only(&topic, &[0])));
    write(t, &name, old, &topic, 0);
    let next = t.until(InitProducerId, 4, init(Some(&name)), settled);
    write(t, &name, old, &topic, 1);
    for version in 0..=3 {
        let body = add(version, &name, old, only(&topic, &[0]));
        t.ask(AddPartitionsToTxn, version, body);
    }
    t.ask_each(EndTxn, end(&name, old, true));
    let next = (next["producer_id"].as_i64().unwrap_or(-1), old.1 + 2);
    write(t, &name, next, &topic, 0);
    t.ask(DescribeTransactions, 0, json!({ "transactional_ids": [name] }));
    read(t, &topic);
}

fn commit(name: &str, group: &str, producer: Producer, topic: &str, partitions: Value) -> Value {
    json!({
        "transactional_id": name, "group_id": group, "producer_id": producer.0,
        "producer_epoch": producer.1, "topics": [{ "name": topic, "partitions": partitions }],
    })
}

fn part(index: i32, offset: i64) -> Value {
    json!({ "partition_index": index, "committed_offset": offset, "committed_metadata": "note" })
}

fn offsets_committed(t: &mut Talk) {
    let topic = t.topic("t", 2);
    for version in TxnOffsetCommit.versions() {
        let (name, group) = (t.name(format!("txn{version}")), t.name(version));
        let producer = t.producer(Some(&name));
        let body = json!({
            "transactional_id": name, "producer_id": producer.0, "producer_epoch": producer.1,
            "group_id": group,
        });
        t.ask(AddOffsetsToTxn, 3, body);
        let parts = json!([part(0, 5), part(1, 6), part(0, 7)]);
        t.ask(TxnOffsetCommit, version, commit(&name, &group, producer, &topic, parts));
        let fetch = |stable: bool| {
            let topics = json!([{ "name": topic, "partition_indexes": [0, 1] }]);
            json!({ "group_id": group, "topics": topics, "require_stable": stable })
        };
        for stable in [true, false] {
            t.ask(OffsetFetch, 7, fetch(stable));
        }
        t.ask(EndTxn, 3, end(&name, producer, true));
        let done = |answer: &Value| answer["topics"][0]["partitions"][1]["committed_offset"] == 6;
        t.until(OffsetFetch, 7, fetch(true), done);
    }
}

fn offsets_refused(t: &mut Talk) {
    let (topic, unknown) = (t.topic("t", 1), t.name("unknown"));
    for version in TxnOffsetCommit.versions() {
        let (name, group) = (t.name(format!("txn{version}")), t.name(version));
        let producer = t.producer(Some(&name));
        for (topic, parts) in [
            (&*unknown, json!([part(0, 1)])),
            (&topic, json!([part(0, 1), part(9, 1)])),
            (&topic, json!([part(-1, 1)])),
            ("", json!([part(0, 1)])),
            (&topic, json!([])),
        ] {
            t.ask(TxnOffsetCommit, version, commit(&name, &group, producer, topic, parts));
        }
        let body = commit(&name, "", producer, &topic, json!([part(0, 1)]));
        t.ask(TxnOffsetCommit, version, body);
        let mut long = part(0, 1);
        long["committed_metadata"] = "m".repeat(5000).into();
        let body = commit(&name, &group, producer, &topic, json!([long]));
        t.ask_as(TxnOffsetCommit, version, "long metadata", body);
        if version >= 3 {
            for (generation, member) in [(1, "nobody"), (0, ""), (-1, "nobody"), (5, "")] {
                let mut body = commit(&name, &group, producer, &topic, json!([part(0, 1)]));
                body["generation_id"] = generation.into();
                body["member_id"] = member.into();
                t.ask(TxnOffsetCommit, version, body);
            }
        }
    }
}

fn described(t: &mut Talk) {
    let (topic, name, unknown) = (t.topic("t", 2), t.name("txn"), t.name("unknown"));
    let producer = t.producer(Some(&name));
    for ids in [json!([name]), json!([unknown, name, name]), json!([""]), json!([])] {
        t.ask(DescribeTransactions, 0, json!({ "transactional_ids": ids }));
    }
    t.ask(AddPartitionsToTxn, 3, add(3, &name, producer, only(&topic, &[0, 1])));
    t.ask(DescribeTransactions, 0, json!({ "transactional_ids": [name] }));
    t.ask(EndTxn, 3, end(&name, producer, false));
    ended_for_sure(t, &name);
    t.ask(DescribeTransactions, 0, json!({ "transactional_ids": [name] }));
}

fn listed(t: &mut Talk) {
    let (topic, name) = (t.topic("t", 1), t.name("txn"));
    let producer = t.producer(Some(&name));
    t.producer(Some(&t.name("other")));
    t.ask(AddPartitionsToTxn, 3, add(3, &name, producer, only(&topic, &[0])));
    for version in ListTransactions.versions() {
        for body in [
            json!({}),
            json!({ "state_filters": ["Ongoing"] }),
            json!({ "state_filters": ["ongoing", "Empty"] }),
            json!({ "state_filters": ["NoSuchState", "Ongoing", ""] }),
            json!({ "state_filters": ["NoSuchState"] }),
            json!({ "producer_id_filters": [producer.0] }),
            json!({ "producer_id_filters": [-1] }),
        ] {
            t.ask_own(ListTransactions, version, "transaction_states", body);
        }
    }
    for duration in [-1, -5, 0, 1_000_000] {
        let body = json!({ "duration_filter": duration });
        t.ask_own(ListTransactions, 1, "transaction_states", body);
    }
    t.ask(EndTxn, 3, end(&name, producer, false));
}

fn describe_producers(t: &mut Talk, topic: &str, partitions: &[i32]) {
    let topics = json!([{ "name": topic, "partition_indexes": partitions }]);
    t.ask(DescribeProducers, 0, json!({ "topics": topics }));
}

fn producers_described(t: &mut Talk) {
    let topic = t.topic("t", 2);
    let producer = t.producer(None);
    t.append(&topic, &produced(producer, 0, false));
    describe_producers(t, &topic, &[0]);
    t.append(&topic, &produced(producer, 1, false));
    for partitions in [&[0, 1][..], &[0, 0], &[9], &[-1], &[]] {
        describe_producers(t, &topic, partitions);
    }
    for name in ["", "a b", "."] {
        describe_producers(t, name, &[0]);
    }
    describe_producers(t, &t.name("unknown"), &[0]);
    let entry = json!({ "name": topic, "partition_indexes": [0] });
    t.ask(DescribeProducers, 0, json!({ "topics": [entry, entry] }));
    t.ask(DescribeProducers, 0, json!({ "topics": [] }));
}

/// Markers for producers that the partition has not met, and for places that are none.
fn markers(t: &mut Talk) {
    let (topic, unknown) = (t.topic("t", 2), t.name("unknown"));
    let (id, epoch) = t.producer(None);
    for version in WriteTxnMarkers.versions() {
        for (topic, partitions) in
            [(&*topic, &[0, 1][..]), (&topic, &[9]), (&unknown, &[0]), (&topic, &[]), ("", &[0])]
        {
            let topics = json!([{ "name": topic, "partition_indexes": partitions }]);
            let marker = json!({
                "producer_id": id, "producer_epoch": epoch, "transaction_result": true,
                "topics": topics, "coordinator_epoch": 0,
            });
            t.ask(WriteTxnMarkers, version, json!({ "markers": [marker] }));
        }
        let old = json!({
            "producer_id": id, "producer_epoch": epoch, "transaction_result": false,
            "topics": [{ "name": topic, "partition_indexes": [0] }], "coordinator_epoch": -1,
        });
        t.ask(WriteTxnMarkers, version, json!({ "markers": [old, old] }));
    }
    read(t, &topic);
}
