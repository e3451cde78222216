//! CreateAcls (key 30): adds access control lists.
//!
//! Versions 0 to 3. No authorizer can be configured yet.
//!
//! Errors, per list: SECURITY_DISABLED. A list with an element that is not known (0) closes the
//! connection. Of the whole request CLUSTER_AUTHORIZATION_FAILED, in each of its lists.
//!
//! Differs from Apache: no authorizer is supported.

use protocol::error_code::ErrorCode;
use protocol::messages::create_acls::{
    AclCreation, AclCreationResult, CreateAclsRequest, CreateAclsResponse,
};

use super::api_error::ApiError;
use super::describe_acls::UNKNOWN;
use crate::authorizer::{Authorizer, CLUSTER, Cluster, op};
use crate::request::{Reply, RequestContext};

/// What a change of lists comes to without an authorizer.
pub fn refusal(authorizer: &Authorizer, context: &RequestContext) -> ApiError {
    if authorizer.authorize::<op::Alter, Cluster>(context, CLUSTER).is_err() {
        return ApiError::plain(ErrorCode::CLUSTER_AUTHORIZATION_FAILED);
    }
    ApiError::new(ErrorCode::SECURITY_DISABLED, &"No Authorizer is configured.")
}

pub fn handle(
    authorizer: &Authorizer,
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
    let ApiError { code, message } = refusal(authorizer, context);
    let result = |_| AclCreationResult { error_code: code.0, error_message: message.clone() };
    let results = request.creations.iter().map(result).collect();
    Reply::Now(CreateAclsResponse { results, ..Default::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testbed::{context, now};

    #[test]
    fn every_list_is_refused_and_one_that_is_unknown_ends_the_connection() {
        let list = AclCreation {
            resource_type: 2,
            resource_pattern_type: 3,
            operation: 3,
            permission_type: 3,
            ..AclCreation::default()
        };
        let ask = |authorizer: &Authorizer, creations| {
            handle(authorizer, &context(3), CreateAclsRequest { creations })
        };
        let told = |authorizer: Authorizer| {
            let results = now(ask(&authorizer, vec![list.clone(); 2])).results;
            results.into_iter().map(|result| ErrorCode(result.error_code)).collect::<Vec<_>>()
        };
        assert_eq!(told(Authorizer::allow_all()), [ErrorCode::SECURITY_DISABLED; 2]);
        let denied = Authorizer::allow_all().but::<op::Alter, Cluster>(CLUSTER);
        assert_eq!(told(denied), [ErrorCode::CLUSTER_AUTHORIZATION_FAILED; 2]);
        let unknown = AclCreation { operation: UNKNOWN, ..list.clone() };
        let closed = ask(&Authorizer::allow_all(), vec![list, unknown]);
        assert!(matches!(closed, Reply::Close(_)));
    }
}
