//! A session's own deadline: whether its holder may still count on it, by the holder's clock alone.
//! Knows nothing of what ends with the session.

use std::sync::Arc;
use std::time::Duration;

use super::store::{ClockMs, MetadataStore};

/// The session of a store beside the clock that its deadline is judged by. Cheap to clone.
#[derive(Clone)]
pub struct Deadline {
    store: Arc<dyn MetadataStore>,
    clock: ClockMs,
}

impl Deadline {
    /// `clock` is the one that the store was given (CLOCK_BOOTTIME in a broker): it goes on while
    /// the machine sleeps.
    pub fn new(store: Arc<dyn MetadataStore>, clock: ClockMs) -> Deadline {
        Deadline { store, clock }
    }

    /// The session that may be counted on at this moment. `None`: there is none, or it has been
    /// silent for so long that the server may be about to end it.
    pub fn session_in_force(&self) -> Option<i64> {
        let lease = self.store.lease()?;
        lease.is_in_force((self.clock)()).then_some(lease.session_id)
    }

    pub fn is_in_force(&self, session_id: i64) -> bool {
        self.session_in_force() == Some(session_id)
    }

    /// Waits until this session may not be counted on any more. Another session is only noticed
    /// when this one's deadline would have come: the store's events tell of it sooner.
    pub async fn passed(&self, session_id: i64) {
        loop {
            let Some(lease) = self.store.lease().filter(|l| l.session_id == session_id) else {
                return;
            };
            let left_ms = lease.deadline_ms().saturating_sub((self.clock)());
            if left_ms == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(left_ms)).await;
        }
    }
}
