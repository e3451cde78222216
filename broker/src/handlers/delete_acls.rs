//! DeleteAcls (key 31): removes the access control lists that match filters.
//!
//! Versions 0 to 3. No authorizer can be configured yet.
//!
//! Errors, per filter: SECURITY_DISABLED. A filter with an element that is not known (0) closes the
//! connection. Of the whole request CLUSTER_AUTHORIZATION_FAILED, in each of its filters.
//!
//! Differs from Apache: no authorizer is supported.

use protocol::messages::delete_acls::{
    DeleteAclsFilter, DeleteAclsFilterResult, DeleteAclsRequest, DeleteAclsResponse,
};

use super::api_error::ApiError;
use super::create_acls;
use super::describe_acls::UNKNOWN;
use crate::authorizer::Authorizer;
use crate::request::{Reply, RequestContext};

pub fn handle(
    authorizer: &Authorizer,
    context: &RequestContext,
    request: DeleteAclsRequest,
) -> Reply<DeleteAclsResponse> {
    let is_unknown = |filter: &DeleteAclsFilter| {
        let kind = [filter.resource_type_filter, filter.pattern_type_filter];
        kind.contains(&UNKNOWN) || [filter.operation, filter.permission_type].contains(&UNKNOWN)
    };
    if request.filters.iter().any(is_unknown) {
        return Reply::Close("a filter has an unknown element".to_owned());
    }
    let ApiError { code, message } = create_acls::refusal(authorizer, context);
    let result = |_| DeleteAclsFilterResult {
        error_code: code.0,
        error_message: message.clone(),
        matching_acls: Vec::new(),
    };
    let filter_results = request.filters.iter().map(result).collect();
    Reply::Now(DeleteAclsResponse { filter_results, ..Default::default() })
}

#[cfg(test)]
mod tests {
    use protocol::error_code::ErrorCode;

    use super::*;
    use crate::authorizer::{CLUSTER, Cluster, op};
    use crate::testbed::{context, now};

    #[test]
    fn every_filter_is_refused_and_one_that_is_unknown_ends_the_connection() {
        let filter = DeleteAclsFilter {
            resource_type_filter: 2,
            pattern_type_filter: 3,
            operation: 3,
            permission_type: 3,
            ..DeleteAclsFilter::default()
        };
        let ask = |authorizer: &Authorizer, filters| {
            handle(authorizer, &context(3), DeleteAclsRequest { filters })
        };
        let told = |authorizer: Authorizer| {
            let results = now(ask(&authorizer, vec![filter.clone(); 2])).filter_results;
            results.into_iter().map(|result| ErrorCode(result.error_code)).collect::<Vec<_>>()
        };
        assert_eq!(told(Authorizer::allow_all()), [ErrorCode::SECURITY_DISABLED; 2]);
        let denied = Authorizer::allow_all().but::<op::Alter, Cluster>(CLUSTER);
        assert_eq!(told(denied), [ErrorCode::CLUSTER_AUTHORIZATION_FAILED; 2]);
        let unknown = DeleteAclsFilter { pattern_type_filter: UNKNOWN, ..filter.clone() };
        let closed = ask(&Authorizer::allow_all(), vec![filter, unknown]);
        assert!(matches!(closed, Reply::Close(_)));
    }
}
