//! Heartbeat (key 12): a member stays in its group, and hears whether it must join again.
//!
//! Versions 0 to 4: v3 static members.
//!
//! Errors: GROUP_AUTHORIZATION_FAILED, INVALID_GROUP_ID, COORDINATOR_NOT_AVAILABLE,
//! NOT_COORDINATOR, UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID, ILLEGAL_GENERATION,
//! REBALANCE_IN_PROGRESS. While the group is being loaded there is none, and nobody expires.
//!
//! Differs from Apache: in nothing known.

use coordinator::group::request::Caller;
use protocol::error_code::ErrorCode;
use protocol::messages::heartbeat::{HeartbeatRequest, HeartbeatResponse};

use super::group_error;
use crate::authorizer::{Authorizer, Group, op};
use crate::groups::Groups;
use crate::request::{Reply, RequestContext};

pub fn handle(
    authorizer: &Authorizer,
    groups: &Groups,
    context: &RequestContext,
    request: HeartbeatRequest,
) -> Reply<HeartbeatResponse> {
    let Ok(group) = authorizer.authorize::<op::Read, Group>(context, &request.group_id) else {
        return Reply::Now(respond(ErrorCode::GROUP_AUTHORIZATION_FAILED.0));
    };
    let caller = Caller {
        member_id: request.member_id,
        instance_id: request.group_instance_id,
        generation: request.generation_id,
    };
    let beating = groups.heartbeat(&group, caller);
    Reply::later(async move { respond(group_error::number(beating.await.err())) })
}

fn respond(error_code: i16) -> HeartbeatResponse {
    HeartbeatResponse { throttle_time_ms: 0, error_code }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testbed::{Testbed, answer, context, now};

    fn beat(group: &str) -> HeartbeatRequest {
        let (group_id, member_id) = (group.to_owned(), "m".to_owned());
        HeartbeatRequest { group_id, member_id, ..HeartbeatRequest::default() }
    }

    #[tokio::test]
    async fn only_members_are_heard_and_only_by_their_coordinator() {
        let bed = Testbed::new();
        let code = async |group| {
            let reply = handle(&bed.authorizer, &bed.groups, &context(4), beat(group));
            ErrorCode(answer(reply).await.error_code)
        };
        assert_eq!(code("g").await, ErrorCode::NOT_COORDINATOR);
        bed.coordinate_groups().await;
        assert_eq!(code("g").await, ErrorCode::UNKNOWN_MEMBER_ID);
        assert_eq!(code("").await, ErrorCode::INVALID_GROUP_ID);
    }

    #[tokio::test]
    async fn a_member_is_heard_in_its_generation() {
        let bed = Testbed::new();
        bed.coordinate_groups().await;
        let member = bed.member("g").await;
        for (ahead, expected) in [(0, ErrorCode::NONE), (1, ErrorCode::ILLEGAL_GENERATION)] {
            let request = HeartbeatRequest {
                member_id: member.member_id.clone(),
                generation_id: member.generation + ahead,
                ..beat("g")
            };
            let reply = handle(&bed.authorizer, &bed.groups, &context(4), request);
            assert_eq!(answer(reply).await.error_code, expected.0);
        }
    }

    #[tokio::test]
    async fn a_group_that_may_not_be_read_is_refused_at_once() {
        let bed = Testbed::new();
        let authorizer = Authorizer::allow_all().but::<op::Read, Group>("g");
        let reply = handle(&authorizer, &bed.groups, &context(4), beat("g"));
        assert_eq!(now(reply).error_code, ErrorCode::GROUP_AUTHORIZATION_FAILED.0);
    }
}
