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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testbed::{Testbed, answer, context};

    #[tokio::test]
    async fn every_name_is_answered_once_in_order() {
        let bed = Testbed::new();
        bed.coordinate_groups().await;
        bed.lead("t", 1);
        bed.member("busy").await;
        bed.commit("idle", "t", 0, 7).await;
        let authorizer = Authorizer::allow_all().but::<op::Delete, Group>("denied");
        let names = ["idle", "busy", "denied", "idle", "none"].map(str::to_owned);
        let request = DeleteGroupsRequest { groups_names: names.to_vec() };
        let answer = answer(handle(&authorizer, &bed.groups, &context(2), request)).await;
        let results: Vec<_> = answer
            .results
            .iter()
            .map(|result| (result.group_id.as_str(), ErrorCode(result.error_code)))
            .collect();
        let expected = [
            ("idle", ErrorCode::NONE),
            ("busy", ErrorCode::NON_EMPTY_GROUP),
            ("denied", ErrorCode::GROUP_AUTHORIZATION_FAILED),
            ("none", ErrorCode::GROUP_ID_NOT_FOUND),
        ];
        assert_eq!(results, expected);
    }
}
