//! Heartbeat (key 12): a member stays in its group, and hears whether it must join again.
//!
//! Versions 0 to 4: v3 static members.
//!
//! Errors: GROUP_AUTHORIZATION_FAILED, INVALID_GROUP_ID, COORDINATOR_NOT_AVAILABLE,
//! NOT_COORDINATOR, UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID, ILLEGAL_GENERATION,
//! REBALANCE_IN_PROGRESS. While the group is being loaded there is none, and nobody expires.
//!
//! Differs from Apache: in nothing known.

use std::sync::Arc;

use coordinator::group::request::Caller;
use protocol::error_code::ErrorCode;
use protocol::messages::heartbeat::{HeartbeatRequest, HeartbeatResponse};

use super::group_error;
use crate::authorizer::{Resource, op};
use crate::broker::{Broker, Reply, RequestContext};

pub fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: HeartbeatRequest,
) -> Reply<HeartbeatResponse> {
    let group = Resource::Group(&request.group_id);
    if broker.authorizer.authorize::<op::Read>(context, group).is_err() {
        return Reply::Now(respond(ErrorCode::GROUP_AUTHORIZATION_FAILED.0));
    }
    let caller = Caller {
        member_id: request.member_id,
        instance_id: request.group_instance_id,
        generation: request.generation_id,
    };
    let beating = broker.groups.heartbeat(&request.group_id, caller);
    Reply::later(async move { respond(group_error::number(beating.await.err())) })
}

fn respond(error_code: i16) -> HeartbeatResponse {
    HeartbeatResponse { throttle_time_ms: 0, error_code }
}
