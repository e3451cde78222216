//! Producer ids for idempotent producers, out of blocks that the controller gives; the next block
//! is fetched before the present one ends. Knows nothing of what producers do with them.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use protocol::ids::ProducerId;
use protocol::messages::allocate_producer_ids::AllocateProducerIdsRequest;
use tokio::sync::watch;

use crate::authorizer::{Authorized, Cluster, TransactionalId, op};
use crate::controller_channel::{AskError, ControllerChannel};
use crate::identity::Identity;
use crate::tasks::Tasks;

/// The next block is asked for when this part of the present one is used, in tenths.
const PREFETCH_TENTHS: i64 = 9;

/// Pause before another try, as in Kafka.
const RETRY: Duration = Duration::from_millis(50);

/// How often a block is asked for before those who wait are told to come again.
const TRIES_MAX: usize = 20;

/// The ids that are left, and whether more are on their way.
pub struct ProducerIds {
    identity: Arc<Identity>,
    to_controller: Arc<ControllerChannel>,
    tasks: Arc<Tasks>,
    state: Mutex<State>,
    /// Counts the blocks that came, or did not.
    arrivals: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    present: Block,
    next: Option<Block>,
    fetching: bool,
    /// Behind the last id of any block that was taken: a later block begins there or above.
    taken_to: ProducerId,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Block {
    next: ProducerId,
    end: ProducerId,
    /// Where the following block is asked for.
    prefetch_at: ProducerId,
}

impl Block {
    fn new(first: ProducerId, count: i32) -> Block {
        let count = i64::from(count);
        Block {
            next: first,
            end: first.saturating_add(count),
            prefetch_at: first.saturating_add(count * PREFETCH_TENTHS / 10),
        }
    }
}

impl State {
    /// Takes over the block that the controller gave. `false` if it holds ids of an earlier block,
    /// or none: one id for two producers would make one take the other's batches for its own
    /// (KAFKA-20031).
    fn accept(&mut self, first: ProducerId, count: i32) -> bool {
        if first < self.taken_to || count <= 0 {
            return false;
        }
        let block = Block::new(first, count);
        self.taken_to = block.end;
        self.next = Some(block);
        true
    }

    /// The next id, and whether a block is to be fetched now.
    fn take(&mut self) -> (Option<ProducerId>, bool) {
        if self.present.next == self.present.end
            && let Some(next) = self.next.take()
        {
            self.present = next;
        }
        let block = &mut self.present;
        let id = (block.next < block.end).then(|| {
            block.next += 1;
            block.next - 1
        });
        let wanted = id.is_none_or(|id| id >= block.prefetch_at) && self.next.is_none();
        let fetch = wanted && !self.fetching;
        self.fetching |= fetch;
        (id, fetch)
    }
}

impl ProducerIds {
    pub fn new(
        identity: Arc<Identity>,
        to_controller: Arc<ControllerChannel>,
        tasks: Arc<Tasks>,
    ) -> ProducerIds {
        let (state, arrivals) = (Mutex::default(), watch::Sender::new(0));
        ProducerIds { identity, to_controller, tasks, state, arrivals }
    }

    /// An id that nobody else ever got, for a producer without transactions. `None`: the controller
    /// gave none in time; ask again later.
    pub async fn for_producer(
        self: &Arc<Self>,
        _: &Authorized<'_, op::IdempotentWrite, Cluster>,
    ) -> Option<ProducerId> {
        self.next().await
    }

    /// The same for a producer with transactions.
    pub async fn for_transactions(
        self: &Arc<Self>,
        _: &Authorized<'_, op::Write, TransactionalId>,
    ) -> Option<ProducerId> {
        self.next().await
    }

    async fn next(self: &Arc<Self>) -> Option<ProducerId> {
        let mut arrivals = self.arrivals.subscribe();
        // Many may wait for one block; each goes round once more than there are losers.
        for _ in 0..TRIES_MAX {
            arrivals.borrow_and_update();
            let (id, fetch) = self.state.lock().take();
            if fetch {
                let ids = self.clone();
                self.tasks.spawn_until_stop(async move { ids.fetch().await });
            }
            if id.is_some() {
                return id;
            }
            arrivals.changed().await.ok()?;
            if !self.has_ids() {
                return None;
            }
        }
        None
    }

    /// A block, as if the controller had given it; not below one that was given before.
    #[cfg(test)]
    pub fn give(&self, first: ProducerId, count: i32) {
        self.state.lock().accept(first, count);
    }

    fn has_ids(&self) -> bool {
        let state = self.state.lock();
        state.next.is_some() || state.present.next < state.present.end
    }

    async fn fetch(&self) {
        let mut given = false;
        for _ in 0..TRIES_MAX {
            match self.allocate().await {
                Ok((first, count)) => {
                    given = self.state.lock().accept(first, count);
                    if given {
                        break;
                    }
                    tracing::error!(
                        first,
                        count,
                        "refused a block of producer ids: some were given"
                    );
                }
                Err(error) => tracing::debug!(%error, "no block of producer ids"),
            }
            tokio::time::sleep(RETRY).await;
        }
        if !given {
            tracing::warn!("the controller gave no block of producer ids");
        }
        self.state.lock().fetching = false;
        self.arrivals.send_modify(|count| *count += 1);
    }

    /// The next block: the first id and how many there are.
    async fn allocate(&self) -> Result<(ProducerId, i32), AskError> {
        let broker_id = self.identity.broker_id;
        let broker_epoch = self.identity.broker_epoch();
        let controller = self.to_controller.connect().await?;
        let version = controller.version_of::<AllocateProducerIdsRequest>()?;
        let request = AllocateProducerIdsRequest { broker_id, broker_epoch };
        let response = self.to_controller.call(&controller, &request, version).await?;
        self.to_controller.accept(&controller, response.error_code)?;
        Ok((response.producer_id_start, response.producer_id_len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_from_one_block_after_the_other() {
        let mut state = State::default();
        assert_eq!(state.take(), (None, true), "nothing yet: fetch");
        assert_eq!(state.take(), (None, false), "once is enough");
        state.fetching = false;
        assert!(state.accept(1000, 10));
        let ids: Vec<_> = (0..9).map(|_| state.take()).collect();
        assert_eq!(ids, (1000..1009).map(|id| (Some(id), false)).collect::<Vec<_>>());
        assert_eq!(state.take(), (Some(1009), true), "nine tenths are used: fetch the next");
        assert_eq!(state.take(), (None, false));
        state.fetching = false;
        assert!(state.accept(5000, 10));
        assert_eq!(state.take(), (Some(5000), false));
    }

    #[test]
    fn a_block_that_begins_inside_an_earlier_one_is_refused() {
        let mut state = State::default();
        assert!(state.accept(1000, 10));
        assert_eq!(state.take(), (Some(1000), false));
        for first in [0, 999, 1000, 1005, 1009] {
            assert!(!state.accept(first, 1000), "{first}: 1000 to 1009 are given");
        }
        assert!(!state.accept(2000, 0) && !state.accept(2000, -1), "nothing is in it");
        assert!(state.accept(1010, 10), "it follows at once");
        assert!(!state.accept(1010, 10), "the block that waits counts too");
        let ids: Vec<_> = (0..19).filter_map(|_| state.take().0).collect();
        assert_eq!(ids, (1001..1020).collect::<Vec<_>>());
    }
}
