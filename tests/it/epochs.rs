//! What a controller sent to a former life of a broker does not reach the present one.

use metadata::store::{Op, Reply};
use protocol::error_code::ErrorCode;
use protocol::messages::leader_and_isr::{
    LeaderAndIsrPartitionState, LeaderAndIsrRequest, LeaderAndIsrTopicState,
};
use protocol::messages::metadata::MetadataRequest;
use protocol::messages::stop_replica::{
    StopReplicaPartitionState, StopReplicaRequest, StopReplicaTopicState,
};
use protocol::messages::update_metadata::{UpdateMetadataBroker, UpdateMetadataRequest};
use tests::ottla::Ottla;
use tests::zookeeper::ZooKeeperServer;

use crate::zookeeper_faults::{ask, chroot, consume, created, list_offsets, produce, ready, zk};

fn epoch_of(connect: &str, id: i32) -> i64 {
    let path = format!("/brokers/ids/{id}");
    match zk(connect, vec![Op::Exists { path, watch: false }]).pop() {
        Some(Ok(Reply::Exists { stat: Some(stat) })) => stat.czxid,
        other => panic!("broker {id}: {other:?}"),
    }
}

#[test]
fn requests_for_a_former_life_are_refused() {
    if !ready() {
        return;
    }
    let zookeeper = ZooKeeperServer::start();
    let connect = chroot(&zookeeper);
    let mut broker = Ottla::start(Some(&connect), "");
    let former = epoch_of(&connect, 1);
    broker.stop();
    broker.restart();
    let bootstrap = broker.bootstrap();
    created(&bootstrap, "t", &[1]);
    produce(&bootstrap, "t", "kept\n");
    let present = epoch_of(&connect, 1);
    assert!(present > former);
    let (controller_id, controller_epoch) = (9, 1000);
    let isr = follow_nobody(controller_id, controller_epoch, former);
    let stop = StopReplicaRequest {
        controller_id,
        controller_epoch,
        broker_epoch: former,
        topic_states: vec![StopReplicaTopicState {
            topic_name: "t".to_owned(),
            partition_states: vec![StopReplicaPartitionState {
                leader_epoch: 1000,
                delete_partition: true,
                ..Default::default()
            }],
        }],
        ..Default::default()
    };
    let update = UpdateMetadataRequest {
        controller_id,
        controller_epoch,
        broker_epoch: former,
        live_brokers: vec![UpdateMetadataBroker { id: 9, ..Default::default() }],
        ..Default::default()
    };
    let stale = ErrorCode::STALE_BROKER_EPOCH.0;
    let answer = ask(&bootstrap, &isr, 7).expect("an answer");
    assert_eq!(answer.error_code, stale);
    assert_eq!(answer.topics[0].partition_errors[0].error_code, stale, "echoed");
    assert_eq!(ask(&bootstrap, &stop, 4).expect("an answer").error_code, stale);
    assert_eq!(ask(&bootstrap, &update, 8).expect("an answer").error_code, stale);
    // Neither obeyed nor remembered: the present controller still gives orders.
    assert_eq!(list_offsets(&bootstrap, "t"), Some(ErrorCode::NONE));
    created(&bootstrap, "u", &[1]);
    let known = ask(&bootstrap, &MetadataRequest { topics: None, ..Default::default() }, 9);
    assert_eq!(known.expect("an answer").controller_id, 1);
    // The present life, and one that is not known here yet, are meant.
    for broker_epoch in [present, present + 100, -1] {
        let (controller_id, controller_epoch) = (1, 2);
        let stop = StopReplicaRequest {
            controller_id,
            controller_epoch,
            broker_epoch,
            ..Default::default()
        };
        assert_eq!(ask(&bootstrap, &stop, 4).expect("an answer").error_code, 0);
    }
    assert_eq!(consume(&bootstrap, "t"), "kept\n");
}

/// An order to follow a broker that is not there, in a leader epoch far ahead.
fn follow_nobody(
    controller_id: i32,
    controller_epoch: i32,
    broker_epoch: i64,
) -> LeaderAndIsrRequest {
    LeaderAndIsrRequest {
        controller_id,
        controller_epoch,
        broker_epoch,
        topic_states: vec![LeaderAndIsrTopicState {
            topic_name: "t".to_owned(),
            partition_states: vec![LeaderAndIsrPartitionState {
                leader: 9,
                leader_epoch: 1000,
                isr: vec![9],
                replicas: vec![9, 1],
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}
