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
