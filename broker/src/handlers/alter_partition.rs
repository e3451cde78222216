//! AlterPartition (key 56): a leader asks the controller to change the ISRs of what it leads
//! (KIP-497).
//!
//! Versions 0–3: v1 recovery state · v2 topic ids · v3 epochs of the members (KIP-903). Answers,
//! per partition, the state that stands now; a change that is made already is no error.
//!
//! Errors: CLUSTER_AUTHORIZATION_FAILED, NOT_CONTROLLER, STALE_BROKER_EPOCH, UNKNOWN_SERVER_ERROR;
//! per partition UNKNOWN_TOPIC_ID, UNKNOWN_TOPIC_OR_PARTITION, NOT_CONTROLLER (the leader knows
//! more than this controller), FENCED_LEADER_EPOCH, INVALID_UPDATE_VERSION, INVALID_REQUEST,
//! INELIGIBLE_REPLICA (OPERATION_NOT_ATTEMPTED until v1), UNKNOWN_SERVER_ERROR. A recovery state
//! that does not exist is UNKNOWN_SERVER_ERROR of the whole request.
//!
//! Differs from Apache:
//! - A member whose broker epoch is given (v3) and is not that of its registration is ineligible,
//!   as in KRaft: a broker that has come back without its log must not join by what it had before.
//!   Apache's ZooKeeper controller ignores these epochs, and its leaders send −1.
//! - INVALID_REQUEST, as in KRaft, from a broker that does not lead the partition, for an ISR
//!   without its leader, for a member named twice and for a living new member that is no replica.
//! - A write whose answer was lost with the connection and then found done is a success; Apache
//!   answers INVALID_UPDATE_VERSION, after which the leader waits for its next LeaderAndIsr.

use std::sync::Arc;

use controller::event::RequestError;
use controller::{
    AlterPartition, IsrAnswers, IsrChange, IsrMember, IsrRefusal, Leadership, TopicKey,
};
use protocol::error_code::ErrorCode;
use protocol::messages::alter_partition::{
    AlterPartitionRequest, AlterPartitionResponse, PartitionRequest, PartitionResponse,
    TopicResponse,
};

use crate::authorizer::{Authorized, Authorizer, CLUSTER, Cluster, op};
use crate::office::Office;
use crate::request::{Reply, RequestContext};

/// From here on topics are named by their ids, and INELIGIBLE_REPLICA is understood.
const FIRST_WITH_IDS: i16 = 2;

/// From here on members come with their epochs.
const FIRST_WITH_EPOCHS: i16 = 3;

/// `leader_recovery_state` of a leader from the ISR.
const RECOVERED: i8 = 0;

/// `leader_recovery_state` of a leader from outside the ISR.
const RECOVERING: i8 = 1;

pub fn handle(
    authorizer: &Authorizer,
    office: &Arc<Office>,
    context: &RequestContext,
    request: AlterPartitionRequest,
) -> Reply<AlterPartitionResponse> {
    let Ok(allowed) = authorizer.authorize::<_, Cluster>(context, CLUSTER) else {
        return Reply::Now(refusal(ErrorCode::CLUSTER_AUTHORIZATION_FAILED));
    };
    let (office, allowed) = (office.clone(), allowed.into_owned());
    let version = context.api_version;
    Reply::later(async move { alter(&office, version, request, &allowed).await })
}

async fn alter(
    office: &Office,
    version: i16,
    request: AlterPartitionRequest,
    allowed: &Authorized<'_, op::ClusterAction, Cluster>,
) -> AlterPartitionResponse {
    let strange = |partition: &PartitionRequest| {
        ![RECOVERED, RECOVERING].contains(&partition.leader_recovery_state)
    };
    let strange = request.topics.iter().flat_map(|topic| &topic.partitions).any(strange);
    let mut asked = as_asked(version, request);
    if strange {
        // Nothing is changed, but who asks, and whom, counts first.
        asked.topics.clear();
    }
    match office.alter_partition(allowed, asked).await {
        Ok(_) if strange => refusal(ErrorCode::UNKNOWN_SERVER_ERROR),
        Ok(answers) => respond(version, answers),
        Err(error) => refusal(match error {
            RequestError::NotController => ErrorCode::NOT_CONTROLLER,
            RequestError::UnknownBroker(_) | RequestError::StaleBrokerEpoch(_) => {
                ErrorCode::STALE_BROKER_EPOCH
            }
            RequestError::Failed(_) => ErrorCode::UNKNOWN_SERVER_ERROR,
        }),
    }
}

/// The request as the controller takes it.
pub fn as_asked(version: i16, request: AlterPartitionRequest) -> AlterPartition {
    let member = |broker: i32, epoch: i64| IsrMember {
        broker,
        broker_epoch: (epoch != -1).then_some(epoch),
    };
    let change = |partition: PartitionRequest| {
        let isr = match version >= FIRST_WITH_EPOCHS {
            true => {
                let members = partition.new_isr_with_epochs.iter();
                members.map(|m| member(m.broker_id, m.broker_epoch)).collect()
            }
            false => partition.new_isr.iter().map(|id| member(*id, -1)).collect(),
        };
        IsrChange {
            partition: partition.partition_index,
            leader_epoch: partition.leader_epoch,
            isr,
            recovering: partition.leader_recovery_state == RECOVERING,
            partition_epoch: partition.partition_epoch,
        }
    };
    let topics = request.topics.into_iter().map(|topic| {
        let key = match version >= FIRST_WITH_IDS {
            true => TopicKey::Id(topic.topic_id),
            false => TopicKey::Name(topic.topic_name),
        };
        (key, topic.partitions.into_iter().map(change).collect())
    });
    AlterPartition {
        broker: request.broker_id,
        broker_epoch: request.broker_epoch,
        topics: topics.collect(),
    }
}

