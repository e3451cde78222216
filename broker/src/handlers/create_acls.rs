//! CreateAcls (key 30): adds access control lists.
//!
//! Versions 0 to 3. No authorizer can be configured yet.
//!
//! Errors, per list: SECURITY_DISABLED. A list with an element that is not known (0) closes the
//! connection. Of the whole request CLUSTER_AUTHORIZATION_FAILED, in each of its lists.
//!
//! Differs from Apache: no authorizer is supported.

use std::sync::Arc;

use protocol::error_code::ErrorCode;
use protocol::messages::create_acls::{
    AclCreation, AclCreationResult, CreateAclsRequest, CreateAclsResponse,
};

use super::api_error::ApiError;
use super::describe_acls::UNKNOWN;
use crate::authorizer::{CLUSTER, Cluster, op};
use crate::broker::Broker;
use crate::request::{Reply, RequestContext};

/// What a change of lists comes to without an authorizer.
pub fn refusal(broker: &Broker, context: &RequestContext) -> ApiError {
    if broker.authorizer.authorize::<op::Alter, Cluster>(context, CLUSTER).is_err() {
        return ApiError::plain(ErrorCode::CLUSTER_AUTHORIZATION_FAILED);
    }
    ApiError::new(ErrorCode::SECURITY_DISABLED, &"No Authorizer is configured.")
}

pub fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: CreateAclsRequest,
) -> Reply<CreateAclsResponse> {
    let is_unknown = |list: &AclCreation| {
        let kind = [list.resource_type, list.resource_pattern_type];
        kind.contains(&UNKNOWN) || [list.operation, list.permission_type].contains(&UNKNOWN)
    };
    if request.creations.iter().any(is_unknown) {
        return Reply::Close("a list has an unknown element".to_owned());
    }
    let ApiError { code, message } = refusal(broker, context);
    let result = |_| AclCreationResult { error_code: code.0, error_message: message.clone() };
    let results = request.creations.iter().map(result).collect();
    Reply::Now(CreateAclsResponse { results, ..Default::default() })
}
