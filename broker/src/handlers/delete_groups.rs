//! DeleteGroups (key 42): deletes groups without members, with their offsets.
//!
//! Versions 0 to 2. A name listed twice is answered once.
//!
//! Errors, per group: GROUP_AUTHORIZATION_FAILED, COORDINATOR_NOT_AVAILABLE,
//! COORDINATOR_LOAD_IN_PROGRESS, NOT_COORDINATOR, GROUP_ID_NOT_FOUND, NON_EMPTY_GROUP.
//!
//! Differs from Apache: results come in the order of the request; there in no order, refused groups
//! last.

use std::collections::HashSet;

use futures::future::join_all;
use protocol::error_code::ErrorCode;
use protocol::messages::delete_groups::{
    DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse,
};

use super::group_error;
use crate::authorizer::{Authorizer, Group, op};
use crate::groups::Groups;
use crate::request::{Reply, RequestContext};

pub fn handle(
    authorizer: &Authorizer,
    groups: &Groups,
    context: &RequestContext,
    request: DeleteGroupsRequest,
) -> Reply<DeleteGroupsResponse> {
    let mut seen = HashSet::new();
    let deleting: Vec<_> = request
        .groups_names
        .into_iter()
        .filter(|group_id| seen.insert(group_id.clone()))
        .map(|group_id| {
            let group = authorizer.authorize::<op::Delete, Group>(context, &group_id);
            let deleting = group.ok().map(|group| groups.delete(&group));
            async move {
                let error_code = match deleting {
                    Some(deleting) => group_error::number(deleting.await.err()),
                    None => ErrorCode::GROUP_AUTHORIZATION_FAILED.0,
                };
                DeletableGroupResult { group_id, error_code }
            }
        })
        .collect();
    Reply::later(async move {
        DeleteGroupsResponse { throttle_time_ms: 0, results: join_all(deleting).await }
    })
}
