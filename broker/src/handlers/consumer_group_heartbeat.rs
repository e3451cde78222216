//! ConsumerGroupHeartbeat (key 68): membership in groups of the new consumer protocol (KIP-848).
//!
//! Versions 0 and 1: v1 a regular expression instead of topics, members that name themselves.
//! Served with `group.coordinator.rebalance.protocols=classic,consumer`, while every registered
//! broker is one of ours with that setting; beside others UNSUPPORTED_VERSION says why it is not.
//! Without the setting version 0 alone is advertised, and the code is all that is answered.
//!
//! Errors: GROUP_AUTHORIZATION_FAILED, UNSUPPORTED_VERSION, INVALID_REQUEST, INVALID_GROUP_ID,
//! COORDINATOR_NOT_AVAILABLE, COORDINATOR_LOAD_IN_PROGRESS, NOT_COORDINATOR, GROUP_ID_NOT_FOUND,
//! UNKNOWN_MEMBER_ID, FENCED_MEMBER_EPOCH, FENCED_INSTANCE_ID, UNRELEASED_INSTANCE_ID,
//! UNSUPPORTED_ASSIGNOR, INVALID_REGULAR_EXPRESSION, GROUP_MAX_SIZE_REACHED.
//!
//! Differs from Apache: 3.9.2 never serves this beside ZooKeeper, and knows no version 1. A
//! heartbeat that changes nothing is answered at once, even while an earlier change is on its way
//! into the log; there it waits for that. Changed topics are seen with the next heartbeat, there up
//! to some minutes later. A regular expression is one of Rust's, close to the RE2 of Kafka 4. As
//! in Kafka 4, and not in 3.9.2, a classic group may become one of the new protocol while members
//! have no assignment yet, and a static member may take the place of its instance's classic one.
//! The record of a group that has just become a classic one says the next generation, so that a
//! successor of its coordinator has everyone join again.

use coordinator::group::consumer::Partitions;
use coordinator::group::request::{ConsumerAnswer, ConsumerHeartbeat, Refusal};
use protocol::error_code::ErrorCode;
use protocol::messages::consumer_group_heartbeat::{
    Assignment, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, TopicPartitions,
};

use super::group_error;
use crate::authorizer::{Authorizer, Group, op};
use crate::consumer_protocol::{ConsumerProtocol, NotServed};
use crate::groups::Groups;
use crate::random;
use crate::request::{Reply, RequestContext};

pub fn handle(
    authorizer: &Authorizer,
    protocol: &ConsumerProtocol,
    groups: &Groups,
    context: &RequestContext,
    request: ConsumerGroupHeartbeatRequest,
) -> Reply<ConsumerGroupHeartbeatResponse> {
    if let Err(why) = protocol.check() {
        if context.api_version > 0 && why == NotServed::Off {
            return Reply::Close(why.to_string());
        }
        // Apache has no more to say than the code.
        let message = (why != NotServed::Off).then(|| why.to_string());
        return Reply::Now(refuse(not_served(&why), message));
    }
    let group_id = request.group_id.clone();
    let Ok(group) = authorizer.authorize::<op::Read, Group>(context, &group_id) else {
        return Reply::Now(refuse(ErrorCode::GROUP_AUTHORIZATION_FAILED, None));
    };
    if request.group_id.is_empty() {
        let message = Some("GroupId can't be empty.".to_owned());
        return Reply::Now(refuse(ErrorCode::INVALID_REQUEST, message));
    }
    if request.member_id.is_empty() && context.api_version >= 1 {
        let message = Some("MemberId can't be empty.".to_owned());
        return Reply::Now(refuse(ErrorCode::INVALID_REQUEST, message));
    }
    let beating = groups.consumer_heartbeat(&group, to_heartbeat(context, request));
    Reply::later(async move {
        match beating.await {
            Ok(answer) => to_response(answer),
            Err(Refusal { error, message }) => refuse(group_error::code(error), message),
        }
    })
}

/// Beside brokers that lose such groups nobody can be served, ever so often as it asks.
pub fn not_served(why: &NotServed) -> ErrorCode {
    match why {
        NotServed::NotKnownYet => ErrorCode::COORDINATOR_NOT_AVAILABLE,
        NotServed::Off | NotServed::Others(_) => ErrorCode::UNSUPPORTED_VERSION,
    }
}

fn refuse(code: ErrorCode, message: Option<String>) -> ConsumerGroupHeartbeatResponse {
    ConsumerGroupHeartbeatResponse {
        error_code: code.0,
        error_message: message,
        ..Default::default()
    }
}

