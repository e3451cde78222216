//! DescribeAcls (key 29): access control lists that match a filter.
//!
//! Versions 0 to 3. No authorizer can be configured yet, so there are no lists.
//!
//! Errors: SECURITY_DISABLED. A filter with an element that is not known (0) closes the connection.
//!
//! Differs from Apache: no authorizer is supported.

use protocol::error_code::ErrorCode;
use protocol::messages::describe_acls::{DescribeAclsRequest, DescribeAclsResponse};

use crate::request::{Reply, RequestContext};

/// What Kafka calls UNKNOWN, in every part of a list or a filter.
pub const UNKNOWN: i8 = 0;

pub fn handle(
    _context: &RequestContext,
    request: DescribeAclsRequest,
) -> Reply<DescribeAclsResponse> {
    let parts = [
        request.resource_type_filter,
        request.pattern_type_filter,
        request.operation,
        request.permission_type,
    ];
    if parts.contains(&UNKNOWN) {
        return Reply::Close("the filter has an unknown element".to_owned());
    }
    Reply::Now(DescribeAclsResponse {
        error_code: ErrorCode::SECURITY_DISABLED.0,
        error_message: Some("No Authorizer is configured on the broker".to_owned()),
        ..Default::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testbed::{context, now};

    #[test]
    fn without_an_authorizer_there_are_no_lists_but_filters_are_looked_at() {
        let whole = DescribeAclsRequest {
            resource_type_filter: 2,
            pattern_type_filter: 3,
            operation: 3,
            permission_type: 3,
            ..DescribeAclsRequest::default()
        };
        let told = now(handle(&context(3), whole.clone()));
        assert_eq!(told.error_code, ErrorCode::SECURITY_DISABLED.0);
        assert_eq!(
            told.error_message.as_deref(),
            Some("No Authorizer is configured on the broker")
        );
        for unknown in [
            DescribeAclsRequest { resource_type_filter: UNKNOWN, ..whole.clone() },
            DescribeAclsRequest { pattern_type_filter: UNKNOWN, ..whole.clone() },
            DescribeAclsRequest { operation: UNKNOWN, ..whole.clone() },
            DescribeAclsRequest { permission_type: UNKNOWN, ..whole },
        ] {
            assert!(matches!(handle(&context(3), unknown), Reply::Close(_)));
        }
    }
}
