//! What controllers and leaders are told whose orders and wishes are void.

use protocol::error_code::ErrorCode;
use protocol::messages::alter_partition::{AlterPartitionRequest, PartitionRequest, TopicRequest};
use protocol::messages::stop_replica::{StopReplicaPartitionV0, StopReplicaRequest};

use super::started;

#[tokio::test]
async fn a_former_controller_is_told_of_no_partition() {
    let (_broker, connection) = started(&[("t", &[])]).await;
    let partition = StopReplicaPartitionV0 { topic_name: "t".into(), partition_index: 0 };
    let request = StopReplicaRequest {
        controller_id: 1,
        controller_epoch: 0,
        ungrouped_partitions: vec![partition],
        ..Default::default()
    };
    let answer = connection.call_in(&request, 0).await.expect("an answer");
    assert_eq!(answer.error_code, ErrorCode::STALE_CONTROLLER_EPOCH.0);
    assert!(answer.partition_errors.is_empty(), "{answer:?}");
}

#[tokio::test]
async fn wishes_for_impossible_isrs() {
    let (broker, connection) = started(&[("t", &[])]).await;
    let broker_epoch = broker.running.broker.identity.broker_epoch();
    let topic_id = broker.running.broker.metadata.snapshot().topic("t").expect("a topic").id;
    let alter = async |version, broker_epoch, new_isr: &[i32], leader_recovery_state| {
        let partition = PartitionRequest {
            new_isr: new_isr.to_vec(),
            leader_recovery_state,
            ..Default::default()
        };
        let by_id = version >= 2;
        let topic = TopicRequest {
            topic_name: if by_id { String::new() } else { "t".into() },
            topic_id: if by_id { topic_id } else { Default::default() },
            partitions: vec![partition],
        };
        let request = AlterPartitionRequest { broker_id: 1, broker_epoch, topics: vec![topic] };
        let answer = connection.call_in(&request, version).await.expect("an answer");
        let of_partition = answer.topics.first().map(|topic| topic.partitions[0].error_code);
        (answer.error_code, of_partition)
    };
    assert_eq!(alter(0, broker_epoch, &[1, 9], 0).await, (0, Some(55)));
    assert_eq!(alter(2, broker_epoch, &[1, 9], 0).await, (0, Some(107)));
    assert_eq!(alter(1, broker_epoch, &[1], 0).await, (0, Some(0)));
    assert_eq!(alter(1, broker_epoch, &[1], 1).await, (0, Some(42)));
    assert_eq!(alter(1, broker_epoch, &[1], 5).await, (-1, None));
    assert_eq!(alter(1, broker_epoch + 1, &[1], 5).await, (77, None));
}
