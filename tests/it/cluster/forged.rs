//! Row 53: a client speaks as a controller of the past, as one that knows no broker epoch, and as a
//! replica that is none. Epochs refuse it. (An authorizer would refuse it before that, with
//! CLUSTER_AUTHORIZATION_FAILED.)

use protocol::error_code::ErrorCode;
use protocol::messages::fetch::{FetchPartition, FetchRequest, FetchTopic, ReplicaState};
use protocol::messages::leader_and_isr::{
    LeaderAndIsrPartitionState, LeaderAndIsrRequest, LeaderAndIsrTopicState,
};
use protocol::messages::stop_replica::{
    StopReplicaPartitionState, StopReplicaRequest, StopReplicaTopicState,
};
use protocol::messages::update_metadata::UpdateMetadataRequest;
use tests::brokers::Plan;

use super::{PARTITIONS, Scene, TOPIC, scene};

/// No broker has it.
const STRANGER: i32 = 99;

#[test]
fn row_53_forged_requests() {
    let Some(scene) = scene(53, Plan::subject().ensemble()) else { return };
    let epoch = scene.brokers.znodes().controller_epoch().expect("a controller's epoch");
    for id in scene.brokers.ids() {
        let own = scene.brokers.znodes().created_by(&format!("/brokers/ids/{id}"));
        let own = own.expect("it is registered");
        let refused = i16::from(ErrorCode::STALE_CONTROLLER_EPOCH);
        assert_eq!(as_controller(&scene, id, epoch - 1, own), [refused; 3]);
        let refused = i16::from(ErrorCode::STALE_BROKER_EPOCH);
        assert_eq!(as_controller(&scene, id, epoch, own - 1), [refused; 3]);
        as_replica(&scene, id);
        scene.load.goes_on();
    }
    scene.end();
}

/// Takes all leaders away, deletes all replicas, forgets all brokers; gives the answers' errors.
fn as_controller(scene: &Scene, id: i32, controller_epoch: i32, broker_epoch: i64) -> [i16; 3] {
    let topic_id = scene.brokers.znodes().assignment(TOPIC).and_then(|topic| topic.topic_id);
    let depose = |partition_index| LeaderAndIsrPartitionState {
        partition_index,
        controller_epoch,
        leader: STRANGER,
        leader_epoch: 1000,
        isr: vec![STRANGER],
        partition_epoch: 1000,
        replicas: vec![STRANGER],
        ..Default::default()
    };
    let depose = LeaderAndIsrRequest {
        controller_id: id,
        controller_epoch,
        broker_epoch,
        topic_states: vec![LeaderAndIsrTopicState {
            topic_name: TOPIC.to_owned(),
            topic_id: topic_id.expect("the topic has an id"),
            partition_states: (0..PARTITIONS as i32).map(depose).collect(),
        }],
        ..Default::default()
    };
    let delete = |partition_index| StopReplicaPartitionState {
        partition_index,
        leader_epoch: 1000,
        delete_partition: true,
    };
    let delete = StopReplicaRequest {
        controller_id: id,
        controller_epoch,
        broker_epoch,
        topic_states: vec![StopReplicaTopicState {
            topic_name: TOPIC.to_owned(),
            partition_states: (0..PARTITIONS as i32).map(delete).collect(),
        }],
        ..Default::default()
    };
    let forget = UpdateMetadataRequest {
        controller_id: id,
        controller_epoch,
        broker_epoch,
        ..Default::default()
    };
    [
        scene.brokers.call(id, &depose).error_code,
        scene.brokers.call(id, &delete).error_code,
        scene.brokers.call(id, &forget).error_code,
    ]
}

/// Says that it has everything that the leader has; nobody may believe it.
fn as_replica(scene: &Scene, id: i32) {
    let znodes = scene.brokers.znodes();
    let topic_id = znodes.assignment(TOPIC).and_then(|topic| topic.topic_id).expect("an id");
    let ask = |partition| FetchPartition {
        partition,
        current_leader_epoch: znodes.partition(TOPIC, partition).map_or(0, |p| p.leader_epoch),
        fetch_offset: 0,
        last_fetched_epoch: -1,
        partition_max_bytes: 1000,
        ..Default::default()
    };
    let partitions = (0..PARTITIONS as i32).map(ask).collect();
    let request = FetchRequest {
        replica_state: ReplicaState { replica_id: STRANGER, replica_epoch: -1 },
        session_epoch: -1,
        topics: vec![FetchTopic { topic_id, partitions, ..Default::default() }],
        ..Default::default()
    };
    let answer = scene.brokers.call(id, &request);
    let parts = answer.responses.iter().flat_map(|topic| &topic.partitions);
    let answers: Vec<i16> = parts.map(|part| part.error_code).collect();
    assert!(!answers.is_empty() && answers.iter().all(|code| *code != 0), "{answers:?}");
}
