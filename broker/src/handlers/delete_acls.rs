//! DeleteAcls (key 31): removes the access control lists that match filters.
//!
//! Versions 0 to 3. No authorizer can be configured yet.
//!
//! Errors, per filter: SECURITY_DISABLED. A filter with an element that is not known (0) closes the
//! connection. Of the whole request CLUSTER_AUTHORIZATION_FAILED, in each of its filters.
//!
//! Differs from Apache: no authorizer is supported.

use std::sync::Arc;

use protocol::messages::delete_acls::{
    DeleteAclsFilter, DeleteAclsFilterResult, DeleteAclsRequest, DeleteAclsResponse,
};

use super::api_error::ApiError;
use super::create_acls;
use super::describe_acls::UNKNOWN;
use crate::broker::Broker;
use crate::request::{Reply, RequestContext};

pub fn handle(
    broker: &Arc<Broker>,
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
    let ApiError { code, message } = create_acls::refusal(broker, context);
    let result = |_| DeleteAclsFilterResult {
        error_code: code.0,
        error_message: message.clone(),
        matching_acls: Vec::new(),
    };
    let filter_results = request.filters.iter().map(result).collect();
    Reply::Now(DeleteAclsResponse { filter_results, ..Default::default() })
}
