//! Envelope (key 58): a request that another broker forwards for its client (KIP-590).
//!
//! Version 0. Brokers beside ZooKeeper forward nothing: as Apache's, this one closes the
//! connection.
//!
//! Differs from Apache: in nothing known.

use protocol::messages::envelope::{EnvelopeRequest, EnvelopeResponse};

use crate::request::{Reply, RequestContext};

pub fn handle(_context: &RequestContext, _request: EnvelopeRequest) -> Reply<EnvelopeResponse> {
    Reply::Close("requests are not forwarded beside ZooKeeper".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testbed::context;

    #[test]
    fn nothing_is_forwarded() {
        let reply = handle(&context(0), EnvelopeRequest::default());
        assert!(matches!(reply, Reply::Close(_)));
    }
}
