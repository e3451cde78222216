//! LeaveGroup (key 13): members leave, or an administrator removes them.
//!
//! Versions 0 to 5: v3 several members, also by instance id alone · v5 reason. Before version 3
//! the one member's error is the whole answer's.
//!
//! Errors: GROUP_AUTHORIZATION_FAILED, INVALID_GROUP_ID, COORDINATOR_NOT_AVAILABLE,
//! COORDINATOR_LOAD_IN_PROGRESS, NOT_COORDINATOR; per member UNKNOWN_MEMBER_ID,
//! FENCED_INSTANCE_ID.
//!
//! Differs from Apache: in nothing known.

use coordinator::group::request::{LeaveAnswer, LeavingMember};
use protocol::error_code::ErrorCode;
use protocol::messages::leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberResponse};

use super::group_error;
use crate::authorizer::{Authorizer, Group, op};
use crate::groups::Groups;
use crate::request::{Reply, RequestContext};

pub fn handle(
    authorizer: &Authorizer,
    groups: &Groups,
    context: &RequestContext,
    request: LeaveGroupRequest,
) -> Reply<LeaveGroupResponse> {
    let version = context.api_version;
    let Ok(group) = authorizer.authorize::<op::Read, Group>(context, &request.group_id) else {
        let error_code = ErrorCode::GROUP_AUTHORIZATION_FAILED.0;
        return Reply::Now(LeaveGroupResponse { error_code, ..Default::default() });
    };
    let members: Vec<LeavingMember> = if version >= 3 {
        request
            .members
            .into_iter()
            .map(|member| LeavingMember {
                member_id: member.member_id,
                instance_id: member.group_instance_id,
                reason: member.reason,
            })
            .collect()
    } else {
        vec![LeavingMember { member_id: request.member_id, instance_id: None, reason: None }]
    };
    let leaving = groups.leave(&group, members.clone());
    Reply::later(async move { to_response(version, members, leaving.await) })
}

fn to_response(
    version: i16,
    members: Vec<LeavingMember>,
    answer: LeaveAnswer,
) -> LeaveGroupResponse {
    if version < 3 {
        let error = answer.error.or(answer.members.first().copied().flatten());
        let error_code = group_error::number(error);
        return LeaveGroupResponse { error_code, ..Default::default() };
    }
    let results = members.into_iter().zip(answer.members);
    LeaveGroupResponse {
        throttle_time_ms: 0,
        error_code: group_error::number(answer.error),
        members: results
            .map(|(member, error)| MemberResponse {
                member_id: member.member_id,
                group_instance_id: member.instance_id,
                error_code: group_error::number(error),
            })
            .collect(),
    }
}
