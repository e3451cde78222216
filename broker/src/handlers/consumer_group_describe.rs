//! ConsumerGroupDescribe (key 69): groups of the new consumer protocol (KIP-848), their members and
//! who has what.
//!
//! Versions 0 and 1: v1 which protocol a member speaks. As ConsumerGroupHeartbeat it is served only
//! where the configuration asks for it; otherwise version 0 alone is advertised, and every group is
//! UNSUPPORTED_VERSION.
//!
//! Errors, per group: GROUP_AUTHORIZATION_FAILED, UNSUPPORTED_VERSION, INVALID_GROUP_ID,
//! COORDINATOR_NOT_AVAILABLE, COORDINATOR_LOAD_IN_PROGRESS, NOT_COORDINATOR, GROUP_ID_NOT_FOUND.
//!
//! Differs from Apache: 3.9.2 never serves this beside ZooKeeper, and knows no version 1. Groups
//! come in the order of the request.

use std::sync::Arc;

use coordinator::group::request::{
    ConsumerDescription, ConsumerMemberDescription, NamedPartitions,
};
use futures::future::join_all;
use protocol::error_code::ErrorCode;
use protocol::messages::consumer_group_describe::{
    Assignment, ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, DescribedGroup,
    Member, TopicPartitions,
};

use super::{consumer_group_heartbeat, group_error, operations};
use crate::authorizer::{Authorizer, Group, Requester, op};
use crate::consumer_protocol::{ConsumerProtocol, NotServed};
use crate::groups::Groups;
use crate::request::{Reply, RequestContext};

const CLASSIC: i8 = 0;
const CONSUMER: i8 = 1;

pub fn handle(
    authorizer: &Arc<Authorizer>,
    protocol: &ConsumerProtocol,
    groups: &Groups,
    context: &RequestContext,
    request: ConsumerGroupDescribeRequest,
) -> Reply<ConsumerGroupDescribeResponse> {
    if let Err(why) = protocol.check() {
        if context.api_version > 0 && why == NotServed::Off {
            return Reply::Close(why.to_string());
        }
        let code = consumer_group_heartbeat::not_served(&why);
        // Apache's classic coordinator has no more to say than the code.
        let message = (why != NotServed::Off).then(|| why.to_string());
        let groups = request.group_ids.into_iter().map(|id| refuse(id, code, message.clone()));
        let groups = groups.collect();
        return Reply::Now(ConsumerGroupDescribeResponse { throttle_time_ms: 0, groups });
    }
    let requester = Requester::new(authorizer, context);
    let describing: Vec<_> = request
        .group_ids
        .into_iter()
        .map(|group_id| {
            let group = authorizer.authorize::<op::Describe, Group>(context, &group_id);
            let describing = group.ok().map(|group| groups.describe_consumer(&group));
            let operations = match request.include_authorized_operations {
                true => operations::on_group(&requester, &group_id),
                false => i32::MIN,
            };
            async move {
                let Some(describing) = describing else {
                    return refuse(group_id, ErrorCode::GROUP_AUTHORIZATION_FAILED, None);
                };
                match describing.await {
                    Ok(Some(group)) => to_described(group_id, group, operations),
                    Ok(None) => {
                        let message = format!("Group {group_id} is not a consumer group.");
                        refuse(group_id, ErrorCode::GROUP_ID_NOT_FOUND, Some(message))
                    }
                    Err(error) => refuse(group_id, group_error::code(error), None),
                }
            }
        })
        .collect();
    Reply::later(async move {
        let groups = join_all(describing).await;
        ConsumerGroupDescribeResponse { throttle_time_ms: 0, groups }
    })
}

fn refuse(group_id: String, code: ErrorCode, error_message: Option<String>) -> DescribedGroup {
    DescribedGroup { group_id, error_code: code.0, error_message, ..Default::default() }
}

fn to_described(
    group_id: String,
    group: ConsumerDescription,
    authorized_operations: i32,
) -> DescribedGroup {
    DescribedGroup {
        error_code: ErrorCode::NONE.0,
        error_message: None,
        group_id,
        group_state: group.state.name().to_owned(),
        group_epoch: group.epoch,
        assignment_epoch: group.target_epoch,
        assignor_name: group.assignor.name().to_owned(),
        members: group.members.into_iter().map(to_member).collect(),
        authorized_operations,
    }
}

fn to_member(member: ConsumerMemberDescription) -> Member {
    let subscription = member.subscription;
    Member {
        member_id: member.member_id.to_string(),
        instance_id: subscription.instance_id,
        rack_id: subscription.rack_id,
        member_epoch: member.epoch,
        client_id: subscription.client_id,
        client_host: subscription.client_host,
        subscribed_topic_names: subscription.topics.into_iter().collect(),
        subscribed_topic_regex: Some(subscription.regex.unwrap_or_default()),
        assignment: to_assignment(member.assigned),
        target_assignment: to_assignment(member.target),
        member_type: if member.is_classic { CLASSIC } else { CONSUMER },
    }
}

fn to_assignment(topics: Vec<NamedPartitions>) -> Assignment {
    let topic = |topic: NamedPartitions| TopicPartitions {
        topic_id: topic.topic_id,
        topic_name: topic.topic.to_string(),
        partitions: topic.partitions,
    };
    Assignment { topic_partitions: topics.into_iter().map(topic).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testbed::{Testbed, answer, context, now};

    const ON: &[(&str, &str)] = &[("group.coordinator.rebalance.protocols", "classic,consumer")];

    fn ask(bed: &Testbed, version: i16) -> Reply<ConsumerGroupDescribeResponse> {
        let authorizer = Arc::new(Authorizer::allow_all().but::<op::Describe, Group>("denied"));
        let request = ConsumerGroupDescribeRequest {
            group_ids: ["denied", "g"].map(str::to_owned).to_vec(),
            include_authorized_operations: true,
        };
        handle(&authorizer, &bed.consumer_protocol, &bed.groups, &context(version), request)
    }

    #[tokio::test]
    async fn every_group_is_refused_where_the_protocol_is_not_served() {
        let off = Testbed::new();
        let groups = now(ask(&off, 0)).groups;
        let codes: Vec<_> = groups.iter().map(|group| ErrorCode(group.error_code)).collect();
        assert_eq!(codes, [ErrorCode::UNSUPPORTED_VERSION; 2]);
        assert!(matches!(ask(&off, 1), Reply::Close(_)));
        let early = now(ask(&Testbed::with(ON), 1)).groups;
        assert_eq!(early[1].error_code, ErrorCode::COORDINATOR_NOT_AVAILABLE.0);
        assert!(early[1].error_message.is_some());
    }

    #[tokio::test]
    async fn a_classic_group_is_none_of_these() {
        let bed = Testbed::with(ON);
        bed.consumer_protocol.others([].into());
        bed.coordinate_groups().await;
        bed.member("g").await;
        let groups = answer(ask(&bed, 1)).await.groups;
        assert_eq!(groups[0].error_code, ErrorCode::GROUP_AUTHORIZATION_FAILED.0);
        assert_eq!(groups[1].error_code, ErrorCode::GROUP_ID_NOT_FOUND.0);
        let text = groups[1].error_message.as_deref();
        assert_eq!(text, Some("Group g is not a consumer group."));
    }
}
