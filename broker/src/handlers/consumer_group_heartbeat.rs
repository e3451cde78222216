//! ConsumerGroupHeartbeat (key 68): the new consumer protocol (KIP-848), which no broker beside
//! ZooKeeper speaks.
//!
//! Version 0. Always UNSUPPORTED_VERSION, as 3.9.1 answers with its classic group coordinator.
//!
//! Differs from Apache: in nothing known.

use std::sync::Arc;

use protocol::error_code::ErrorCode;
use protocol::messages::consumer_group_heartbeat::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse,
};

use crate::broker::{Broker, Reply, RequestContext};

pub fn handle(
    _broker: &Arc<Broker>,
    _context: &RequestContext,
    _request: ConsumerGroupHeartbeatRequest,
) -> Reply<ConsumerGroupHeartbeatResponse> {
    Reply::Now(ConsumerGroupHeartbeatResponse {
        error_code: ErrorCode::UNSUPPORTED_VERSION.0,
        ..Default::default()
    })
}
