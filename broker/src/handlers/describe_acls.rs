//! DescribeAcls (key 29): access control lists that match a filter.
//!
//! Versions 0 to 3. No authorizer can be configured yet, so there are no lists.
//!
//! Errors: SECURITY_DISABLED. A filter with an element that is not known (0) closes the connection.
//!
//! Differs from Apache: no authorizer is supported.

use std::sync::Arc;

use protocol::error_code::ErrorCode;
use protocol::messages::describe_acls::{DescribeAclsRequest, DescribeAclsResponse};

use crate::broker::Broker;
use crate::request::{Reply, RequestContext};

/// What Kafka calls UNKNOWN, in every part of a list or a filter.
pub const UNKNOWN: i8 = 0;

pub fn handle(
    _broker: &Arc<Broker>,
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
