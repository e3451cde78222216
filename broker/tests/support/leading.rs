//! Makes the broker lead partition 0 of a topic by orders given by hand, in the place of a
//! controller.

use broker::authorizer::{Authorized, CLUSTER, Cluster, op};
use broker::broker::Broker;
use broker::handlers::{leader_and_isr, stop_replica};
use protocol::ids::Uuid;
use protocol::messages::leader_and_isr::{
    LeaderAndIsrPartitionState, LeaderAndIsrRequest, LeaderAndIsrTopicState,
};
use protocol::messages::stop_replica::{
    StopReplicaPartitionState, StopReplicaRequest, StopReplicaTopicState,
};
use protocol::messages::update_metadata::{
    UpdateMetadataBroker, UpdateMetadataEndpoint, UpdateMetadataPartitionState,
    UpdateMetadataRequest, UpdateMetadataTopicState,
};

pub const TOPIC: &str = "t";
pub const TOPIC_ID: Uuid = Uuid([7; 16]);
/// Above any epoch that the broker's own controller can have.
const CONTROLLER_EPOCH: i32 = 1000;

/// The leader epoch in a StopReplica and the leader in an UpdateMetadata for a topic's deletion.
const DURING_DELETE: i32 = -2;

/// Blocks: call it off the workers.
pub fn lead(broker: &Broker) {
    lead_in(broker, 0, &[1]);
}

/// The same in a leader epoch, with these replicas in sync. Blocks.
pub fn lead_in(broker: &Broker, leader_epoch: i32, replicas: &[i32]) {
    let state = LeaderAndIsrPartitionState {
        controller_epoch: CONTROLLER_EPOCH,
        leader: 1,
        leader_epoch,
        partition_epoch: leader_epoch,
        isr: replicas.to_vec(),
        replicas: replicas.to_vec(),
        is_new: leader_epoch == 0,
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
    assert_eq!(leader_and_isr::obey(&broker.orders, &controller(broker), 7, roles).error_code, 0);
    tell(broker, replicas, 1, replicas);
}

/// The topic's deletion begins: it is gone from the cluster's metadata, and still led here.
#[allow(dead_code, reason = "not every test deletes it")]
pub fn forget(broker: &Broker) {
    tell(broker, &[1], DURING_DELETE, &[]);
}

/// The deletion reaches the log. Blocks.
#[allow(dead_code, reason = "not every test deletes it")]
pub fn delete(broker: &Broker) {
    let partition = StopReplicaPartitionState {
        leader_epoch: DURING_DELETE,
        delete_partition: true,
        ..Default::default()
    };
    let request = StopReplicaRequest {
        controller_id: 1,
        controller_epoch: CONTROLLER_EPOCH,
        broker_epoch: -1,
        topic_states: vec![StopReplicaTopicState {
            topic_name: TOPIC.into(),
            partition_states: vec![partition],
        }],
        ..Default::default()
    };
    let response = stop_replica::obey(&broker.orders, &controller(broker), request);
    let codes = response.partition_errors.iter().map(|error| error.error_code);
    assert!(response.error_code == 0 && codes.eq([0]), "{response:?}");
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
    let strays = broker.orders.update(&controller(broker), metadata, |_, _| {});
    assert_eq!(strays, Ok(Vec::new()));
}

/// Leave to give orders.
fn controller(broker: &Broker) -> Authorized<'static, op::ClusterAction, Cluster> {
    broker.internal.authorized(CLUSTER)
}
