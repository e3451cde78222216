//! Which broker of which cluster this is, and where it reaches itself. Knows nothing of other
//! brokers.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};

use client::Endpoint;
use protocol::ids::BrokerId;

/// What names this broker.
#[derive(Debug)]
pub struct Identity {
    pub broker_id: BrokerId,
    pub cluster_id: String,
    broker_epoch: AtomicI64,
    /// Where its own listener for brokers is bound, for requests to itself: the address that it
    /// advertises may lead back to it from outside only. Set once it is bound.
    own_listener: OnceLock<Endpoint>,
}

impl Identity {
    pub fn new(broker_id: BrokerId, cluster_id: String) -> Identity {
        Identity {
            broker_id,
            cluster_id,
            broker_epoch: AtomicI64::new(-1),
            own_listener: OnceLock::new(),
        }
    }

    /// czxid of this broker's registration; −1 until it is registered. Changes with the session.
    pub fn broker_epoch(&self) -> i64 {
        self.broker_epoch.load(Ordering::Acquire)
    }

    pub fn registered(&self, broker_epoch: i64) {
        self.broker_epoch.store(broker_epoch, Ordering::Release);
    }

    /// The first listener that is bound stays.
    pub fn listens_on(&self, endpoint: Endpoint) {
        let _ = self.own_listener.set(endpoint);
    }

    /// Where broker `id` is reached without what it advertises: only this one itself.
    pub fn own_endpoint(&self, id: BrokerId) -> Option<Endpoint> {
        self.own_listener.get().filter(|_| id == self.broker_id).cloned()
    }
}
