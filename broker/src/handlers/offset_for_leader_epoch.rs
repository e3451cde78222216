//! OffsetForLeaderEpoch (key 23): where a leader epoch ended, so that a reader notices that the log
//! took another course (KIP-101, KIP-320).
//!
//! Versions 0 to 4: v1 names the epoch found · v2 the leader epoch of the asker · v3 replica id ·
//! v4 flexible. An unknown epoch gives epoch −1 and offset −1.
//!
//! Errors: UNKNOWN_TOPIC_OR_PARTITION, NOT_LEADER_OR_FOLLOWER, FENCED_LEADER_EPOCH,
//! UNKNOWN_LEADER_EPOCH, KAFKA_STORAGE_ERROR, TOPIC_AUTHORIZATION_FAILED.
//!
//! Differs from Apache: in nothing known.

use protocol::error_code::ErrorCode;
use protocol::messages::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
    OffsetForLeaderPartition, OffsetForLeaderTopicResult,
};

use super::partition_error::not_here;
use crate::authorizer::{Authorized, Authorizer, CLUSTER, Cluster, Denied, Topic, op};
use crate::handlers::fetch::code_of;
use crate::replication::manager::ReplicaManager;
use crate::request::{Reply, RequestContext};

pub fn handle(
    authorizer: &Authorizer,
    replicas: &ReplicaManager,
    context: &RequestContext,
    request: OffsetForLeaderEpochRequest,
) -> Reply<OffsetForLeaderEpochResponse> {
    let action = authorizer.authorize::<op::ClusterAction, Cluster>(context, CLUSTER);
    let topics = request
        .topics
        .into_iter()
        .map(|topic| {
            let leave = match &action {
                Ok(action) => Ok(action.covers(&topic.topic)),
                Err(Denied) => authorizer.authorize(context, &topic.topic),
            };
            let partitions = topic
                .partitions
                .iter()
                .map(|asked| match &leave {
                    Ok(leave) => find(replicas, leave, asked),
                    Err(Denied) => Err(ErrorCode::TOPIC_AUTHORIZATION_FAILED),
                })
                .zip(&topic.partitions)
                .map(|(found, asked)| result(asked.partition, found))
                .collect();
            OffsetForLeaderTopicResult { topic: topic.topic.clone(), partitions }
        })
        .collect();
    Reply::Now(OffsetForLeaderEpochResponse { topics, ..Default::default() })
}

fn find(
    replicas: &ReplicaManager,
    topic: &Authorized<'_, op::Describe, Topic>,
    asked: &OffsetForLeaderPartition,
) -> Result<(i32, i64), ErrorCode> {
    let partition = replicas.find(topic.name(), asked.partition).map_err(not_here)?;
    partition
        .end_offset_for_epoch(topic, asked.current_leader_epoch, asked.leader_epoch)
        .map_err(|error| code_of(&error))
}

fn result(partition: i32, found: Result<(i32, i64), ErrorCode>) -> EpochEndOffset {
    let mut result = EpochEndOffset { partition, ..Default::default() };
    match found {
        Ok((epoch, end_offset)) => {
            result.leader_epoch = epoch;
            result.end_offset = end_offset;
        }
        Err(code) => result.error_code = code.0,
    }
    result
}

#[cfg(test)]
mod tests {
    use protocol::messages::offset_for_leader_epoch::OffsetForLeaderTopic;

    use super::*;
    use crate::testbed::{Testbed, context, now};

    fn ask(
        bed: &Testbed,
        authorizer: &Authorizer,
        topic: &str,
        (current, epoch): (i32, i32),
    ) -> (ErrorCode, i32, i64) {
        let partition = OffsetForLeaderPartition {
            partition: 0,
            current_leader_epoch: current,
            leader_epoch: epoch,
        };
        let topic = OffsetForLeaderTopic { topic: topic.to_owned(), partitions: vec![partition] };
        let request = OffsetForLeaderEpochRequest { topics: vec![topic], ..Default::default() };
        let answer = now(handle(authorizer, &bed.replicas, &context(4), request));
        let result = &answer.topics[0].partitions[0];
        (ErrorCode(result.error_code), result.leader_epoch, result.end_offset)
    }

    #[tokio::test]
    async fn epochs_end_where_the_next_begins() {
        let bed = Testbed::new();
        bed.lead("t", 1);
        bed.append("t", 0, &["a", "b"]);
        bed.place("t", 1, 1, 3);
        bed.append("t", 0, &["c"]);
        let told = |of| ask(&bed, &bed.authorizer, "t", of);
        assert_eq!(told((-1, 0)), (ErrorCode::NONE, 0, 2));
        assert_eq!(told((3, 2)), (ErrorCode::NONE, 0, 2), "the one below");
        assert_eq!(told((3, 3)), (ErrorCode::NONE, 3, 3));
        assert_eq!(told((3, 4)), (ErrorCode::NONE, -1, -1), "not known");
        assert_eq!(told((2, 0)).0, ErrorCode::FENCED_LEADER_EPOCH);
        assert_eq!(told((4, 0)).0, ErrorCode::UNKNOWN_LEADER_EPOCH);
    }

    #[tokio::test]
    async fn brokers_need_no_leave_for_a_topic() {
        let bed = Testbed::new();
        bed.lead("t", 1);
        let none = || Authorizer::allow_all().but::<op::Describe, Topic>("t");
        assert_eq!(ask(&bed, &none(), "t", (-1, 0)).0, ErrorCode::NONE);
        let client = none().but::<op::ClusterAction, Cluster>(CLUSTER);
        assert_eq!(ask(&bed, &client, "t", (-1, 0)).0, ErrorCode::TOPIC_AUTHORIZATION_FAILED);
        assert_eq!(ask(&bed, &client, "u", (-1, 0)).0, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    }
}
