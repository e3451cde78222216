//! `ottla.fence.on.session.loss`: leaders stop to serve when the broker's session may be over, and
//! serve again once it is registered again. Off by default: leader epochs and min ISR protect what
//! was acknowledged by all replicas, and without ZooKeeper there would be no Kafka. Knows nothing
//! of requests.

use std::sync::atomic::{AtomicI64, Ordering};

use metadata::deadline::Deadline;

/// No session.
const NONE: i64 = 0;

/// Closed from the session's deadline until the next registration, and before the first one.
pub struct SessionFence {
    deadline: Deadline,
    /// The session that this broker is registered in, unless its deadline has passed since.
    registered: AtomicI64,
}

impl SessionFence {
    pub fn new(deadline: Deadline) -> SessionFence {
        SessionFence { deadline, registered: AtomicI64::new(NONE) }
    }

    /// Whether leaders must not serve at this moment.
    pub fn is_closed(&self) -> bool {
        let registered = self.registered.load(Ordering::Acquire);
        if registered != NONE && self.deadline.is_in_force(registered) {
            return false;
        }
        // Heard again or not: somebody else may lead by now, which the registration will show.
        let _ =
            self.registered.compare_exchange(registered, NONE, Ordering::AcqRel, Ordering::Acquire);
        true
    }

    /// This broker is registered in this session.
    pub fn open(&self, session_id: i64) {
        self.registered.store(session_id, Ordering::Release);
    }
}