/// The controller's answers as a response.
pub fn respond(version: i16, answers: IsrAnswers) -> AlterPartitionResponse {
    let topic = |(key, partitions): (TopicKey, Vec<(i32, Result<Leadership, IsrRefusal>)>)| {
        let of_topic = TopicResponse {
            partitions: partitions.into_iter().map(|p| partition(version, p)).collect(),
            ..TopicResponse::default()
        };
        match key {
            TopicKey::Name(topic_name) => TopicResponse { topic_name, ..of_topic },
            TopicKey::Id(topic_id) => TopicResponse { topic_id, ..of_topic },
        }
    };
    let topics = answers.into_iter().map(topic).collect();
    AlterPartitionResponse { topics, ..AlterPartitionResponse::default() }
}

fn partition(
    version: i16,
    (partition_index, result): (i32, Result<Leadership, IsrRefusal>),
) -> PartitionResponse {
    match result {
        Ok(Leadership { state, partition_epoch }) => PartitionResponse {
            partition_index,
            leader_id: state.leader,
            leader_epoch: state.leader_epoch,
            isr: state.isr,
            leader_recovery_state: i8::from(state.recovering),
            partition_epoch,
            ..PartitionResponse::default()
        },
        Err(refused) => PartitionResponse {
            partition_index,
            error_code: code(version, refused).0,
            ..PartitionResponse::default()
        },
    }
}

fn code(version: i16, refused: IsrRefusal) -> ErrorCode {
    match refused {
        IsrRefusal::UnknownTopicId => ErrorCode::UNKNOWN_TOPIC_ID,
        IsrRefusal::UnknownPartition => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        IsrRefusal::NewerThanController => ErrorCode::NOT_CONTROLLER,
        IsrRefusal::FencedLeaderEpoch => ErrorCode::FENCED_LEADER_EPOCH,
        IsrRefusal::InvalidUpdateVersion => ErrorCode::INVALID_UPDATE_VERSION,
        IsrRefusal::InvalidRequest => ErrorCode::INVALID_REQUEST,
        IsrRefusal::IneligibleReplica if version < FIRST_WITH_IDS => {
            ErrorCode::OPERATION_NOT_ATTEMPTED
        }
        IsrRefusal::IneligibleReplica => ErrorCode::INELIGIBLE_REPLICA,
        IsrRefusal::Failed => ErrorCode::UNKNOWN_SERVER_ERROR,
    }
}

fn refusal(code: ErrorCode) -> AlterPartitionResponse {
    AlterPartitionResponse { error_code: code.0, ..AlterPartitionResponse::default() }
}

#[cfg(test)]
mod tests {
    use protocol::ids::Uuid;
    use protocol::messages::alter_partition::{BrokerState, TopicRequest};

    use super::*;

    fn request() -> AlterPartitionRequest {
        let partition = PartitionRequest {
            partition_index: 3,
            leader_epoch: 5,
            new_isr: vec![1, 2],
            new_isr_with_epochs: vec![
                BrokerState { broker_id: 1, broker_epoch: -1 },
                BrokerState { broker_id: 2, broker_epoch: 77 },
            ],
            leader_recovery_state: 1,
            partition_epoch: 9,
        };
        AlterPartitionRequest {
            broker_id: 1,
            broker_epoch: 70,
            topics: vec![TopicRequest {
                topic_name: "t".to_owned(),
                topic_id: Uuid([1; 16]),
                partitions: vec![partition],
            }],
        }
    }

    #[test]
    fn members_and_topics_as_the_version_names_them() {
        let epochs = |version| {
            let asked = as_asked(version, request());
            let (key, changes) = &asked.topics[0];
            assert!(changes[0].recovering);
            let epochs: Vec<_> = changes[0].isr.iter().map(|m| m.broker_epoch).collect();
            (key.clone(), epochs)
        };
        assert_eq!(epochs(1), (TopicKey::Name("t".to_owned()), vec![None, None]));
        assert_eq!(epochs(2), (TopicKey::Id(Uuid([1; 16])), vec![None, None]));
        assert_eq!(epochs(3), (TopicKey::Id(Uuid([1; 16])), vec![None, Some(77)]));
    }

    #[test]
    fn who_is_ineligible_is_told_in_the_words_of_the_version() {
        let told = |version| code(version, IsrRefusal::IneligibleReplica);
        assert_eq!(told(1), ErrorCode::OPERATION_NOT_ATTEMPTED);
        assert_eq!(told(2), ErrorCode::INELIGIBLE_REPLICA);
    }
}
