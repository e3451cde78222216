//! ConsumerGroupDescribe (key 69): groups of the new consumer protocol (KIP-848), of which there
//! are none beside ZooKeeper.
//!
//! Version 0. UNSUPPORTED_VERSION for every group, as 3.9.1 answers with its classic group
//! coordinator.
//!
//! Differs from Apache: in nothing known.

use std::sync::Arc;

use protocol::error_code::ErrorCode;
use protocol::messages::consumer_group_describe::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, DescribedGroup,
};

use crate::broker::{Broker, Reply, RequestContext};

pub fn handle(
    _broker: &Arc<Broker>,
    _context: &RequestContext,
    request: ConsumerGroupDescribeRequest,
) -> Reply<ConsumerGroupDescribeResponse> {
    let refused = |group_id| DescribedGroup {
        group_id,
        error_code: ErrorCode::UNSUPPORTED_VERSION.0,
        ..Default::default()
    };
    Reply::Now(ConsumerGroupDescribeResponse {
        groups: request.group_ids.into_iter().map(refused).collect(),
        ..Default::default()
    })
}
