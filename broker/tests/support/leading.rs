//! Makes the broker lead partition 0 of a topic by orders given by hand, in the place of a
//! controller.

use broker::broker::Broker;
use broker::handlers::{leader_and_isr, update_metadata};
use protocol::ids::Uuid;
use protocol::messages::leader_and_isr::{
    LeaderAndIsrPartitionState, LeaderAndIsrRequest, LeaderAndIsrTopicState,
};
use protocol::messages::update_metadata::{
    UpdateMetadataBroker, UpdateMetadataEndpoint, UpdateMetadataPartitionState,
    UpdateMetadataRequest, UpdateMetadataTopicState,
};

pub const TOPIC: &str = "t";
pub const TOPIC_ID: Uuid = Uuid([7; 16]);
/// Above any epoch that the broker's own controller can have.
const CONTROLLER_EPOCH: i32 = 1000;

/// Blocks: call it off the workers.
pub fn lead(broker: &Broker) {
    let state = LeaderAndIsrPartitionState {
        controller_epoch: CONTROLLER_EPOCH,
        leader: 1,
        isr: vec![1],
        replicas: vec![1],
        is_new: true,
        ..Default::default()
    };
    let roles = LeaderAndIsrRequest {
        controller_id: 1,
        controller_epoch: CONTROLLER_EPOCH,
        topic_states: vec![LeaderAndIsrTopicState {
            topic_name: TOPIC.into(),
            topic_id: TOPIC_ID,
            partition_states: vec![state],
        }],
        ..Default::default()
    };
    assert_eq!(leader_and_isr::obey(broker, 7, roles).error_code, 0);
    tell(broker, &[1], 1, &[1]);
}

/// Which brokers live, and who leads the partition with whom in sync.
pub fn tell(broker: &Broker, live: &[i32], leader: i32, isr: &[i32]) {
    let live_brokers = live.iter().map(|id| UpdateMetadataBroker {
        id: *id,
        endpoints: vec![UpdateMetadataEndpoint {
            port: 9000 + id,
            host: "127.0.0.1".into(),
            listener: "PLAINTEXT".into(),
            security_protocol: 0,
        }],
        ..Default::default()
    });
    let metadata = UpdateMetadataRequest {
        controller_id: 1,
        controller_epoch: CONTROLLER_EPOCH,
        live_brokers: live_brokers.collect(),
        topic_states: vec![UpdateMetadataTopicState {
            topic_name: TOPIC.into(),
            topic_id: TOPIC_ID,
            partition_states: vec![UpdateMetadataPartitionState {
                leader,
                isr: isr.to_vec(),
                replicas: isr.to_vec(),
                ..Default::default()
            }],
        }],
        ..Default::default()
    };
    assert_eq!(update_metadata::obey(broker, metadata).error_code, 0);
}
