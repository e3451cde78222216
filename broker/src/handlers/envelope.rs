//! Envelope (key 58): a request that another broker forwards for its client (KIP-590).
//!
//! Version 0. Brokers beside ZooKeeper forward nothing: as Apache's, this one closes the
//! connection.
//!
//! Differs from Apache: in nothing known.

use std::sync::Arc;

use protocol::messages::envelope::{EnvelopeRequest, EnvelopeResponse};

use crate::broker::Broker;
use crate::request::{Reply, RequestContext};

pub fn handle(
    _broker: &Arc<Broker>,
    _context: &RequestContext,
    _request: EnvelopeRequest,
) -> Reply<EnvelopeResponse> {
    Reply::Close("requests are not forwarded beside ZooKeeper".to_owned())
}
