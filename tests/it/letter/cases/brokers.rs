//! What brokers and the controller ask each other: LeaderAndIsr, StopReplica, UpdateMetadata,
//! ControlledShutdown, AlterPartition, AllocateProducerIds. All of it is refused, with epochs that
//! are over or of brokers that are none, so that no broker is harmed.

use protocol::api::ApiKey::{
    AllocateProducerIds, AlterPartition, ControlledShutdown, Envelope, LeaderAndIsr, StopReplica,
    UpdateFeatures, UpdateMetadata,
};
use serde_json::{Value, json};

use crate::letter::talk::{Talk, unknown_id};

cases![
    leaders_of_old_controllers,
    leaders_for_old_brokers,
    stops_of_old_controllers,
    metadata_of_old_controllers,
    shutdowns_of_unknown_brokers,
    isr_of_unknown_brokers,
    ids_of_unknown_brokers,
    features,
    envelopes,
];

/// Controller epochs that are over, and broker epochs that never were.
const EPOCHS: &[(i32, i64)] = &[(0, -1), (-1, -1), (0, 0), (1, 0), (0, i64::MAX)];

fn state(topic: &str, version: i16) -> Value {
    let mut state = json!({
        "partition_index": 0, "leader": 1, "leader_epoch": 0, "isr": [1], "replicas": [1],
    });
    if version < 2 {
        state["topic_name"] = topic.into();
    }
    state
}

fn leaders(t: &mut Talk, version: i16, epochs: (i32, i64)) -> Value {
    let topic = t.name("unknown");
    let state = state(&topic, version);
    let mut body = json!({ "controller_id": 1, "controller_epoch": epochs.0 });
    if version >= 2 {
        body["broker_epoch"] = epochs.1.into();
        let states = json!({ "topic_name": topic, "partition_states": [state] });
        body["topic_states"] = json!([states]);
    } else {
        body["ungrouped_partition_states"] = json!([state]);
    }
    body
}

fn leaders_of_old_controllers(t: &mut Talk) {
    for version in LeaderAndIsr.versions() {
        let body = leaders(t, version, (0, -1));
        t.ask(LeaderAndIsr, version, body);
        let body = leaders(t, version, (-1, -1));
        t.ask(LeaderAndIsr, version, body);
    }
}

fn leaders_for_old_brokers(t: &mut Talk) {
    for version in 2..=7 {
        for epochs in EPOCHS {
            let body = leaders(t, version, *epochs);
            t.ask(LeaderAndIsr, version, body);
        }
    }
}

fn stops_of_old_controllers(t: &mut Talk) {
    let topic = t.topic("t", 1);
    for version in StopReplica.versions() {
        for epochs in EPOCHS.iter().filter(|epochs| version >= 1 || epochs.0 < 1) {
            let mut body = json!({ "controller_id": 1, "controller_epoch": epochs.0 });
            if version >= 1 {
                body["broker_epoch"] = epochs.1.into();
            }
            match version {
                0 => {
                    let part = json!({ "topic_name": topic, "partition_index": 0 });
                    body["ungrouped_partitions"] = json!([part]);
                }
                1..=2 => body["topics"] = json!([{ "name": topic, "partition_indexes": [0] }]),
                _ => {
                    let parts = json!([{ "partition_index": 0, "delete_partition": false }]);
                    body["topic_states"] =
                        json!([{ "topic_name": topic, "partition_states": parts }]);
                }
            }
            t.ask(StopReplica, version, body);
        }
    }
}

fn metadata_of_old_controllers(t: &mut Talk) {
    for version in UpdateMetadata.versions() {
        for epochs in EPOCHS.iter().filter(|epochs| version >= 5 || epochs.0 < 1) {
            let mut body = json!({ "controller_id": 1, "controller_epoch": epochs.0 });
            if version >= 5 {
                body["broker_epoch"] = epochs.1.into();
            }
            t.ask(UpdateMetadata, version, body);
        }
    }
}

fn shutdowns_of_unknown_brokers(t: &mut Talk) {
    for version in ControlledShutdown.versions() {
        for id in [0, 2, -1, i32::MAX] {
            for epoch in [-1, 0, i64::MAX] {
                let body = json!({ "broker_id": id, "broker_epoch": epoch });
                t.ask(ControlledShutdown, version, body);
            }
        }
        if version >= 2 {
            let body = json!({ "broker_id": 1, "broker_epoch": 0 });
            t.ask(ControlledShutdown, version, body);
        }
    }
}

fn isr_of_unknown_brokers(t: &mut Talk) {
    let topic = t.topic("t", 1);
    let id = t.topic_id(&topic);
    for version in AlterPartition.versions() {
        for (broker, epoch) in [(1, 0), (1, i64::MAX), (2, -1), (2, 0), (-1, -1)] {
            let mut part = json!({ "partition_index": 0, "leader_epoch": 0, "partition_epoch": 0 });
            if version >= 3 {
                part["new_isr_with_epochs"] = json!([{ "broker_id": 1 }]);
            } else {
                part["new_isr"] = json!([1]);
            }
            let places = [
                json!({ "topic_name": topic, "topic_id": id }),
                json!({ "topic_id": unknown_id() }),
            ];
            for mut place in places {
                place["partitions"] = json!([part]);
                let body = json!({
                    "broker_id": broker, "broker_epoch": epoch, "topics": [place],
                });
                t.ask(AlterPartition, version, body);
            }
        }
        t.ask(AlterPartition, version, json!({ "broker_id": 1, "broker_epoch": 0 }));
    }
}

fn ids_of_unknown_brokers(t: &mut Talk) {
    for (id, epoch) in [(0, -1), (1, 0), (1, i64::MAX), (2, -1), (-1, -1)] {
        t.ask(AllocateProducerIds, 0, json!({ "broker_id": id, "broker_epoch": epoch }));
    }
}

fn features(t: &mut Talk) {
    for version in UpdateFeatures.versions() {
        for (feature, level) in [
            ("metadata.version", 1),
            ("metadata.version", 0),
            ("kraft.version", 1),
            ("no.such.feature", 1),
            ("no.such.feature", 0),
            ("no.such.feature", -1),
            ("", 1),
        ] {
            let update = json!({ "feature": feature, "max_version_level": level });
            t.ask(UpdateFeatures, version, json!({ "feature_updates": [update] }));
            t.ask(UpdateFeatures, version, json!({ "feature_updates": [update, update] }));
        }
        t.ask(UpdateFeatures, version, json!({}));
    }
}

fn envelopes(t: &mut Talk) {
    t.ask(Envelope, 0, json!({ "request_data": "", "client_host_address": "\u{7f}\0\0\u{1}" }));
    t.ask(Envelope, 0, json!({ "request_data": "\0\u{12}\0\0\0\0\0\u{1}ÿÿ" }));
}
