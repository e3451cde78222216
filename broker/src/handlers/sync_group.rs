//! SyncGroup (key 14): the leader hands over the assignment, everyone receives theirs.
//!
//! Versions 0 to 5: v3 static members · v5 protocol type and name, which must be there and match.
//! The answer comes when the leader has sent the assignment and it is stored.
//!
//! Errors: GROUP_AUTHORIZATION_FAILED, INVALID_GROUP_ID, COORDINATOR_NOT_AVAILABLE,
//! NOT_COORDINATOR, UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID, ILLEGAL_GENERATION,
//! INCONSISTENT_GROUP_PROTOCOL, REBALANCE_IN_PROGRESS, UNKNOWN_SERVER_ERROR.
//!
//! Differs from Apache: a member removed while it waits is answered UNKNOWN_MEMBER_ID, and a
//! request whose place another one takes REBALANCE_IN_PROGRESS; there both are never answered.

use bytes::Bytes;
use coordinator::group::request::{Caller, SyncAnswer, SyncRequest};
use protocol::error_code::ErrorCode;
use protocol::messages::sync_group::{
    SyncGroupRequest, SyncGroupRequestAssignment, SyncGroupResponse,
};

use super::group_error;
use crate::authorizer::{Authorizer, Group, op};
use crate::groups::Groups;
use crate::request::{Reply, RequestContext};

pub fn handle(
    authorizer: &Authorizer,
    groups: &Groups,
    context: &RequestContext,
    request: SyncGroupRequest,
) -> Reply<SyncGroupResponse> {
    let named = request.protocol_type.is_some() && request.protocol_name.is_some();
    if context.api_version >= 5 && !named {
        return Reply::Now(refuse(ErrorCode::INCONSISTENT_GROUP_PROTOCOL));
    }
    let Ok(group) = authorizer.authorize::<op::Read, Group>(context, &request.group_id) else {
        return Reply::Now(refuse(ErrorCode::GROUP_AUTHORIZATION_FAILED));
    };
    // What the group keeps must not keep the frame.
    let assignment = |given: SyncGroupRequestAssignment| {
        (given.member_id, Bytes::copy_from_slice(&given.assignment))
    };
    let sync = SyncRequest {
        caller: Caller {
            member_id: request.member_id,
            instance_id: request.group_instance_id,
            generation: request.generation_id,
        },
        protocol_type: request.protocol_type,
        protocol: request.protocol_name,
        assignments: request.assignments.into_iter().map(assignment).collect(),
    };
    let syncing = groups.sync(&group, sync);
    Reply::later(async move { to_response(syncing.await) })
}

fn to_response(answer: SyncAnswer) -> SyncGroupResponse {
    SyncGroupResponse {
        throttle_time_ms: 0,
        error_code: group_error::number(answer.error),
        protocol_type: answer.protocol_type,
        protocol_name: answer.protocol,
        assignment: answer.assignment,
    }
}

fn refuse(code: ErrorCode) -> SyncGroupResponse {
    SyncGroupResponse { error_code: code.0, ..Default::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testbed::{Testbed, answer, context, now};

    #[tokio::test]
    async fn a_member_is_told_its_assignment() {
        let bed = Testbed::new();
        bed.coordinate_groups().await;
        let member = bed.member("g").await;
        let sync = |protocol: &str| SyncGroupRequest {
            group_id: "g".to_owned(),
            generation_id: member.generation,
            member_id: member.member_id.clone(),
            protocol_type: Some("consumer".to_owned()),
            protocol_name: Some(protocol.to_owned()),
            ..SyncGroupRequest::default()
        };
        let ask = async |protocol| {
            answer(handle(&bed.authorizer, &bed.groups, &context(5), sync(protocol))).await
        };
        let told = ask("range").await;
        assert_eq!((told.error_code, &told.assignment[..]), (0, &b"a"[..]));
        assert_eq!(ask("other").await.error_code, ErrorCode::INCONSISTENT_GROUP_PROTOCOL.0);
    }

    #[tokio::test]
    async fn version_5_names_the_protocol_before_anything_else_is_looked_at() {
        let bed = Testbed::new();
        let authorizer = Authorizer::allow_all().but::<op::Read, Group>("g");
        let code = |version| {
            let request = SyncGroupRequest { group_id: "g".to_owned(), ..Default::default() };
            let refused = now(handle(&authorizer, &bed.groups, &context(version), request));
            ErrorCode(refused.error_code)
        };
        assert_eq!(code(5), ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        assert_eq!(code(4), ErrorCode::GROUP_AUTHORIZATION_FAILED);
    }
}
