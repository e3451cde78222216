//! DescribeGroups (key 15): state and members of groups.
//!
//! Versions 0 to 5: v3 authorised operations · v4 static members. A group that does not exist is
//! `Dead` and no error.
//!
//! Errors, per group: GROUP_AUTHORIZATION_FAILED, COORDINATOR_NOT_AVAILABLE,
//! COORDINATOR_LOAD_IN_PROGRESS, NOT_COORDINATOR.
//!
//! Differs from Apache: groups come in the order of the request; there those that the caller may
//! not see come first.

use std::sync::Arc;

use coordinator::group::request::{GroupDescription, MemberDescription};
use futures::future::join_all;
use protocol::error_code::ErrorCode;
use protocol::messages::describe_groups::{
    DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup, DescribedGroupMember,
};

use super::{group_error, operations};
use crate::authorizer::{Authorizer, Group, Requester, op};
use crate::groups::Groups;
use crate::request::{Reply, RequestContext};

pub fn handle(
    authorizer: &Arc<Authorizer>,
    groups: &Groups,
    context: &RequestContext,
    request: DescribeGroupsRequest,
) -> Reply<DescribeGroupsResponse> {
    let operations = context.api_version >= 3 && request.include_authorized_operations;
    let requester = Requester::new(authorizer, context);
    let describing: Vec<_> = request
        .groups
        .into_iter()
        .map(|group_id| {
            let group = authorizer.authorize::<op::Describe, Group>(context, &group_id);
            let describing = group.ok().map(|group| groups.describe(&group));
            let operations = match operations {
                true => operations::on_group(&requester, &group_id),
                false => i32::MIN,
            };
            async move {
                let described = match describing {
                    Some(describing) => describing.await.map_err(group_error::code),
                    None => Err(ErrorCode::GROUP_AUTHORIZATION_FAILED),
                };
                match described {
                    Ok(group) => to_described(group_id, group, operations),
                    Err(code) => {
                        DescribedGroup { error_code: code.0, group_id, ..Default::default() }
                    }
                }
            }
        })
        .collect();
    Reply::later(async move {
        DescribeGroupsResponse { throttle_time_ms: 0, groups: join_all(describing).await }
    })
}

fn to_described(
    group_id: String,
    group: GroupDescription,
    authorized_operations: i32,
) -> DescribedGroup {
    let member = |member: MemberDescription| DescribedGroupMember {
        member_id: member.member_id.to_string(),
        group_instance_id: member.instance_id,
        client_id: member.client_id,
        client_host: member.client_host,
        member_metadata: member.metadata,
        member_assignment: member.assignment,
    };
    DescribedGroup {
        error_code: ErrorCode::NONE.0,
        group_id,
        group_state: group.state.name().to_owned(),
        protocol_type: group.protocol_type,
        protocol_data: group.protocol,
        members: group.members.into_iter().map(member).collect(),
        authorized_operations,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testbed::{Testbed, answer, context};

    #[tokio::test]
    async fn what_does_not_exist_is_dead_and_what_is_denied_is_not_shown() {
        let bed = Testbed::new();
        bed.coordinate_groups().await;
        let member = bed.member("g").await.member_id;
        let authorizer = Authorizer::allow_all()
            .but::<op::Describe, Group>("denied")
            .but::<op::Delete, Group>("g");
        let authorizer = Arc::new(authorizer);
        let ask = async |version| {
            let request = DescribeGroupsRequest {
                groups: ["denied", "g", "none"].map(str::to_owned).to_vec(),
                include_authorized_operations: true,
            };
            answer(handle(&authorizer, &bed.groups, &context(version), request)).await.groups
        };
        let groups = ask(5).await;
        let shown: Vec<_> = groups
            .iter()
            .map(|group| (ErrorCode(group.error_code), group.group_state.as_str()))
            .collect();
        let denied = ErrorCode::GROUP_AUTHORIZATION_FAILED;
        assert_eq!(shown, [(denied, ""), (ErrorCode::NONE, "Stable"), (ErrorCode::NONE, "Dead")]);
        assert_eq!(groups[1].members[0].member_id, member);
        assert_eq!(groups[1].authorized_operations, 1 << 3 | 1 << 8, "read and describe");
        assert_eq!(ask(2).await[1].authorized_operations, i32::MIN, "nobody asked");
    }
}