fn to_heartbeat(
    context: &RequestContext,
    request: ConsumerGroupHeartbeatRequest,
) -> ConsumerHeartbeat {
    let owned = |topics: Vec<TopicPartitions>| -> Partitions {
        let named = topics.into_iter().filter(|topic| !topic.partitions.is_empty());
        named.map(|topic| (topic.topic_id, topic.partitions.into_iter().collect())).collect()
    };
    ConsumerHeartbeat {
        member_id: request.member_id,
        epoch: request.member_epoch,
        instance_id: request.instance_id,
        rack_id: request.rack_id,
        client_id: context.client_id().to_owned(),
        client_host: context.client_host(),
        rebalance_timeout_ms: (request.rebalance_timeout_ms != -1)
            .then_some(request.rebalance_timeout_ms),
        topics: request.subscribed_topic_names,
        regex: request.subscribed_topic_regex,
        assignor: request.server_assignor,
        owned: request.topic_partitions.map(owned),
        random: u128::from_be_bytes(random::uuid().0),
    }
}

fn to_response(answer: ConsumerAnswer) -> ConsumerGroupHeartbeatResponse {
    let topics = |partitions: Partitions| Assignment {
        topic_partitions: partitions
            .into_iter()
            .map(|(topic_id, partitions)| TopicPartitions {
                topic_id,
                partitions: partitions.into_iter().collect(),
            })
            .collect(),
    };
    ConsumerGroupHeartbeatResponse {
        member_id: Some(answer.member_id.to_string()),
        member_epoch: answer.epoch,
        heartbeat_interval_ms: answer.heartbeat_interval_ms,
        assignment: answer.assignment.map(topics),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testbed::{Testbed, answer, context, now, topic_id};

    const ON: &[(&str, &str)] = &[("group.coordinator.rebalance.protocols", "classic,consumer")];

    fn beat(group: &str, member: &str) -> ConsumerGroupHeartbeatRequest {
        ConsumerGroupHeartbeatRequest {
            group_id: group.to_owned(),
            member_id: member.to_owned(),
            rebalance_timeout_ms: 60_000,
            subscribed_topic_names: Some(vec!["t".to_owned()]),
            topic_partitions: Some(Vec::new()),
            ..ConsumerGroupHeartbeatRequest::default()
        }
    }

    fn ask(
        bed: &Testbed,
        version: i16,
        request: ConsumerGroupHeartbeatRequest,
    ) -> Reply<ConsumerGroupHeartbeatResponse> {
        let authorizer = Authorizer::allow_all().but::<op::Read, Group>("denied");
        handle(&authorizer, &bed.consumer_protocol, &bed.groups, &context(version), request)
    }

    #[tokio::test]
    async fn it_is_served_only_where_every_broker_does() {
        let off = Testbed::new();
        let refused = now(ask(&off, 0, beat("g", "")));
        assert_eq!(refused.error_code, ErrorCode::UNSUPPORTED_VERSION.0);
        assert_eq!(refused.error_message, None);
        assert!(matches!(ask(&off, 1, beat("g", "m")), Reply::Close(_)));
        let on = Testbed::with(ON);
        let refused = now(ask(&on, 1, beat("g", "m")));
        assert_eq!(refused.error_code, ErrorCode::COORDINATOR_NOT_AVAILABLE.0);
        on.consumer_protocol.others([9].into());
        let refused = now(ask(&on, 1, beat("g", "m")));
        assert_eq!(refused.error_code, ErrorCode::UNSUPPORTED_VERSION.0);
        assert!(refused.error_message.is_some_and(|text| text.contains("{9}")));
    }

    #[tokio::test]
    async fn requests_are_looked_at_in_kafkas_order() {
        let bed = Testbed::with(ON);
        bed.consumer_protocol.others([].into());
        let code = |group, member| ErrorCode(now(ask(&bed, 1, beat(group, member))).error_code);
        assert_eq!(code("denied", ""), ErrorCode::GROUP_AUTHORIZATION_FAILED);
        assert_eq!(code("", "m"), ErrorCode::INVALID_REQUEST);
        assert_eq!(code("g", ""), ErrorCode::INVALID_REQUEST);
    }

    #[tokio::test]
    async fn a_member_is_assigned_what_it_subscribes_to() {
        let bed = Testbed::with(ON);
        bed.consumer_protocol.others([].into());
        bed.coordinate_groups().await;
        bed.lead("t", 2);
        let joined = answer(ask(&bed, 1, beat("g", "m"))).await;
        assert_eq!((joined.error_code, joined.member_epoch), (0, 1), "{joined:?}");
        let assigned = joined.assignment.expect("an assignment").topic_partitions;
        assert_eq!(assigned, [TopicPartitions { topic_id: topic_id("t"), partitions: vec![0, 1] }]);
    }
}
