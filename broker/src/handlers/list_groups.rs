//! ListGroups (key 16): the groups that this broker coordinates.
//!
//! Versions 0 to 5: v4 filter by state · v5 filter by type. Without DESCRIBE on the cluster, only
//! the groups that may be described are listed.
//!
//! Errors: COORDINATOR_NOT_AVAILABLE; COORDINATOR_LOAD_IN_PROGRESS beside the groups known so
//! far.
//!
//! Differs from Apache: in nothing known.

use std::sync::Arc;

use coordinator::group::GroupError;
use coordinator::group::request::GroupListing;
use futures::FutureExt;
use protocol::error_code::ErrorCode;
use protocol::messages::list_groups::{ListGroupsRequest, ListGroupsResponse, ListedGroup};

use super::group_error;
use crate::authorizer::{Authorizer, CLUSTER, Cluster, Requester, op};
use crate::groups::Groups;
use crate::request::{Reply, RequestContext};

pub fn handle(
    authorizer: &Arc<Authorizer>,
    groups: &Groups,
    context: &RequestContext,
    request: ListGroupsRequest,
) -> Reply<ListGroupsResponse> {
    let listing = match authorizer.authorize::<op::Describe, Cluster>(context, CLUSTER) {
        Ok(cluster) => groups.list(&cluster).boxed(),
        Err(_) => groups.list_visible(Requester::new(authorizer, context)).boxed(),
    };
    Reply::later(async move { respond(&request, listing.await) })
}

fn respond(
    request: &ListGroupsRequest,
    listed: Result<(Vec<GroupListing>, bool), GroupError>,
) -> ListGroupsResponse {
    let (groups, loading) = match listed {
        Ok(listed) => listed,
        Err(error) => {
            let error_code = group_error::code(error).0;
            return ListGroupsResponse { error_code, ..Default::default() };
        }
    };
    let code = if loading { ErrorCode::COORDINATOR_LOAD_IN_PROGRESS } else { ErrorCode::NONE };
    let asked_for = groups.into_iter().filter(|group| is_asked_for(group, request));
    ListGroupsResponse {
        throttle_time_ms: 0,
        error_code: code.0,
        groups: asked_for.map(to_listed).collect(),
    }
}

/// An empty filter lets everything pass; names are compared without regard to case.
fn is_asked_for(group: &GroupListing, request: &ListGroupsRequest) -> bool {
    let passes = |filter: &[String], name: &str| {
        filter.is_empty() || filter.iter().any(|wanted| wanted.eq_ignore_ascii_case(name))
    };
    passes(&request.states_filter, group.state) && passes(&request.types_filter, group.kind.name())
}

fn to_listed(group: GroupListing) -> ListedGroup {
    ListedGroup {
        group_id: group.group_id.to_string(),
        protocol_type: group.protocol_type,
        group_state: group.state.to_owned(),
        group_type: group.kind.name().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authorizer::Group;
    use crate::testbed::{Testbed, answer, context};

    async fn names(bed: &Testbed, authorizer: Authorizer, states: &[&str]) -> Vec<String> {
        let states_filter = states.iter().map(|state| (*state).to_owned()).collect();
        let request = ListGroupsRequest { states_filter, ..ListGroupsRequest::default() };
        let listed = answer(handle(&Arc::new(authorizer), &bed.groups, &context(5), request)).await;
        assert_eq!(listed.error_code, 0);
        let mut names: Vec<_> = listed.groups.into_iter().map(|group| group.group_id).collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn states_are_compared_without_regard_to_case() {
        let bed = Testbed::new();
        bed.coordinate_groups().await;
        bed.lead("t", 1);
        bed.member("busy").await;
        bed.commit("idle", "t", 0, 7).await;
        assert_eq!(names(&bed, Authorizer::allow_all(), &[]).await, ["busy", "idle"]);
        assert_eq!(names(&bed, Authorizer::allow_all(), &["stABLE"]).await, ["busy"]);
        assert_eq!(names(&bed, Authorizer::allow_all(), &["Dead"]).await, [""; 0]);
    }

    #[tokio::test]
    async fn without_leave_for_the_cluster_each_group_needs_its_own() {
        let bed = Testbed::new();
        bed.coordinate_groups().await;
        bed.member("a").await;
        bed.member("b").await;
        let some = || Authorizer::allow_all().but::<op::Describe, Group>("a");
        assert_eq!(names(&bed, some(), &[]).await, ["a", "b"]);
        let some = some().but::<op::Describe, Cluster>(CLUSTER);
        assert_eq!(names(&bed, some, &[]).await, ["b"]);
    }

    #[tokio::test]
    async fn a_coordinator_that_was_stopped_says_so() {
        let bed = Testbed::new();
        bed.groups.stop();
        let request = ListGroupsRequest::default();
        let listed = answer(handle(&bed.authorizer, &bed.groups, &context(5), request)).await;
        assert_eq!(listed.error_code, ErrorCode::COORDINATOR_NOT_AVAILABLE.0);
    }
}
