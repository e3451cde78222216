//! JoinGroup (key 11): a member enters or stays in a group, and waits for the rebalance.
//!
//! Versions 0 to 9: v1 rebalance timeout · v4 a new member first gets an id (KIP-394) · v5 static
//! members · v7 protocol type · v8 reason · v9 skip_assignment. The answer comes when the
//! rebalance is over; the connection waits that long. In a group of the new protocol (KIP-848) it
//! comes at once: the generation is the member's epoch, and nobody leads.
//!
//! Errors: GROUP_AUTHORIZATION_FAILED, INVALID_GROUP_ID, COORDINATOR_NOT_AVAILABLE,
//! COORDINATOR_LOAD_IN_PROGRESS, NOT_COORDINATOR, INVALID_SESSION_TIMEOUT, UNKNOWN_MEMBER_ID,
//! MEMBER_ID_REQUIRED, FENCED_INSTANCE_ID, INCONSISTENT_GROUP_PROTOCOL, GROUP_MAX_SIZE_REACHED,
//! REBALANCE_IN_PROGRESS.
//!
//! Differs from Apache: a request whose place another one of the same member takes is answered
//! REBALANCE_IN_PROGRESS; there it never is. In a group of the new protocol a subscription that
//! cannot be read is INCONSISTENT_GROUP_PROTOCOL, there UNKNOWN_SERVER_ERROR.

use bytes::Bytes;
use coordinator::group::GroupError;
use coordinator::group::request::{JoinAnswer, JoinRequest, Protocol};
use protocol::error_code::ErrorCode;
use protocol::messages::join_group::{
    JoinGroupRequest, JoinGroupResponse, JoinGroupResponseMember,
};

use super::group_error;
use crate::authorizer::{Authorizer, Group, op};
use crate::groups::Groups;
use crate::random;
use crate::request::{Reply, RequestContext};

pub fn handle(
    authorizer: &Authorizer,
    groups: &Groups,
    context: &RequestContext,
    request: JoinGroupRequest,
) -> Reply<JoinGroupResponse> {
    let version = context.api_version;
    let group_id = request.group_id.clone();
    let Ok(group) = authorizer.authorize::<op::Read, Group>(context, &group_id) else {
        return Reply::Now(refuse(version, ErrorCode::GROUP_AUTHORIZATION_FAILED));
    };
    let joining = groups.join(&group, to_join(context, request));
    Reply::later(async move { to_response(version, joining.await) })
}

fn to_join(context: &RequestContext, request: JoinGroupRequest) -> JoinRequest {
    let version = context.api_version;
    // What the group keeps must not keep the frame.
    let protocol = |protocol: protocol::messages::join_group::JoinGroupRequestProtocol| Protocol {
        name: protocol.name,
        metadata: Bytes::copy_from_slice(&protocol.metadata),
    };
    JoinRequest {
        member_id: request.member_id,
        client_id: context.client_id().to_owned(),
        client_host: context.client_host(),
        rebalance_timeout_ms: if version == 0 {
            request.session_timeout_ms
        } else {
            request.rebalance_timeout_ms
        },
        session_timeout_ms: request.session_timeout_ms,
        protocol_type: request.protocol_type,
        protocols: request.protocols.into_iter().map(protocol).collect(),
        needs_known_member_id: version >= 4 && request.group_instance_id.is_none(),
        instance_id: request.group_instance_id,
        can_skip_assignment: version >= 9,
        random: u128::from_be_bytes(random::uuid().0),
        reason: request.reason,
    }
}

fn to_response(version: i16, answer: JoinAnswer) -> JoinGroupResponse {
    let member = |member: coordinator::group::request::JoinedMember| JoinGroupResponseMember {
        member_id: member.member_id.to_string(),
        group_instance_id: member.instance_id,
        metadata: member.metadata,
    };
    JoinGroupResponse {
        throttle_time_ms: 0,
        error_code: group_error::number(answer.error),
        generation_id: answer.generation,
        protocol_type: answer.protocol_type,
        protocol_name: nullable(version, answer.protocol),
        leader: answer.leader.to_string(),
        skip_assignment: answer.skip_assignment,
        member_id: answer.member_id.to_string(),
        members: answer.members.into_iter().map(member).collect(),
    }
}

fn refuse(version: i16, code: ErrorCode) -> JoinGroupResponse {
    let answer = JoinAnswer::refused("", GroupError::UnknownServerError);
    JoinGroupResponse { error_code: code.0, ..to_response(version, answer) }
}

/// The protocol's name may be null from version 7 on; before, none is empty.
fn nullable(version: i16, name: Option<String>) -> Option<String> {
    if version < 7 { Some(name.unwrap_or_default()) } else { name }
}

#[cfg(test)]
mod tests {
    use protocol::messages::join_group::JoinGroupRequestProtocol;

    use super::*;
    use crate::testbed::{Testbed, answer, context, now};

    fn join(group: &str) -> JoinGroupRequest {
        let protocol = JoinGroupRequestProtocol { name: "range".to_owned(), ..Default::default() };
        JoinGroupRequest {
            group_id: group.to_owned(),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 10_000,
            protocol_type: "consumer".to_owned(),
            protocols: vec![protocol],
            ..JoinGroupRequest::default()
        }
    }

    #[tokio::test]
    async fn a_new_member_is_given_an_id_first_and_then_leads() {
        let bed = Testbed::new();
        bed.coordinate_groups().await;
        let ask = async |request| {
            answer(handle(&bed.authorizer, &bed.groups, &context(9), request)).await
        };
        let first = ask(join("g")).await;
        assert_eq!(first.error_code, ErrorCode::MEMBER_ID_REQUIRED.0);
        assert!(first.member_id.starts_with("c-"), "{}", first.member_id);
        assert_eq!((first.generation_id, first.protocol_name), (-1, None));
        let second =
            ask(JoinGroupRequest { member_id: first.member_id.clone(), ..join("g") }).await;
        assert_eq!((second.error_code, second.generation_id), (0, 1));
        assert_eq!((&second.leader, &second.member_id), (&first.member_id, &first.member_id));
        assert_eq!(second.protocol_name.as_deref(), Some("range"));
        assert_eq!(second.members.len(), 1);
    }

    #[tokio::test]
    async fn version_0_has_no_rebalance_timeout_and_no_null() {
        let request = JoinGroupRequest { rebalance_timeout_ms: -1, ..join("g") };
        let joining = to_join(&context(0), request.clone());
        assert_eq!((joining.rebalance_timeout_ms, joining.needs_known_member_id), (10_000, false));
        let static_member = JoinGroupRequest { group_instance_id: Some("i".to_owned()), ..request };
        assert!(!to_join(&context(9), static_member).needs_known_member_id);
        let refused = |version| refuse(version, ErrorCode::UNKNOWN_SERVER_ERROR).protocol_name;
        assert_eq!((refused(6), refused(7)), (Some(String::new()), None));
    }

    #[tokio::test]
    async fn a_group_that_may_not_be_read_is_refused_at_once() {
        let bed = Testbed::new();
        let authorizer = Authorizer::allow_all().but::<op::Read, Group>("g");
        let refused = now(handle(&authorizer, &bed.groups, &context(9), join("g")));
        assert_eq!(refused.error_code, ErrorCode::GROUP_AUTHORIZATION_FAILED.0);
        assert_eq!(refused.generation_id, -1);
    }
}
