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

#[cfg(test)]
mod tests {
    use protocol::messages::leave_group::MemberIdentity;

    use super::*;
    use crate::testbed::{Testbed, answer, context, now};

    #[tokio::test]
    async fn each_member_has_its_result_and_before_version_3_the_only_one_is_the_answers() {
        let bed = Testbed::new();
        bed.coordinate_groups().await;
        let member = bed.member("g").await.member_id;
        let leave = |ids: &[&str]| LeaveGroupRequest {
            group_id: "g".to_owned(),
            member_id: ids[0].to_owned(),
            members: ids
                .iter()
                .map(|id| MemberIdentity { member_id: (*id).to_owned(), ..Default::default() })
                .collect(),
        };
        let ask = async |version, request| {
            answer(handle(&bed.authorizer, &bed.groups, &context(version), request)).await
        };
        let unknown = ErrorCode::UNKNOWN_MEMBER_ID.0;
        assert_eq!(ask(2, leave(&["m"])).await.error_code, unknown);
        let answer = ask(5, leave(&["m", &member])).await;
        let codes: Vec<_> = answer.members.iter().map(|member| member.error_code).collect();
        assert_eq!((answer.error_code, codes), (0, vec![unknown, 0]));
        assert_eq!(ask(2, leave(&[&member])).await.error_code, unknown, "it has left");
    }

    #[tokio::test]
    async fn a_group_that_may_not_be_read_is_refused_at_once() {
        let bed = Testbed::new();
        let authorizer = Authorizer::allow_all().but::<op::Read, Group>("g");
        let request = LeaveGroupRequest { group_id: "g".to_owned(), ..Default::default() };
        let refused = now(handle(&authorizer, &bed.groups, &context(5), request));
        assert_eq!(refused.error_code, ErrorCode::GROUP_AUTHORIZATION_FAILED.0);
    }
}
